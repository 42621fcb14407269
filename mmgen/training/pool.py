"""Values that are costly to make: made in blocks when they are needed, and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

__all__ = ["Pool"]

T = TypeVar("T")


class Pool(Generic[T]):
    """A sequence whose blocks are made at first sight.

    Args:
        make: From a range of indices to the values there. The same range gives the same values.
        size: Number of values.
        block: How many are made at once.

    Raises:
        ValueError: If there are none, or none are made at once.
    """

    def __init__(self, make: Callable[[range], Sequence[T]], *, size: int, block: int) -> None:
        if size < 1 or block < 1:
            raise ValueError(f"Expected a size and a block of at least 1, got {size} and {block}.")
        self._make, self._size, self._block = make, size, block
        self._blocks: dict[int, Sequence[T]] = {}

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> T:
        if not 0 <= index < self._size:
            raise IndexError(f"Expected an index from 0 to {self._size - 1}, got {index}.")
        number, place = divmod(index, self._block)
        if number not in self._blocks:
            start = number * self._block
            found = self._make(range(start, min(start + self._block, self._size)))
            self._blocks[number] = found
        return self._blocks[number][place]
