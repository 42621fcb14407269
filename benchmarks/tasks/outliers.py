"""Which images does a model of clothes take for clothes?

A model of P(image), pixel after pixel, is trained on Fashion-MNIST, calibrated on some held-out
images, and asked of others: held-out Fashion-MNIST, and MNIST digits. Digits are simpler than
clothes, so that a plain likelihood takes them for rather *more* likely; typicality and the
correction by complexity are what is to tell them apart. For each score,

- auroc: how often a digit looks odder than an image of clothes (0.5 is chance);
- caught: how many digits have a p-value of at most 5 %, and how many clothes do, which is to be
  5 % or less.

    python -m benchmarks.tasks.outliers

Reads the sets `fashion_mnist` and `mnist` below the folder that MMGEN_DATA names. About
twenty minutes on one core, fifteen of them training; the trained model is kept in --model.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import training_parser
from benchmarks.grey_pixels import TRAINING, grey_pixels
from benchmarks.idx import read_images
from mmgen.evaluation.intervals import Proportion
from mmgen.evaluation.record import write_result
from mmgen.evaluation.task import Task
from mmgen.inference import OutlierDetector, auroc
from mmgen.inference.outlier import OutlierTest
from mmgen.training import fit

__all__ = ["TASK", "main"]

TASK = Task(
    summary="Which images does a model of clothes take for clothes?",
    protocol=2,
    minutes=20,
    quick=(
        "--size=debug",
        "--steps=3",
        "--calibration=20",
        "--count=10",
        "--model=runs/bench/quick/models/outliers",
    ),
    quick_minutes=1,
    quick_note="a tiny model that learns nothing",
    data=("fashion_mnist", "mnist"),
    shown=(
        (
            "digits told from clothes by complexity, AUROC",
            "complexity/auroc",
            "higher",
            "0.5 by chance, {log_prob/auroc} by the likelihood alone",
        ),
        ("the same by all scores together, AUROC", "together/auroc", "higher", "0.5 by chance"),
        (
            "digits caught at 5 %",
            "together/caught",
            "higher",
            "{together/false_alarms} of held-out clothes are caught, too",
        ),
    ),
)
PROTOCOL = TASK.protocol
SPLIT_SEED = 20_264
LEVEL = 0.05
INLIERS, OUTLIERS = "fashion_mnist", "mnist"


def _shuffled(name: str, size: int) -> np.ndarray:
    images = read_images(name, size=size)
    return images[np.random.default_rng(SPLIT_SEED).permutation(len(images))]


def _scores(inliers: Sequence[OutlierTest], outliers: Sequence[OutlierTest]) -> dict[str, Any]:
    """Of each score, and of all together."""
    found: dict[str, Any] = {}
    for name in inliers[0].scores:
        columns = [[t.scores[name] for t in tests] for tests in (inliers, outliers)]
        found[name] = {
            "auroc": round(auroc(*columns), 5),
            "mean_bits_per_dim": [round(float(np.mean(c)), 5) for c in columns],
        } | _caught([t.p_values[name] for t in inliers], [t.p_values[name] for t in outliers])
    together = [[t.p_value for t in tests] for tests in (inliers, outliers)]
    odd = [[-p for p in column] for column in together]
    found["together"] = {"auroc": round(auroc(*odd), 5)} | _caught(*together)
    return found


def _caught(inliers: Sequence[float], outliers: Sequence[float]) -> dict[str, Any]:
    return {
        what: Proportion(sum(p <= LEVEL for p in column), len(column)).as_dict()
        for what, column in (("caught", outliers), ("false_alarms", inliers))
    }


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = training_parser("outliers", description=__doc__)
    parser.add_argument("--calibration", type=int, default=500, help="images")
    parser.add_argument("--count", type=int, default=500, help="images of each kind to test")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> Path:
    """Run the task and write its result.

    Args:
        given: Arguments of the command line; those of this process if None.

    Returns:
        The JSON file.
    """
    chosen = _arguments(given)
    pipe = grey_pixels(chosen.size)
    clothes = _shuffled(INLIERS, pipe.codec.size)
    digits = _shuffled(OUTLIERS, pipe.codec.size)[: chosen.count]
    held_out = chosen.calibration + chosen.count
    calibration, test = np.split(clothes[:held_out], [chosen.calibration])
    train = [(None, image) for image in clothes[held_out:]]
    fit(pipe, train, output=chosen.model, steps=chosen.steps, seed=chosen.seed, **TRAINING)
    started = time.monotonic()
    detector = OutlierDetector(pipe, list(calibration), seed=chosen.seed)
    inliers = detector.test(list(test), seed=chosen.seed)
    outliers = detector.test(list(digits), seed=chosen.seed)
    tested = held_out + len(digits)
    scores = _scores(inliers, outliers)
    scores["seconds_per_image"] = round((time.monotonic() - started) / tested, 4)
    chosen.output.mkdir(parents=True, exist_ok=True)
    names = ("size", "steps", "calibration", "count", "seed")
    settings = {name: getattr(chosen, name) for name in names}
    path = write_result(
        chosen.output / "outliers.json",
        task="outliers",
        protocol=PROTOCOL,
        settings=settings | {"inliers": INLIERS, "outliers": OUTLIERS, "level": LEVEL},
        scores=scores,
    )
    print(f"{'score':<12}{'auroc':>8}  {'digits caught':<32}clothes caught")
    for name in (*detector.scores, "together"):
        row = scores[name]
        cells = [_cell(row[what]) for what in ("caught", "false_alarms")]
        print(f"{name:<12}{row['auroc']:8.3f}  {cells[0]:<32}{cells[1]}")
    print(path)
    return path


def _cell(entry: dict[str, Any]) -> str:
    return str(Proportion(entry["successes"], entry["count"]))


if __name__ == "__main__":
    main()
