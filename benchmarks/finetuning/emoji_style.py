"""The emoji pipeline learns to draw blueprints: white outlines on blue.

A blueprint is made of a Noto emoji by `blueprint` below: the edges of its colours in white ink on
blue paper. The base has seen the emoji in two drawing styles, but no such picture. Held out are the
names that the base holds out and of which it knows no variant either.

The judge draws one sample for each of some held-out names. How much of them is paper, beside how
much of real ones, tells whether they are blueprints at all; how often the blueprint of its own name
is more like a sample than that of another tells whether it is of what was asked for.

    python -m benchmarks.finetuning.emoji_style
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmgen_pipelines.text_to_image import emoji
from PIL import Image

from benchmarks.finetuning.measured import Case, case_parser, finetuned
from benchmarks.sheets import beside, write_sheet
from mmgen.evaluation.task import Task
from mmgen.pipeline import Pipeline
from mmgen.training.pairs import ListedPairs

__all__ = ["TASK", "blueprint", "main", "pairs"]

TASK = Task(
    summary="The emoji pipeline learns to draw blueprints.",
    protocol=1,
    minutes=5,
    quick=("--quick",),
    quick_minutes=1,
    quick_note="three steps",
    pipeline="text-to-image:emoji",
    x="image",
    y=("text",),
    data=("emoji",),
    shown=(
        ("loss on held-out blueprints", "loss/after", "lower", "{loss/before} before"),
        (
            "share of paper in samples",
            "paper/after",
            "higher",
            "{paper/before} before, {paper/real} of real ones",
        ),
        (
            "own blueprint liker than another's",
            "own/after",
            "higher",
            "{own/before} before, 0.5 by chance",
        ),
    ),
)

PAPER, INK = np.array([24.0, 64.0, 140.0]), np.array([255.0, 255.0, 255.0])
SETTINGS = {
    "steps": 120,
    "batch_size": 32,
    "optimizer": "muon",
    "learning_rate": 1e-3,
    "warmup": 10,
    "ema": 0.98,
    "validate_every": 60,
}
OPTIONS = {"num_inference_steps": 15, "unknown_words": "allow"}
_CONTRAST = 4.0
# Of 255 in each colour: what is paper to the eye.
_NEAR = 48.0
_JUDGED, _QUICKLY = 32, 2
_SHOWN = 8


def blueprint(picture: np.ndarray) -> np.ndarray:
    """The edges of a picture, white on blue.

    Args:
        picture: uint8 (H, W, 3).

    Returns:
        uint8 (H, W, 3).
    """
    dy, dx = np.gradient(picture / 255.0, axis=(0, 1))
    ink = np.clip(_CONTRAST * np.hypot(dy, dx).max(-1, keepdims=True), 0.0, 1.0)
    return np.round(PAPER + ink * (INK - PAPER)).astype(np.uint8)


def pairs(split: str) -> ListedPairs:
    """Pairs (name, blueprint): "train", or "val", of names no variant of which is in "train"."""
    known = {row["base"] for row in emoji.captions("train")} if split == "val" else set()
    pictures = emoji.pictures("noto")
    rows = [r for r in emoji.captions(split) if r["id"] in pictures and r["base"] not in known]
    return ListedPairs((row["name"], blueprint(pictures[row["id"]])) for row in rows)


def judged(drawn: Sequence[np.ndarray], real: Sequence[np.ndarray]) -> dict[str, float]:
    """What pictures are like, beside the real one of each. All uint8 (H, W, 3)."""
    away = np.linalg.norm(np.stack(drawn) - PAPER, axis=-1)
    likeness = np.corrcoef(_grey(drawn), _grey(real))[: len(drawn), len(drawn) :]
    own = np.diag(likeness)[:, None] > likeness
    others = own[~np.eye(len(drawn), dtype=bool)]
    return {"paper": round(float((away < _NEAR).mean()), 4), "own": round(float(others.mean()), 4)}


def _grey(pictures: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(pictures).mean(-1).reshape(len(pictures), -1)


def _pixels(images: Sequence[Any]) -> list[np.ndarray]:
    return [np.asarray(image.convert("RGB")) for image in images]


def main(arguments: Sequence[str] | None = None) -> Path:
    """Fine-tune and measure; write benchmarks/results/finetuning_emoji_style.json."""
    asked = case_parser("emoji_style", TASK, __doc__).parse_args(arguments)
    held_out = pairs("val")
    count = min(_QUICKLY if asked.quick else _JUDGED, len(held_out))
    places = np.linspace(0, len(held_out) - 1, count).astype(int).tolist()
    some = [held_out.pair(i, np.random.default_rng(0)) for i in places]
    names, real = [y for y, _ in some], [x for _, x in some]

    def judge(pipe: Pipeline) -> Mapping[str, float]:
        return judged(_pixels(pipe(names, seed=0, **OPTIONS)), real)

    case = Case(
        name="emoji_style",
        task=TASK,
        learnt=pairs("train"),
        held_out=held_out,
        settings=SETTINGS,
        judge=judge,
        conditions=names[:_SHOWN],
        options=OPTIONS,
        repeats=4,
        real=judged(real, real),
    )
    record, before, after = finetuned(case, asked)
    rows = zip(before, after, real, strict=False)
    images = [beside(beside(old, new), Image.fromarray(true)) for old, new, true in rows]
    write_sheet(record.with_suffix(".png"), images, names[:_SHOWN], columns=4)
    return record


if __name__ == "__main__":
    main()
