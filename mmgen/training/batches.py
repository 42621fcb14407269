"""Batches of a run, prepared from a position on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

from mmgen.training.pairs import Pairs
from mmgen.training.settings import TrainSettings
from mmgen.training.trainable import Trainable

__all__ = ["Batches", "moved_to"]


class Batches(IterableDataset):
    """Prepared batches from a position on, this process's share of each.

    Args:
        pipe: What prepares them.
        pairs: Where they come from.
        settings: Of the run.
        order: From a position of the endless run to the index of its pair.
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
        order: Callable[[int], int],
        first: int,
        process: int = 0,
        world: int = 1,
    ) -> None:
        self._pipe, self._pairs, self._settings, self._order = pipe, pairs, settings, order
        self._first, self._process, self._world = first, process, world

    def where(self, batch: int) -> list[str]:
        """Where the pairs of this process's share of a batch stand."""
        return [self._pairs.where(self._order(p)) for p in self._positions(batch)]

    def _positions(self, batch: int) -> range:
        first = self.part(batch) * self._settings.batch_size
        return range(first, first + self._settings.batch_size)

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
            rows = [
                self._pairs.pair(self._order(p), np.random.default_rng([settings.seed, p]))
                for p in self._positions(batch)
            ]
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
