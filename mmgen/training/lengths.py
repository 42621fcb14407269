"""Batches of pairs that are about as long as each other, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object

from mmgen.training.pairs import Pairs, index_at
from mmgen.training.trainable import Trainable

__all__ = ["OrderByLength", "read_lengths"]


class OrderByLength:
    """The index of the pair at each position of the endless run, long ones among long ones.

    The shuffled run of `index_at` is taken in pools of some batches, which end early where an epoch
    ends. In each, pairs are sorted by length and cut into batches, and the batches are shuffled. So
    an epoch still holds every pair once, and the pair at a position follows from it and the seed
    alone.

    Args:
        pairs: The collection.
        lengths: Of each pair, by its index (N,); any numbers that sort.
        batch_size: Pairs in a batch. One begins at each multiple of it.
        pool: Batches in a pool. With more, batches are more alike in length and the order is less
            random.
        seed: Of the order.
    """

    def __init__(
        self, pairs: Pairs, lengths: np.ndarray, *, batch_size: int, pool: int, seed: int
    ) -> None:
        self._pairs, self._lengths, self._seed = pairs, lengths, seed
        self._batch, self._span = batch_size, batch_size * pool
        self._held: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def __call__(self, position: int) -> int:
        pool, place = divmod(position, self._span)
        if self._held[0] != pool:
            self._held = (pool, self._sorted(pool * self._span))
        return int(self._held[1][place])

    def _sorted(self, first: int) -> np.ndarray:
        """The indices of the pool that begins at a position."""
        end, size = first + self._span, len(self._pairs)
        ends = range((first // size + 1) * size, end, size)
        return np.concatenate([self._within(a, b) for a, b in pairwise((first, *ends, end))])

    def _within(self, first: int, end: int) -> np.ndarray:
        """The indices of the positions of a pool that are of one epoch."""
        shuffled = [index_at(self._pairs, p, seed=self._seed) for p in range(first, end)]
        found = np.array(shuffled, dtype=np.int64)
        found = found[np.argsort(self._lengths[found], kind="stable")]
        # A batch that this shares with what comes before or after gets the shortest, which are
        # about as short there.
        before = min(-first % self._batch, end - first)
        after = (end - first - before) % self._batch
        whole = found[before + after :].reshape(-1, self._batch)
        whole = np.random.default_rng([self._seed, first]).permutation(whole)
        return np.concatenate([found[:before], whole.ravel(), found[before : before + after]])


def read_lengths(
    pipe: Trainable,
    pairs: Pairs,
    *,
    seed: int,
    process: int = 0,
    world: int = 1,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """What `OrderByLength` sorts by: how much is prepared of x, then of y, for each pair (N,).

    Each pair is read once; several processes share them out. A pair that is drawn anew each time is
    measured as it is drawn here.

    Args:
        pipe: What prepares them.
        pairs: The collection.
        seed: Of what pairs draw.
        process: Number of this process.
        world: Number of processes.
        progress: Called with the number of pairs read.

    Raises:
        ValueError, TypeError: If a pair cannot be read. The message says where it stands.
    """
    own = range(process, len(pairs), world)
    sizes = np.zeros((len(own), 2), np.int64)
    for row, index in enumerate(own):
        pair = pairs.pair(index, np.random.default_rng([seed, index]))
        try:
            tensors = pipe.prepare([pair])
        except (ValueError, TypeError) as error:
            raise type(error)(f"{pairs.where(index)}: {error}") from None
        # What prepares no y and x apart is measured as a whole.
        parts = [tensors.get("x", tensors), tensors.get("y", {})]
        sizes[row] = [sum(t.numel() for t in _tensors(part)) for part in parts]
        if progress is not None:
            progress(row + 1)
    if world > 1:
        found = np.zeros((len(pairs), 2), np.int64)
        for other, share in enumerate(gather_object([sizes])):
            found[other::world] = share
        sizes = found
    # Pairs of one size share a number, so that their order stays random.
    return np.unique(sizes, axis=0, return_inverse=True)[1].reshape(-1)


def _tensors(prepared: Mapping[str, Any]) -> Iterator[torch.Tensor]:
    for value in prepared.values():
        if isinstance(value, Mapping):
            yield from _tensors(value)
        elif isinstance(value, torch.Tensor):
            yield value
