"""Does a model that draws digits also read them?

A model of P(image | digit) is trained on MNIST. Held-out images are then classified by Bayes' rule,
log p(image | digit) by its variational bound with the same noise for all ten digits, and

- accuracy: how often the likeliest digit is the right one, with halving and with every candidate
  scored as often as the winner (the full budget), and what each costs in calls of the network;
- surprise: mean of -log2 p(right digit | image), 3.32 bits by chance;
- trusted: how often the right digit is found where its probability is said to be 90 % or more.

    python -m benchmarks.tasks.bayes_digits

Reads the set `mnist` below the folder that MMGEN_DATA names. About twenty minutes on two cores, ten
of them training; the trained model is kept in --model.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import training_parser
from benchmarks.idx import read_images, read_labels
from mmgen import Pipeline
from mmgen.evaluation.intervals import Proportion
from mmgen.evaluation.record import write_result
from mmgen.inference import Classification, classify
from mmgen.training import fit

__all__ = ["main"]

PROTOCOL = 1
SPLIT_SEED = 20_265
DIGITS = [str(d) for d in range(10)]
TRUSTED = 0.9

# So that an image no candidate of which is right does not cost infinitely many bits.
LEAST_PROBABILITY = 1e-6


def _scores(found: Sequence[Classification], labels: Sequence[str], draws: int) -> dict[str, Any]:
    right = [f.best == label for f, label in zip(found, labels, strict=True)]
    chances = [
        max(float(f.probability[DIGITS.index(label)]), LEAST_PROBABILITY)
        for f, label in zip(found, labels, strict=True)
    ]
    sure = [r for r, f in zip(right, found, strict=True) if float(f.probability.max()) >= TRUSTED]
    calls = np.mean([f.num_evaluations * draws for f in found])
    return {
        "accuracy": Proportion(sum(right), len(right)).as_dict(),
        "surprise_bits": round(float(-np.log2(chances).mean()), 4),
        "trusted": Proportion(sum(sure), len(sure)).as_dict() if sure else None,
        "calls_per_image": round(float(calls), 1),
    }


def _full_budget(
    pipe: Pipeline, images: Sequence[np.ndarray], *, evaluations: int, draws: int, seed: int
) -> Sequence[int]:
    """The likeliest digit of each image with every candidate scored as often."""
    best = []
    options = {"likelihood": "bound", "num_bound_draws": draws * evaluations}
    given = pipe.given(DIGITS, **options)
    for i, image in enumerate(images):
        nats = given.log_prob([image] * len(DIGITS), seed=[seed + i] * len(DIGITS)).nats
        best.append(int(nats.argmax()))
    return best


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = training_parser("bayes_digits", description=__doc__, draws=8)
    parser.add_argument("--count", type=int, default=200, help="images to classify")
    parser.add_argument("--full", type=int, default=20, help="of them also with the full budget")
    parser.add_argument("--budget", type=int, default=160, help="evaluations for each image")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> Path:
    """Run the task and write its result.

    Args:
        given: Arguments of the command line; those of this process if None.

    Returns:
        The JSON file.
    """
    chosen = _arguments(given)
    pipe = Pipeline.compose(
        x="image", y="label", family="diffusion", size=chosen.size, labels=DIGITS
    )
    order = np.random.default_rng(SPLIT_SEED).permutation(len(read_labels("mnist")))
    images = read_images("mnist", size=pipe.codec.size)[order]
    labels = [DIGITS[i] for i in read_labels("mnist")[order]]
    train = list(zip(labels[chosen.count :], images[chosen.count :], strict=True))
    fit(pipe, train, output=chosen.model, steps=chosen.steps, batch_size=64, seed=chosen.seed)
    test, truth = list(images[: chosen.count]), labels[: chosen.count]
    started = time.monotonic()
    found = classify(
        pipe,
        test,
        DIGITS,
        budget=chosen.budget,
        seed=chosen.seed,
        num_bound_draws=chosen.draws,
    )
    scores: dict[str, Any] = {"halving": _scores(found, truth, chosen.draws)}
    scores["halving"]["seconds_per_image"] = round((time.monotonic() - started) / len(test), 4)
    rounds = 4  # ceil(log2(10)), over 10, 5, 3 and 2 candidates
    most = sum(chosen.budget // (rounds * kept) for kept in (10, 5, 3, 2))
    best = _full_budget(
        pipe, test[: chosen.full], evaluations=most, draws=chosen.draws, seed=chosen.seed
    )
    right = sum(DIGITS[b] == label for b, label in zip(best, truth, strict=False))
    same = sum(DIGITS[b] == f.best for b, f in zip(best, found, strict=False))
    scores["full_budget"] = {
        "accuracy": Proportion(right, len(best)).as_dict(),
        "same_as_halving": Proportion(same, len(best)).as_dict(),
        "calls_per_image": len(DIGITS) * most * chosen.draws,
    }
    chosen.output.mkdir(parents=True, exist_ok=True)
    names = ("size", "steps", "count", "full", "budget", "draws", "seed")
    path = write_result(
        chosen.output / "bayes_digits.json",
        task="bayes_digits",
        protocol=PROTOCOL,
        settings={name: getattr(chosen, name) for name in names} | {"split_seed": SPLIT_SEED},
        scores=scores,
    )
    for name, row in scores.items():
        cell = row["accuracy"]
        share = str(Proportion(cell["successes"], cell["count"]))
        print(f"{name:<14}{share:<36}{row['calls_per_image']:>10} calls for each image")
    print(path)
    return path


if __name__ == "__main__":
    main()
