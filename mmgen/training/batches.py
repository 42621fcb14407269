"""Batches of a run, prepared from a position on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

from mmgen.training.encodings import Encodings
from mmgen.training.pairs import Pairs
from mmgen.training.settings import TrainSettings
from mmgen.training.streaming import Cursor, StreamedPairs
from mmgen.training.trainable import Trainable

__all__ = ["Batches"]


class Batches(IterableDataset):
    """Prepared batches from a position on, this process's share of each.

    Args:
        pipe: What prepares them.
        pairs: Where they come from.
        settings: Of the run.
        order: From a position of the endless run to the index of its pair; None for a stream.
        encodings: What stands for the prepared tensors of frozen parts, if something does.
        first: Number of the first batch.
        process: Number of this process.
        world: Number of processes.
    """

    def __init__(
        self,
        pipe: Trainable,
        pairs: Pairs | StreamedPairs,
        settings: TrainSettings,
        *,
        order: Callable[[int], int] | None,
        encodings: Encodings | None = None,
        first: int,
        process: int = 0,
        world: int = 1,
    ) -> None:
        self._pipe, self._pairs, self._settings, self._order = pipe, pairs, settings, order
        self._encodings = encodings
        self._cursor: Cursor | None = None
        if isinstance(pairs, StreamedPairs):
            self._cursor = Cursor(pairs, seed=settings.seed)
        self._first, self._process, self._world = first, process, world

    def where(self, batch: int) -> list[str]:
        """Where the pairs of this process's share of a batch stand."""
        if self._cursor is not None:
            return [f"position {p} of the shuffled stream" for p in self._positions(batch)]
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
            yield self.prepared(batch)
            batch += stride

    def prepared(self, batch: int) -> dict[str, Any]:
        """This process's share of a batch."""
        held: dict[str, Any] = {}
        if self._encodings is not None:
            held = self._encodings.batch([self._order(p) for p in self._positions(batch)])
            if held.keys() >= {"x", "y"}:
                return held
        rows = [self._pair(p) for p in self._positions(batch)]
        try:
            if not held:
                return self._pipe.prepare(rows)
            if "x" in held:
                return {**held, "y": self._pipe.encoder.prepare([y for y, _ in rows])}
            return {**held, "x": self._pipe.codec.prepare([x for _, x in rows])}
        except (ValueError, TypeError) as error:
            raise self._located(rows, batch, error) from None

    def _pair(self, position: int) -> tuple[Any, Any]:
        if self._cursor is not None:
            return self._cursor.pair(position)
        rng = np.random.default_rng([self._settings.seed, position])
        return self._pairs.pair(self._order(position), rng)

    def _located(self, rows: Sequence[tuple[Any, Any]], batch: int, error: Exception) -> Exception:
        """The error, with the place of the first pair of the batch that cannot be prepared."""
        for row, where in zip(rows, self.where(batch), strict=True):
            try:
                self._pipe.prepare([row])
            except (ValueError, TypeError) as own:
                return type(own)(f"{where}: {own}")
        return error
