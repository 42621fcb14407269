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

    def __iter__(self) -> Iterator[dict[str, Any]]:
        settings, world = self._settings, self._world
        worker = torch.utils.data.get_worker_info()
        offset, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        batch = self._first + offset
        while batch < settings.steps * settings.accumulation:
            first = batch * settings.batch_size * world + self._process
            rows = batch_at(
                self._pairs, first, settings.batch_size, seed=settings.seed, stride=world
            )
            try:
                tensors = self._pipe.prepare(rows)
            except (ValueError, TypeError) as error:
                raise self._located(rows, first, error) from None
            yield tensors
            batch += stride

    def _located(self, rows: Sequence[tuple[Any, Any]], first: int, error: Exception) -> Exception:
        """The error, with the place of the first pair of the batch that cannot be prepared."""
        for number, row in enumerate(rows):
            try:
                self._pipe.prepare([row])
            except (ValueError, TypeError) as own:
                position = first + number * self._world
                index = index_at(self._pairs, position, seed=self._settings.seed)
                return type(own)(f"{self._pairs.where(index)}: {own}")
        return error


def moved_to(tensors: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Prepared tensors on a device."""
    return {
        k: moved_to(v, device) if isinstance(v, Mapping) else v.to(device, non_blocking=True)
        for k, v in tensors.items()
    }
