"""How fast `fit` trains beside the loops that others train with, and what memory adapters save.

A causal language model by `fit` and by transformers' Trainer; a text-to-image UNet by `fit` and by
a plain loop of diffusers and Accelerate: the same checkpoint, pairs, batch and precision, in turns
in one run, each turn from the checkpoint anew. Steps per second, and the quotient in each turn.
`fit` runs frozen parts at each step here, as the plain loop does; by itself it would keep what they
give. Trainer reads one token more of each text, the last.

Peak memory is the resident memory of a process of its own that takes a few steps of `fit` on the
language model, whole or by adapters of rank 8, libraries included.

    python -m benchmarks.speed.training --rounds 5 --steps 20
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.speed.made import SIZES, diffusion_model, language_model, pictures, texts
from benchmarks.speed.memory import peak_of
from benchmarks.speed.timing import Spread, ratio
from benchmarks.speed.training_loops import Work, by_diffusers_loop, by_fit, by_trainer
from mmgen.evaluation.record import write_result
from mmgen.evaluation.task import Task

__all__ = ["TASK", "main"]

TASK = Task(
    summary="Steps of training beside transformers' Trainer and a loop of diffusers.",
    protocol=2,
    minutes=30,
    quick=(
        "--size=debug",
        "--rounds=2",
        "--steps=2",
        "--skipped=1",
        "--batch-size=2",
        "--no-memory",
    ),
    quick_minutes=1,
    quick_note="tiny networks",
    shown=(
        (
            "steps per second over those of Trainer, language model",
            "language model/mmgen_over_trainer",
            "higher",
            "1",
        ),
        (
            "steps per second over those of a plain loop, text to image",
            "text to image/mmgen_over_diffusers_loop",
            "higher",
            "1",
        ),
        ("memory of adapters over that of all weights", "memory/share", "lower", "1"),
    ),
)
PROTOCOL = TASK.protocol
LEAST_PARAMETERS = 100e6
RANK = 8
LENGTHS = {"debug": 8, "full": 128}

Loop = Callable[[Work], list[float]]


def _timed(loops: Mapping[str, Loop], work: Work, rounds: int) -> dict[str, Any]:
    """Steps per second of each loop, taken in turns; the first of them is ours."""
    means: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, loop in loops.items():
            means[name].append(float(np.mean(loop(work))))
    ours, theirs = loops
    found = {n: Spread.of([1 / s for s in own]).as_dict() for n, own in means.items()}
    faster = Spread.of(ratio(means[theirs], means[ours])).as_dict()
    return {"steps_per_second": found, f"{ours}_over_{theirs}": faster}


def _cases(folder: Path, size: str) -> dict[str, tuple[int, Path, Any, dict[str, Loop]]]:
    """Parameters, checkpoint, pairs and loops of what is trained, by name."""
    language, diffusion = folder / "language", folder / "diffusion"
    counts = language_model(language, size), diffusion_model(diffusion, size)
    of_language = {"mmgen": by_fit, "trainer": by_trainer}
    of_diffusion = {"mmgen": by_fit, "diffusers_loop": by_diffusers_loop}
    return {
        "language model": (counts[0], language, texts(LENGTHS[size], 64), of_language),
        "text to image": (counts[1], diffusion, pictures(64), of_diffusion),
    }


def _memory(checkpoint: Path, size: str, batch_size: int, precision: str) -> dict[str, Any]:
    """Peak memory in MB of training a checkpoint, whole and by adapters."""
    own = ["-m", "benchmarks.speed.training_memory", str(checkpoint)]
    own += [
        "--tokens",
        str(LENGTHS[size]),
        "--batch-size",
        str(batch_size),
        "--precision",
        precision,
    ]
    found: dict[str, Any] = {}
    for name, rank in (("whole", 0), ("adapters", RANK)):
        print(f"memory of training {name} ...", file=sys.stderr)
        found[name] = peak_of([*own, "--rank", str(rank)], what=f"training {name}")
    return {"mb": found, "rank": RANK, "share": round(found["adapters"] / found["whole"], 4)}


def main(arguments: Sequence[str] | None = None) -> Path:
    """Measure, and write benchmarks/results/speed_training.json."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.speed.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each loop")
    parser.add_argument("--steps", type=int, default=20, help="timed in each turn")
    parser.add_argument("--skipped", type=int, default=3, help="taken before those")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--precision", choices=("no", "bf16"), default="no")
    parser.add_argument("--no-memory", action="store_true", help="leave memory out")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    asked = parser.parse_args(arguments)
    scores: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        cases = _cases(Path(folder), asked.size)
        for name, (count, checkpoint, pairs, loops) in cases.items():
            print(f"{name}, {count / 1e6:.0f} M parameters ...", file=sys.stderr)
            how = {"batch_size": asked.batch_size, "precision": asked.precision}
            work = Work(checkpoint, pairs, steps=asked.steps, skipped=asked.skipped, **how)
            scores[name] = {"parameters": count, **_timed(loops, work, asked.rounds)}
            for loop, spread in scores[name]["steps_per_second"].items():
                print(f"{name:16} {loop:16} {spread['median']:.3f} steps/s")
        count, checkpoint, *_ = cases["language model"]
        if asked.size == "full" and count < LEAST_PARAMETERS:
            raise RuntimeError(f"The language model has {count / 1e6:.0f} M parameters, not 100 M.")
        scores["memory"] = None
        if not asked.no_memory:
            scores["memory"] = _memory(checkpoint, asked.size, asked.batch_size, asked.precision)
            print(f"adapters need {scores['memory']['share']:.2f} of the memory")
    return write_result(
        asked.output / "speed_training.json",
        task="speed of training",
        protocol=PROTOCOL,
        settings={
            "size": asked.size,
            "rounds": asked.rounds,
            "steps": asked.steps,
            "skipped": asked.skipped,
            "batch_size": asked.batch_size,
            "precision": asked.precision,
            "tokens": LENGTHS[asked.size],
            "threads": torch.get_num_threads(),
            "cores_allowed": len(os.sched_getaffinity(0)),
        },
        scores=scores,
    )


if __name__ == "__main__":
    main()
