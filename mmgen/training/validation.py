"""The loss on pairs that are held out, and the best weights by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmgen.core.files import folder_beside, read_json, read_tensors, write_beside
from mmgen.pipeline import Pipeline
from mmgen.training.ema import WeightAverage
from mmgen.training.moving import moved_to
from mmgen.training.pairs import Pairs, batch_at
from mmgen.training.parting import whole
from mmgen.training.settings import TrainSettings

__all__ = ["Validation"]


class Validation:
    """Measures the averaged weights on pairs that are held out, and keeps the best.

    Noise and order are the same at every measurement, so that two differ by the weights alone.

    Args:
        pipe: What is trained.
        pairs: Pairs that it does not learn from.
        average: Its averaged weights.
        folder: Where the best weights are kept.
        settings: Of the run.
        step: What to ask for the loss where weights are parted; the pipeline itself if None.
    """

    def __init__(
        self,
        pipe: Pipeline,
        pairs: Pairs,
        *,
        average: WeightAverage,
        folder: Path,
        settings: TrainSettings,
        step: nn.Module | None = None,
    ) -> None:
        self._step = step
        self._pipe, self._pairs, self._average = pipe, pairs, average
        self._folder, self._settings = folder, settings
        self.first: float | None = None
        self.best: float | None = None
        self._since = 0

    @property
    def stalled(self) -> bool:
        """Whether `patience` measurements in a row were no better than the best."""
        return 0 < self._settings.patience <= self._since

    @torch.no_grad()
    def measure(self) -> float:
        """Mean loss of the averaged weights over the first `validation_from` pairs."""
        settings = self._settings
        size = settings.batch_size
        count = min(len(self._pairs), settings.validation_from)
        device = self._pipe.device
        total = 0.0
        self._pipe.parts.eval()
        with self._average.applied(), torch.compiler.set_stance("force_eager"):
            for first in range(0, count, size):
                rows = batch_at(self._pairs, first, min(size, count - first), seed=settings.seed)
                tensors = moved_to(self._pipe.prepare(rows), device)
                if self._step is not None:
                    total += len(rows) * float(self._step(tensors, first, None, 0.0))
                    continue
                generator = torch.Generator("cpu").manual_seed(first)
                losses = self._pipe.loss(tensors, generator=generator, condition_dropout=0.0)
                total += float(losses.sum())
        self._pipe.parts.train()
        return total / count

    def take(self, step: int, loss: float, *, write: bool) -> None:
        """Take in what was measured at a step, and keep the weights if none were better.

        Args:
            step: Of the run.
            loss: What `measure` found.
            write: Whether this process is the one that writes.
        """
        if self.first is None:
            self.first = loss
        if self.best is not None and not loss < self.best:
            self._since += 1
            return
        self.best, self._since = loss, 0
        # Whatever is parted, all processes put together.
        weights = {k: whole(v) for k, v in self._average.weights.items()}
        if write:
            from safetensors.torch import save

            with folder_beside(self._folder) as new:
                weights = {k: v.cpu().contiguous() for k, v in weights.items()}
                write_beside(new / "average.safetensors", save(weights))
                content = {"step": step, "loss": loss, "first": self.first}
                write_beside(new / "best.json", json.dumps(content).encode())

    def state(self) -> dict[str, Any]:
        """What going on needs beside the best weights."""
        return {"first": self.first, "best": self.best, "since": self._since}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.first, self.best, self._since = state["first"], state["best"], state["since"]

    def restore_best(self) -> int:
        """Put the best weights into the average.

        Returns:
            The step they are of.
        """
        self._average.load(read_tensors(self._folder / "average.safetensors"))
        return int(read_json(self._folder / "best.json")["step"])
