"""One fine-tuning: what a pipeline does before and after it, and what it takes.

A case is a file of this folder with TASK, its pairs and its judge, and `main`, which hands them to
`finetuned`. Before and after `fit` that measures the loss on held-out pairs, with the same noise
and no condition withheld, asks the judge, and draws the same samples. Seconds are those of `fit`
alone, on the clock and of processors: the two differ by threads, and by what else the machine does.
Peak memory is of the whole process: libraries, data and the measuring before.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmgen.evaluation.record import write_result
from mmgen.evaluation.task import Task
from mmgen.evaluation.weights import weights_of
from mmgen.pipeline import Pipeline
from mmgen.training import fit
from mmgen.training.machine import memory_gb
from mmgen.training.pairs import Pairs, SelectedPairs

__all__ = ["Case", "case_parser", "finetuned", "held_out_loss"]

Judge = Callable[[Pipeline], Mapping[str, Any]]

_BATCH = 16


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is fine-tuned, and how it is judged.

    Args:
        name: Of the file.
        task: What it says of itself. Its first `shown` score is the loss.
        learnt: Pairs to learn from.
        held_out: Pairs of the new kind that neither the pipeline nor `fit` has seen.
        settings: Fields of `TrainSettings`.
        judge: From a pipeline to numbers about its samples, by name.
        conditions: What samples are drawn for, to be shown.
        options: Sampling options of those.
        repeats: How often each held-out pair is looked at: more where noise is drawn.
        real: What the judge says of real held-out values, where it can.
    """

    name: str
    task: Task
    learnt: Pairs
    held_out: Pairs
    settings: Mapping[str, Any]
    judge: Judge
    conditions: Sequence[Any] = ()
    options: Mapping[str, Any] | None = None
    repeats: int = 1
    real: Mapping[str, Any] | None = None


def case_parser(name: str, task: Task, description: str | None) -> argparse.ArgumentParser:
    """A parser of what every case takes."""
    parser = argparse.ArgumentParser(
        prog=f"benchmarks.finetuning.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pipeline", default=task.pipeline, help="what is fine-tuned")
    parser.add_argument("--steps", type=int, default=None, help="of training, if other ones")
    parser.add_argument("--quick", action="store_true", help="three steps, few pairs")
    parser.add_argument("--run", type=Path, default=None, help="folder of the run, to keep it")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    return parser


def finetuned(case: Case, asked: argparse.Namespace) -> tuple[Path, list[Any], list[Any]]:
    """Fine-tune, and write finetuning_<name>.json.

    Args:
        case: What and how.
        asked: What `case_parser` read.

    Returns:
        The record, and the samples of the case's conditions before and after.
    """
    pipe = Pipeline.from_pretrained(asked.pipeline)
    settings = {"precision": "no", "sample_every": 0, **case.settings}
    held_out = case.held_out
    if asked.quick:
        settings |= {"steps": 3, "batch_size": 2, "warmup": 1}
        held_out = SelectedPairs(held_out, range(min(4, len(held_out))))
    if asked.steps is not None:
        settings["steps"] = asked.steps
    before = _looked_at(pipe, case, held_out)
    with tempfile.TemporaryDirectory() as folder:
        started, begun = time.monotonic(), time.process_time()
        fit(pipe, case.learnt, output=asked.run or folder, validation=held_out, **settings)
        seconds, worked = time.monotonic() - started, time.process_time() - begun
    peak = memory_gb()
    after = _looked_at(pipe, case, held_out)
    scores: dict[str, Any] = {}
    for key, value in before.numbers.items():
        scores[key] = {"before": value, "after": after.numbers[key]}
        if case.real and key in case.real:
            scores[key]["real"] = case.real[key]
        print(f"{key}: {scores[key]}")
    scores |= {"seconds": round(seconds, 1), "cpu_seconds": round(worked, 1)}
    scores["peak_memory_mb"] = round(1000 * peak, 1)
    print(f"{scores['seconds']} s, {scores['cpu_seconds']} of CPU, {scores['peak_memory_mb']} MB")
    shown = zip(case.conditions, before.samples, after.samples, strict=True)
    scores["samples"] = [
        {"y": y, "before": old, "after": new} for y, old, new in shown if isinstance(new, str)
    ]
    record = write_result(
        asked.output / f"finetuning_{case.name}.json",
        task=case.task.summary,
        protocol=case.task.protocol,
        settings={
            "pipeline": asked.pipeline,
            "weights_sha256": weights_of(asked.pipeline),
            "parameters": sum(p.numel() for p in pipe.parts.parameters()),
            "pairs": len(case.learnt),
            "held_out": len(held_out),
            "quick": asked.quick,
            **settings,
        },
        scores=scores,
    )
    return record, before.samples, after.samples


@dataclass(frozen=True)
class _Look:
    """What is found of a pipeline at a time: numbers by name, and samples."""

    numbers: dict[str, Any]
    samples: list[Any]


def _looked_at(pipe: Pipeline, case: Case, held_out: Pairs) -> _Look:
    numbers: dict[str, Any] = {"loss": held_out_loss(pipe, held_out, repeats=case.repeats)}
    numbers |= case.judge(pipe)
    conditions = list(case.conditions)
    samples = pipe(conditions, seed=0, **(case.options or {})) if conditions else []
    return _Look(numbers, samples)


@torch.no_grad()
def held_out_loss(pipe: Pipeline, pairs: Pairs, *, repeats: int = 1) -> float:
    """The mean loss on all pairs, the same noise each time and no condition withheld."""
    total, count = 0.0, 0
    for repeat in range(repeats):
        for first in range(0, len(pairs), _BATCH):
            places = range(first, min(first + _BATCH, len(pairs)))
            rows = [pairs.pair(i, np.random.default_rng([repeat, i])) for i in places]
            generator = torch.Generator("cpu").manual_seed(repeat * 1_000_003 + first)
            losses = pipe.loss(pipe.prepare(rows), generator=generator, condition_dropout=0.0)
            total, count = total + float(losses.sum()), count + len(rows)
    return round(total / count, 5)
