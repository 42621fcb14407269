"""Batches of a run, prepared from a position on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import IterableDataset

from mmgen.training.pairs import Pairs, batch_at, index_at
from mmgen.training.settings import TrainSettings
from mmgen.training.trainable import Trainable

__all__ = ["Batches", "moved_to"]


class Batches(IterableDataset):
    """Prepared batches from a position on, this process's share of each.

    Args:
        pipe: What prepares them.
        pairs: Where they come from.
        settings: Of the run.
        first: Number of the first batch.
        process: Number of this process.
        world: Number of processes.
    """

    def __init__(
        self,
        pipe: Trainable,
        pairs: Pairs,
        settings: TrainSettings,
        *,
        first: int,
        process: int = 0,
        world: int = 1,
    ) -> None:
        self._pipe, self._pairs, self._settings = pipe, pairs, settings
        self._first, self._process, self._world = first, process, world

    def where(self, batch: int) -> list[str]:
        """Where the pairs of this process's share of a batch stand."""
        size, seed = self._settings.batch_size, self._settings.seed
        first = self.part(batch) * size
        positions = range(first, first + size)
        return [self._pairs.where(index_at(self._pairs, p, seed=seed)) for p in positions]

    def part(self, batch: int) -> int:
        """Number of this process's share of a batch, among those of all processes.

        Pairs and noise follow from it, so that several processes learn what one would learn that
        takes as many more batches in a step.
        """
        return batch * self._world + self._process

    def __iter__(self) -> Iterator[dict[str, Any]]:
        settings = self._settings
        worker = torch.utils.data.get_worker_info()
        offset, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        batch = self._first + offset
        while batch < settings.steps * settings.accumulation:
            first = self.part(batch) * settings.batch_size
            rows = batch_at(self._pairs, first, settings.batch_size, seed=settings.seed)
            try:
                tensors = self._pipe.prepare(rows)
            except (ValueError, TypeError) as error:
                raise self._located(rows, batch, error) from None
            yield tensors
            batch += stride

    def _located(self, rows: Sequence[tuple[Any, Any]], batch: int, error: Exception) -> Exception:
        """The error, with the place of the first pair of the batch that cannot be prepared."""
        for row, where in zip(rows, self.where(batch), strict=True):
            try:
                self._pipe.prepare([row])
            except (ValueError, TypeError) as own:
                return type(own)(f"{where}: {own}")
        return error


def moved_to(tensors: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Prepared tensors on a device. What is no tensor, such as values not encoded yet, stays."""
    return {k: _moved(v, device) for k, v in tensors.items()}


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Mapping):
        return moved_to(value, device)
    return value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
