"""Does a reader of pictures know what is in them?

Pictures are drawn from scenes at random, once with pairs of colour and shape that training has seen
and once with at least one that it never has. For each there are two captions in the same words: one
of the scene, one of a scene in which one thing has another colour, shape or size, or the background
is another. Measured is

- told: how often the true caption is the likelier one (50 % by chance), also by what was changed;
- nats: mean of -log p(true caption | picture);
- marred: of pictures that text-to-image:scenes generates, without choosing among candidates, how
  often one that the simulator cannot read looks more marred to the reader than one that it can
  (the area under the ROC curve; 0.5 by chance).

    python -m benchmarks.tasks.reading --pipeline image-to-text:scenes
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.arguments import asked_options, task_parser
from benchmarks.records import record_pipeline
from mmgen import Pipeline
from mmgen.evaluation.intervals import Proportion
from mmgen.evaluation.task import Task
from mmgen.inference import auroc
from mmgen.simulators import scenes
from mmgen.simulators.scenes import Scene

__all__ = ["TASK", "main"]

TASK = Task(
    summary="Does a reader of pictures know what is in them?",
    protocol=1,
    minutes=2,
    quick=("--count", "16"),
    quick_minutes=1,
    pipeline="image-to-text:scenes",
    x="text",
    y=("image",),
    shown=(
        ("true captions told from false ones, pairs seen", "seen/told", "higher", "50 % by chance"),
        ("true captions told, pairs never seen", "unseen/told", "higher", "50 % by chance"),
        ("marred pictures told, AUROC", "marred/auroc", "higher", "0.5 by chance"),
    ),
)
PROTOCOL = TASK.protocol
CAPTION_SEED = 20_266
SPLITS = ("seen", "unseen")
CHANGES = {
    "colour": tuple(scenes.COLOURS),
    "shape": tuple(scenes.SHAPES),
    "size": tuple(scenes.SIZES),
    "background": tuple(scenes.BACKGROUNDS),
}
MARRED = "marred"
_BATCH = 32


def _changed(scene: Scene, kind: str, rng: np.random.Generator) -> Scene:
    """The scene with another value of one kind."""
    place = int(rng.integers(len(scene.things)))
    held = scene if kind == "background" else scene.things[place]
    others = [v for v in CHANGES[kind] if v != getattr(held, kind)]
    new = replace(held, **{kind: others[int(rng.integers(len(others)))]})
    if kind == "background":
        return new
    return replace(scene, things=(*scene.things[:place], new, *scene.things[place + 1 :]))


def _cases(split: str, count: int) -> Iterator[tuple[Scene, str, str, str]]:
    """Scenes, what is changed, and the true and the false caption, which differ."""
    rng = np.random.default_rng([CAPTION_SEED, SPLITS.index(split)])
    found = 0
    while found < count:
        scene = scenes.sample_scene(rng, pairs=split)
        kind = tuple(CHANGES)[found % len(CHANGES)]
        seed = int(rng.integers(2**31))
        both = (scene, _changed(scene, kind, rng))
        true, false = (scenes.describe(s, np.random.default_rng(seed)).text for s in both)
        # What is changed is not always said, and where twins are parted the words are others.
        if true == false or len(true.split()) != len(false.split()):
            continue
        found += 1
        yield scene, kind, true, false


def _nats(
    pipe: Pipeline, pictures: Sequence[Any], texts: Sequence[str], options: Mapping[str, Any]
) -> np.ndarray:
    parts = []
    for start in range(0, len(texts), _BATCH):
        some = slice(start, start + _BATCH)
        given = pipe.given(list(pictures[some]), **options)
        parts.append(given.log_prob(list(texts[some])).nats)
    return torch.cat(parts).double().cpu().numpy()


def _told(pipe: Pipeline, split: str, count: int, options: Mapping[str, Any]) -> dict[str, Any]:
    cases = list(_cases(split, count))
    pictures = [scenes.render(scene) for scene, *_ in cases]
    right, wrong = (_nats(pipe, pictures, [case[i] for case in cases], options) for i in (2, 3))
    by_kind = defaultdict(list)
    for (_, kind, *_), told in zip(cases, right > wrong, strict=True):
        by_kind[kind].append(bool(told))
    together = [told for column in by_kind.values() for told in column]
    return {
        "told": _proportion(together),
        "by_change": {kind: _proportion(by_kind[kind]) for kind in CHANGES},
        "nats": round(float(-right.mean()), 4),
    }


def _proportion(holds: Sequence[bool]) -> dict[str, float | int]:
    return Proportion(sum(holds), len(holds)).as_dict()


def _marred(
    pipe: Pipeline, generator: Pipeline, count: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    rng = np.random.default_rng([CAPTION_SEED, len(SPLITS)])
    texts = [scenes.describe(scenes.sample_scene(rng), rng).text for _ in range(count)]
    # Seeds far from those of the pictures that it was trained on.
    generator.forget_ranking()
    drawn = generator(texts, seed=2**40)
    pictures = [np.asarray(picture) for picture in drawn]
    whole = [scenes.whole(scenes.read(picture)) for picture in pictures]
    nats = _nats(pipe, pictures, [MARRED] * count, options)
    inside, outside = (
        [float(n) for n, w in zip(nats, whole, strict=True) if w == kept] for kept in (True, False)
    )
    return {
        "count": count,
        "unreadable": len(outside),
        "auroc": round(auroc(inside, outside), 4) if inside and outside else None,
    }


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = task_parser("reading", pipeline="image-to-text:scenes", description=__doc__)
    parser.add_argument("--generator", default="text-to-image:scenes")
    parser.add_argument("--count", type=int, default=500, help="pictures of each split")
    chosen = parser.parse_args(given)
    if chosen.count < len(CHANGES):
        parser.error(f"--count is at least {len(CHANGES)}, got {chosen.count}")
    return chosen


def main(
    given: Sequence[str] | None = None,
    *,
    pipe: Pipeline | None = None,
    generator: Pipeline | None = None,
) -> Path:
    """Run the task and write its result.

    Args:
        given: Arguments of the command line; those of this process if None.
        pipe: What to measure in place of what --pipeline names.
        generator: In place of what --generator names.

    Returns:
        The JSON file.
    """
    chosen = _arguments(given)
    pipe = pipe or Pipeline.from_pretrained(chosen.pipeline, device=chosen.device)
    generator = generator or Pipeline.from_pretrained(chosen.generator, device=chosen.device)
    started = time.monotonic()
    asked = asked_options(chosen.option, pipe.options())
    scores: dict[str, Any] = {split: _told(pipe, split, chosen.count, asked) for split in SPLITS}
    scores["marred"] = _marred(pipe, generator, chosen.count, asked)
    scores["seconds"] = round(time.monotonic() - started, 1)
    return record_pipeline(
        chosen,
        "reading",
        protocol=PROTOCOL,
        settings={
            "generator": chosen.generator,
            "count": chosen.count,
            "caption_seed": CAPTION_SEED,
            "options": asked,
        },
        scores=scores,
        lines=_lines(scores),
    )


def _lines(scores: dict[str, Any]) -> Iterator[str]:
    for split in SPLITS:
        found = scores[split]
        rows = {"all": found["told"], **found["by_change"]}
        yield f"{split}: {found['nats']:.2f} nats for a caption; true captions told from false:"
        for kind, entry in rows.items():
            yield f"  {kind:<12}{Proportion(entry['successes'], entry['count'])}"
    yield f"marred pictures told: AUROC {scores['marred']['auroc']}"


if __name__ == "__main__":
    main()
