"""A few steps of a run that leave nothing behind, to tell what the whole of it would take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmgen.pipeline import Pipeline
from mmgen.training.adapters import adapted
from mmgen.training.fit import training_pairs
from mmgen.training.machine import attention, memory_gb
from mmgen.training.pairs import Pairs
from mmgen.training.reading import Source
from mmgen.training.recomputing import recomputing
from mmgen.training.run import Run
from mmgen.training.selecting import only_training
from mmgen.training.settings import TrainSettings
from mmgen.training.trainable import Trainable
from mmgen.training.validation import Validation

__all__ = ["Rehearsal", "rehearse"]


@dataclass(frozen=True)
class Rehearsal:
    """What a run would take.

    Attributes:
        steps: Steps of the run.
        num_pairs: Pairs in an epoch; None if nobody knows.
        seen: Pairs that the run learns from, again and again if there are fewer.
        parameters: All parameters.
        trained: Those that are trained.
        step_seconds: Time of a step on this machine, the mean of those that were measured, in s.
        validation_seconds: Time of one measurement on held-out pairs, in s; 0 without them.
        num_validations: Number of those measurements.
        memory_gb: The most that the process held, in GB: of the GPU if there is one.
        checkpoint_gb: Size of a checkpoint on disk, in GB. While one is written, twice as much is
            held in the memory of the CPU, beside what is above.
        device: What it computed on.
    """

    steps: int
    num_pairs: int | None
    seen: int
    parameters: int
    trained: int
    step_seconds: float
    validation_seconds: float
    num_validations: int
    memory_gb: float
    checkpoint_gb: float
    device: str

    @property
    def epochs(self) -> float | None:
        """How often each pair is seen, if their number is known."""
        return None if self.num_pairs is None else self.seen / self.num_pairs

    @property
    def seconds(self) -> float:
        """Time of the whole run, checkpoints and samples not counted, in s."""
        return self.steps * self.step_seconds + self.num_validations * self.validation_seconds


def rehearse(
    pipe: Trainable,
    pairs: Source,
    *,
    validation: Source | None = None,
    num_steps: int = 4,
    **settings: Any,
) -> Rehearsal:
    """Take real steps on real pairs as `fit` would, measure them, and take them back.

    Weights and statistics of layers are then what they were. Nothing is written to disk. A
    vocabulary or statistics that the pipeline lacks are taken from the pairs, as by `fit`, and
    stay. Under torchrun each process measures itself.

    Args:
        pipe: What would be trained.
        pairs: What from, as in `fit`.
        validation: What would be measured on, as in `fit`.
        num_steps: Steps to measure, after one that is not; of each phase, if there are some.
        settings: Fields of `TrainSettings`: those of the run.

    Raises:
        ValueError: If `num_steps` is below 1.
        FloatingPointError: If the loss is not a finite number.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps is at least 1, got {num_steps}.")
    whole = TrainSettings(**settings)
    pairs, validation = training_pairs(pipe, pairs, validation)
    parameters = sum(p.numel() for p in pipe.parts.parameters())
    before = next(pipe.parts.parameters()).device
    phases = max(1, len(pipe.phases))
    short = replace(whole, steps=(1 + num_steps) * phases)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    again = recomputing(pipe.parts, whole.gradient_checkpointing)
    # Adapters that are back at their beginning change nothing when they are merged.
    with only_training(pipe.parts, whole.only), adapted(pipe, short), again:
        buffers = {name: buffer.clone() for name, buffer in pipe.parts.named_buffers()}
        run = Run(pipe, pairs, short, output=None)
        with _taken_back(run, buffers):
            seconds = _step_seconds(run, phases)
            measured = 0.0 if validation is None else _validation_seconds(run, pipe, validation)
            trained = sum(p.numel() for p in pipe.parts.parameters() if p.requires_grad)
            checkpoint = _checkpoint_bytes(run) / 1e9
    if before != run.accelerator.device:
        pipe.parts.to(before)
    return Rehearsal(
        steps=whole.steps,
        num_pairs=len(pairs) if isinstance(pairs, Pairs) else None,
        seen=whole.steps * whole.accumulation * whole.batch_size * run.accelerator.num_processes,
        parameters=parameters,
        trained=trained,
        step_seconds=seconds,
        validation_seconds=measured,
        # Before the first step, at intervals, and after the last.
        num_validations=0 if validation is None else 1 + -(-whole.steps // whole.validate_every),
        memory_gb=memory_gb(),
        checkpoint_gb=checkpoint,
        device=str(run.accelerator.device),
    )


@contextmanager
def _taken_back(run: Run, buffers: Mapping[str, Tensor]) -> Iterator[None]:
    """Give weights and buffers back what they were, also after an error; those that were not
    there yet, which are NaN, stay as they are now."""
    parts = run.pipe.parts
    now = {name: buffer.clone() for name, buffer in parts.named_buffers()}
    kept = {n: b for n, b in buffers.items() if n in now and not b.isnan().any()}
    try:
        yield
    finally:
        run.average.copy_to_module()
        for name, buffer in parts.named_buffers():
            buffer.copy_(kept.get(name, now[name]))
        parts.eval()


def _step_seconds(run: Run, phases: int) -> float:
    """Mean time of the steps after the first of each phase, which also allocate and compile."""
    run.pipe.parts.train()
    started, count = 0.0, 0
    with attention(run.accelerator.device):
        for done, _ in run.steps(0):
            if done == phases:
                started = time.perf_counter()
            count = done - phases
    return (time.perf_counter() - started) / count


def _validation_seconds(run: Run, pipe: Pipeline, pairs: Pairs) -> float:
    # Nothing is taken in, so that nothing is written to this folder.
    own = {"average": run.average, "folder": Path(), "settings": run.settings}
    started = time.perf_counter()
    Validation(pipe, pairs, **own).measure()
    return time.perf_counter() - started


def _checkpoint_bytes(run: Run) -> int:
    tensors = [*run.bare.state_dict().values(), *run.average.weights.values()]
    for optimizer in run.optimizers:
        for state in optimizer.state_dict()["state"].values():
            tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
    return sum(t.numel() * t.element_size() for t in tensors)
