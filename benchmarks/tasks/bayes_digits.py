"""Does a model that draws digits also read them?

A model of P(image | digit), pixel after pixel, is trained on MNIST. Held-out images are then
classified by Bayes' rule, with log p(image | digit) exact, so once for each digit, and

- accuracy: how often the likeliest digit is the right one;
- surprise: mean of -log2 p(right digit | image), 3.32 bits by chance;
- trusted: how often the right digit is found where its probability is said to be 90 % or more;
- bits: mean of -log2 p(image | right digit) for each pixel.

    python -m benchmarks.tasks.bayes_digits

Digits are of 16 x 16 pixels, three times as many of which are seen in the same minutes as of
28 x 28 (--size small --steps 1600). Reads the set `mnist` below the folder that MMGEN_DATA names.
About 21 minutes on one core, twenty of them training; the trained model is kept in --model.
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
from benchmarks.idx import read_images, read_labels
from mmgen.evaluation.intervals import Proportion
from mmgen.evaluation.record import write_result
from mmgen.evaluation.task import Task
from mmgen.inference import Classification, classify
from mmgen.training import fit

__all__ = ["TASK", "main"]

TASK = Task(
    summary="Does a model that draws digits also read them?",
    protocol=3,
    minutes=21,
    quick=(
        "--size=debug",
        "--steps=3",
        "--count=20",
        "--model=runs/bench/quick/models/bayes_digits",
    ),
    quick_minutes=1,
    quick_note="a tiny model that learns nothing",
    data=("mnist",),
    shown=(
        ("digits told by Bayes' rule", "accuracy", "higher", "10 % by chance"),
        (
            "right where it is said to be 90 % sure",
            "trusted",
            "higher",
            "90 % is what it says of itself",
        ),
        ("bits of an image, for each pixel", "bits_per_dim", "lower", "8 of any pixels"),
    ),
)
PROTOCOL = TASK.protocol
SPLIT_SEED = 20_265
DIGITS = [str(d) for d in range(10)]
TRUSTED = 0.9

# So that an image no candidate of which is right does not cost infinitely many bits.
LEAST_PROBABILITY = 1e-6


def _scores(found: Sequence[Classification], labels: Sequence[str]) -> dict[str, Any]:
    right = [f.best == label for f, label in zip(found, labels, strict=True)]
    chances = [
        max(float(f.probability[DIGITS.index(label)]), LEAST_PROBABILITY)
        for f, label in zip(found, labels, strict=True)
    ]
    sure = [r for r, f in zip(right, found, strict=True) if float(f.probability.max()) >= TRUSTED]
    return {
        "accuracy": Proportion(sum(right), len(right)).as_dict(),
        "surprise_bits": round(float(-np.log2(chances).mean()), 4),
        "trusted": Proportion(sum(sure), len(sure)).as_dict() if sure else None,
    }


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = training_parser("bayes_digits", description=__doc__)
    parser.set_defaults(size="coarse", steps=5000)
    parser.add_argument("--count", type=int, default=1000, help="images to classify")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> Path:
    """Run the task and write its result.

    Args:
        given: Arguments of the command line; those of this process if None.

    Returns:
        The JSON file.
    """
    chosen = _arguments(given)
    pipe = grey_pixels(chosen.size, labels=DIGITS)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(read_labels("mnist")))
    images = read_images("mnist", size=pipe.codec.size)[order]
    labels = [DIGITS[i] for i in read_labels("mnist")[order]]
    train = list(zip(labels[chosen.count :], images[chosen.count :], strict=True))
    fit(pipe, train, output=chosen.model, steps=chosen.steps, seed=chosen.seed, **TRAINING)
    test, truth = list(images[: chosen.count]), labels[: chosen.count]
    started = time.monotonic()
    found = classify(pipe, test, DIGITS, seed=chosen.seed)
    scores = _scores(found, truth)
    scores["seconds_per_image"] = round((time.monotonic() - started) / len(test), 4)
    own = pipe.given(truth).log_prob(test).bits_per_dim
    scores["bits_per_dim"] = round(float(own.mean()), 4)
    names = ("size", "steps", "count", "seed")
    path = write_result(
        chosen.output / "bayes_digits.json",
        task="bayes_digits",
        protocol=PROTOCOL,
        settings={name: getattr(chosen, name) for name in names} | {"split_seed": SPLIT_SEED},
        scores=scores,
    )
    cell = scores["accuracy"]
    print(f"accuracy {Proportion(cell['successes'], cell['count'])}")
    print(path)
    return path


if __name__ == "__main__":
    main()
