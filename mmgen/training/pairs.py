"""Pairs (y, x) to train on, in an order that can be taken up anywhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

__all__ = [
    "DrawnPairs",
    "IndexedPairs",
    "ListedPairs",
    "Pairs",
    "SelectedPairs",
    "batch_at",
    "index_at",
]


class Pairs(ABC):
    """A collection of pairs (y, x).

    A pair may be drawn anew each time it is seen (a caption in other words, a simulated scene),
    from a random generator that its place in the training run decides. So where a run stopped is
    one number, and going on from there sees what would have been seen.
    """

    fixed: bool = False
    """Whether the pair of an index is the same each time, so that what comes of it can be kept."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of pairs in an epoch."""

    @abstractmethod
    def pair(self, index: int, rng: np.random.Generator) -> tuple[Any, Any]:
        """The pair (y, x) of this index.

        Raises:
            ValueError: If it cannot be read. The message says where it stands.
        """

    def where(self, index: int) -> str:
        """Where the pair of this index comes from, for messages."""
        return f"pair {index}"


class ListedPairs(Pairs):
    """Pairs that are given."""

    fixed = True

    def __init__(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        self._pairs = list(pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def pair(self, index: int, rng: np.random.Generator) -> tuple[Any, Any]:
        return self._pairs[index]


class IndexedPairs(Pairs):
    """The pairs of a sequence, each read when it is asked for, and the same each time."""

    fixed = True

    def __init__(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def pair(self, index: int, rng: np.random.Generator) -> tuple[Any, Any]:
        return self._pairs[index]


class SelectedPairs(Pairs):
    """Some pairs of a collection.

    Args:
        pairs: The collection.
        indices: Which of them.
    """

    def __init__(self, pairs: Pairs, indices: Sequence[int]) -> None:
        self._pairs, self._indices, self.fixed = pairs, list(indices), pairs.fixed

    def __len__(self) -> int:
        return len(self._indices)

    def pair(self, index: int, rng: np.random.Generator) -> tuple[Any, Any]:
        return self._pairs.pair(self._indices[index], rng)

    def where(self, index: int) -> str:
        return self._pairs.where(self._indices[index])


class DrawnPairs(Pairs):
    """Pairs that a function makes.

    Args:
        draw: From an index below `length` and a random generator to a pair (y, x). The same index
            and the same state of the generator give the same pair.
        length: Number of pairs in an epoch. Where every pair is drawn anew, any large number.

    Raises:
        ValueError: If the length is below 1.
    """

    def __init__(
        self, draw: Callable[[int, np.random.Generator], tuple[Any, Any]], length: int
    ) -> None:
        if length < 1:
            raise ValueError(f"Expected an epoch of at least one pair, got {length}.")
        self._draw, self._length = draw, length

    def __len__(self) -> int:
        return self._length

    def pair(self, index: int, rng: np.random.Generator) -> tuple[Any, Any]:
        return self._draw(index, rng)


def batch_at(pairs: Pairs, first: int, count: int, *, seed: int) -> list[tuple[Any, Any]]:
    """The pairs at positions first, first + 1, ... of an endless shuffled run.

    Args:
        pairs: Where they come from.
        first: Position of the first one.
        count: How many.
        seed: Of the order and of what each pair draws.
    """
    return [
        pairs.pair(index_at(pairs, position, seed=seed), np.random.default_rng([seed, position]))
        for position in range(first, first + count)
    ]


def index_at(pairs: Pairs, position: int, *, seed: int) -> int:
    """The index of the pair at a position of the endless shuffled run."""
    epoch, place = divmod(position, len(pairs))
    return _shuffled(place, len(pairs), seed=seed, epoch=epoch)


def _shuffled(place: int, size: int, *, seed: int, epoch: int, rounds: int = 4) -> int:
    """Where a keyed permutation of range(size) sends `place`, without writing it out.

    A Feistel network on the next power of four, walked until it lands inside.

    Source: Ciphers with Arbitrary Finite Domains (Black & Rogaway, 2002), Sec. 4.
    """
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    keys = [hash((seed, epoch, r)) & 0xFFFFFFFF for r in range(rounds)]
    while True:
        left, right = place >> half, place & mask
        for key in keys:
            mixed = ((right + key) * 0x9E3779B1 ^ (key >> 7)) & 0xFFFFFFFF
            left, right = right, left ^ ((mixed ^ mixed >> 15) * 0x85EBCA6B >> 13) & mask
        place = left << half | right
        if place < size:
            return place
