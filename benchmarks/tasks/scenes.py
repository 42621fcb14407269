"""Do pictures of shapes hold what their captions say?

Captions are described from scenes drawn at random, once with pairs of colour and shape that
training has seen and once with at least one pair that it never has. One sample of each caption is
read back by the simulator's judge. Beside it stand what the judge says of the simulator's own
drawings, which is the most that can be reached, and of samples under other captions, which is what
chance reaches.

    python -m benchmarks.tasks.scenes --pipeline text-to-image:scenes
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.arguments import asked_options, task_parser
from benchmarks.records import record_path, record_pipeline
from benchmarks.sheets import bordered, enlarged, write_sheet
from mmgen import Pipeline
from mmgen.evaluation.intervals import Proportion
from mmgen.evaluation.metrics.caption_satisfaction import caption_satisfaction
from mmgen.evaluation.task import Task
from mmgen.simulators.scenes import (
    Caption,
    Claim,
    Scene,
    Verdict,
    describe,
    judge,
    render,
    sample_scene,
)

__all__ = ["TASK", "main", "run"]

TASK = Task(
    summary="Do pictures of shapes hold what their captions say?",
    protocol=1,
    minutes=25,
    quick=("--count", "12"),
    quick_minutes=1,
    pipeline="text-to-image:scenes",
    x="image",
    y=("text",),
    shown=(
        (
            "captions wholly right, pairs seen in training",
            "seen/satisfied",
            "higher",
            "{seen/codec} of drawings through the codec, {seen/other_captions} by chance",
        ),
        (
            "captions wholly right, pairs never seen",
            "unseen/satisfied",
            "higher",
            "{unseen/codec} of drawings through the codec, {unseen/other_captions} by chance",
        ),
    ),
)
PROTOCOL = TASK.protocol
CAPTION_SEED = 20_261
SPLITS = ("seen", "unseen")
KINDS = ("count", "colour", "shape", "size", "place", "background", "relation")
_BATCH = 64
_SIDE = 64


@dataclass(frozen=True)
class _Case:
    scene: Scene
    caption: Caption
    image: Image.Image
    verdict: Verdict

    @property
    def failures(self) -> str:
        """The claims that do not hold, in words."""
        return ", ".join(_in_words(c) for c, holds in self.verdict.claims if not holds)


def run(
    pipe: Pipeline,
    *,
    count: int,
    seed: int,
    options: dict[str, Any],
    caption_seed: int = CAPTION_SEED,
) -> tuple[dict[str, Any], dict[str, list[_Case]]]:
    """Draw and judge.

    Args:
        pipe: P(image | text).
        count: Captions of each split.
        seed: Of the samples; captions are the same whatever it is.
        options: Of sampling.
        caption_seed: Of the captions.

    Returns:
        Scores and cases by split.
    """
    scores: dict[str, Any] = {}
    cases: dict[str, list[_Case]] = {}
    for number, split in enumerate(SPLITS):
        rng = np.random.default_rng([caption_seed, number])
        scenes = [sample_scene(rng, pairs=split) for _ in range(count)]
        captions = [describe(scene, rng) for scene in scenes]
        started = time.monotonic()
        images = _draw(pipe, [c.text for c in captions], seed + number * count, split, options)
        seconds = (time.monotonic() - started) / count
        rows = zip(scenes, captions, images, strict=True)
        cases[split] = [_Case(s, c, i, judge(_pixels(i), c)) for s, c, i in rows]
        scores[split] = _scores(cases[split]) | {
            "codec": _codec(pipe, cases[split]),
            "seconds_per_image": round(seconds, 4),
        }
    return scores, cases


def _draw(
    pipe: Pipeline, texts: Sequence[str], seed: int, split: str, options: dict[str, Any]
) -> list[Image.Image]:
    images: list[Image.Image] = []
    for first in range(0, len(texts), _BATCH):
        batch = list(texts[first : first + _BATCH])
        images += pipe(batch, seed=seed + first, **options)
        print(f"\r{split}: {len(images)} of {len(texts)} drawn", end="", file=sys.stderr)
    print(file=sys.stderr)
    return images


def _codec(pipe: Pipeline | None, cases: Sequence[_Case]) -> dict[str, Any] | None:
    """Of the simulator's drawings as the codec brings them back: what samples can reach at most."""
    if pipe is None:
        return None
    holds = []
    for first in range(0, len(cases), _BATCH):
        some = cases[first : first + _BATCH]
        tensors = pipe.codec.prepare([render(case.scene, pipe.codec.size) for case in some])
        with torch.no_grad():
            back = pipe.codec.present(pipe.codec.decode(pipe.codec.encode(tensors)))
        rows = zip(back, some, strict=True)
        holds += [judge(_pixels(image), case.caption).satisfied for image, case in rows]
    return _proportion(holds)


def _pixels(image: Image.Image) -> np.ndarray:
    """uint8 (64, 64, 3), which is what the judge reads."""
    if image.size != (_SIDE, _SIDE):
        image = image.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image.convert("RGB"))


def _scores(cases: Sequence[_Case]) -> dict[str, Any]:
    found = caption_satisfaction([case.verdict for case in cases])
    things = defaultdict(list)
    for case in cases:
        things[len(case.scene.things)].append(case.verdict.satisfied)
    captions = [case.caption for case in cases]
    others = zip(cases, captions[1:] + captions[:1], strict=True)
    shuffled = [judge(_pixels(case.image), caption).satisfied for case, caption in others]
    drawn = [judge(render(case.scene), case.caption).satisfied for case in cases]
    return {
        "satisfied": found.captions.as_dict(),
        "claims": {kind: found.claims[kind].as_dict() for kind in KINDS if kind in found.claims},
        "things": {str(num): _proportion(things[num]) for num in sorted(things)},
        "simulator": _proportion(drawn),
        "other_captions": _proportion(shuffled),
    }


def _proportion(holds: Sequence[bool]) -> dict[str, float | int]:
    return Proportion(sum(holds), len(holds)).as_dict()


def _in_words(claim: Claim) -> str:
    names = ("first", "second", "third")
    subject = "" if claim.subject is None else f"{names[claim.subject]} thing's "
    if claim.kind == "relation":
        place = claim.value if claim.value in ("above", "below") else f"{claim.value} of"
        return f"{names[claim.subject]} thing is {place} the {names[claim.object]}"
    return f"{subject}{claim.kind} is {claim.value}"


def _table(scores: dict[str, Any]) -> str:
    def row(name: str, *path: str) -> str:
        cells = []
        for split in SPLITS:
            entry = scores[split]
            for key in path:
                entry = entry.get(key, {})
            cells.append(str(Proportion(entry["successes"], entry["count"])) if entry else "")
        return f"{name:<24}{cells[0]:<42}{cells[1]}"

    lines = [f"{'':<24}{'pairs seen in training':<42}pairs never seen"]
    lines.append(row("caption satisfied", "satisfied"))
    lines += [row(f"  of {n} thing{'s' * (n > 1)}", "things", str(n)) for n in (1, 2, 3)]
    lines += [row(f"  {kind} claims", "claims", kind) for kind in KINDS]
    lines.append(row("simulator's own drawings", "simulator"))
    lines.append(row("  through the codec", "codec"))
    lines.append(row("under other captions", "other_captions"))
    return "\n".join(lines)


def _sheet(cases: dict[str, list[_Case]], path: Path) -> Path:
    chosen = [case for split in SPLITS for case in cases[split][:32]]
    images = [
        bordered(enlarged(case.image.resize((_SIDE, _SIDE)), 2), not case.verdict.satisfied)
        for case in chosen
    ]
    return write_sheet(path, images, [case.caption.text for case in chosen], columns=8)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = task_parser("scenes", pipeline="text-to-image:scenes", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="captions of each split")
    parser.add_argument("--caption-seed", type=int, default=CAPTION_SEED, help="of the captions")
    chosen = parser.parse_args(given)
    if chosen.count < 1:
        parser.error(f"--count is at least 1, got {chosen.count}")
    return chosen


def main(given: Sequence[str] | None = None, *, pipe: Pipeline | None = None) -> Path:
    """Run the task and write its result.

    Args:
        given: Arguments of the command line; those of this process if None.
        pipe: What to measure in place of what --pipeline names.

    Returns:
        The JSON file.
    """
    chosen = _arguments(given)
    pipe = pipe or Pipeline.from_pretrained(chosen.pipeline, device=chosen.device)
    asked = asked_options(chosen.option, pipe.options())
    defaults = {o.name: o.default for o in pipe.options()}
    scores, cases = run(
        pipe,
        count=chosen.count,
        seed=chosen.seed,
        options=asked,
        caption_seed=chosen.caption_seed,
    )
    failed = [(s, case) for s in SPLITS for case in cases[s] if not case.verdict.satisfied]
    scores["failures"] = [
        {"split": split, "caption": case.caption.text, "failed": case.failures}
        for split in SPLITS
        for case in [c for s, c in failed if s == split][:12]
    ]
    settings = {
        "count": chosen.count,
        "seed": chosen.seed,
        "caption_seed": chosen.caption_seed,
        "options": defaults | asked,
    }
    chosen.output.mkdir(parents=True, exist_ok=True)
    other = chosen.caption_seed != CAPTION_SEED
    more = [f"captions-{chosen.caption_seed}"] * other
    sheet = _sheet(cases, record_path(chosen, "scenes", more=more).with_suffix(".png"))
    failures = (f"- {f['split']}: {f['caption']!r}: not {f['failed']}" for f in scores["failures"])
    return record_pipeline(
        chosen,
        "scenes",
        protocol=PROTOCOL,
        settings=settings,
        scores=scores,
        lines=(_table(scores), *failures),
        more=more,
        sheets=(sheet,),
    )


if __name__ == "__main__":
    main()
