"""Pairs that can only be read one after another, in an order that can be taken up anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from typing import Any

import numpy as np

__all__ = ["Cursor", "StreamedPairs"]

Pair = tuple[Any, Any]


class StreamedPairs:
    """Pairs of a stream: of any length, read from its beginning whenever they are needed.

    The order is that of the stream, shuffled within a buffer, and follows from the seed of the run;
    when the stream ends the next epoch begins. Where a run goes on, the stream is read up to there
    and nothing of it is prepared. Of several processes, each reads the whole stream and takes what
    is its own, so that none learns what another does; and so does each of several workers.

    Args:
        source: What gives the items each time it is iterated over, in the same order; or a function
            that gives such an iterator each time it is called.
        buffer: Items to shuffle among, which are held in memory. 1 to leave the order.
        read: From an item to a pair (y, x), called for the items that are used. If not given, items
            are pairs.

    Raises:
        TypeError: If the source can be read only once, or not at all.
        ValueError: If the buffer is below 1.
    """

    fixed = False

    def __init__(
        self,
        source: Iterable[Any] | Callable[[], Iterable[Any]],
        *,
        buffer: int = 1000,
        read: Callable[[Any], Pair] | None = None,
    ) -> None:
        if buffer < 1:
            raise ValueError(f"The buffer holds at least 1 item, got {buffer}.")
        if isinstance(source, Iterator):
            raise TypeError(
                f"Expected what can be read again and again, got {type(source).__name__}, which "
                "can be read once: a run also reads statistics, further epochs, and up to where it "
                "stopped. Give the function that makes it, or list(...) if it fits into memory."
            )
        if not callable(source) and not isinstance(source, Iterable):
            raise TypeError(f"Expected an iterable of pairs, got {type(source).__name__}.")
        self._source, self._buffer = source, buffer
        self._read = read or _as_pair

    def first(self, most: int) -> list[Pair]:
        """The first pairs of the stream, as it gives them.

        Raises:
            ValueError: If there is none.
        """
        found = [self._read(item) for item in islice(self._items(), most)]
        if not found:
            raise ValueError("Expected at least one pair in the stream, got none.")
        return found

    def shuffled(self, seed: int) -> Iterator[tuple[int, Callable[[], Pair]]]:
        """The number of each item in the stream and what reads it, epoch after epoch, without end.

        Raises:
            ValueError: If an epoch has no item.
        """
        for epoch in count():
            empty = True
            for number, item in self._epoch(seed, epoch):
                empty = False
                yield number, lambda item=item: self._read(item)
            if empty:
                raise ValueError(
                    f"Epoch {epoch} of the stream holds no pairs. Expected it to give them anew "
                    "each time that it is iterated over."
                )

    def _epoch(self, seed: int, epoch: int) -> Iterator[tuple[int, Any]]:
        """The numbered items of an epoch: each new one takes the place of one that leaves."""
        rng = np.random.default_rng([seed, epoch])
        held: list[tuple[int, Any]] = []
        for item in enumerate(self._items()):
            if len(held) < self._buffer:
                held.append(item)
                continue
            place = int(rng.integers(len(held)))
            yield held[place]
            held[place] = item
        for place in rng.permutation(len(held)):
            yield held[place]

    def _items(self) -> Iterator[Any]:
        return iter(self._source() if callable(self._source) else self._source)


class Cursor:
    """Where in a stream a run is: asked for positions that grow, it only reads on.

    Args:
        stream: The stream.
        seed: Of the run.
    """

    def __init__(self, stream: StreamedPairs, *, seed: int) -> None:
        self._stream, self._seed = stream, seed
        self._rest: Iterator[tuple[int, Callable[[], Pair]]] | None = None
        self._next = 0

    def pair(self, position: int) -> Pair:
        """The pair at a position of the shuffled stream.

        Raises:
            ValueError: If it cannot be read. The message says which item it is.
        """
        if self._rest is None or position < self._next:
            self._rest, self._next = self._stream.shuffled(self._seed), 0
        number, read = next(islice(self._rest, position - self._next, None))
        self._next = position + 1
        try:
            return read()
        except (ValueError, TypeError, OSError) as error:
            raise ValueError(f"item {number} of the stream: {error}") from None


def _as_pair(item: Any) -> Pair:
    if not isinstance(item, (tuple, list)) or len(item) != 2:  # noqa: PLR2004
        raise ValueError(f"Expected a pair (y, x), got {item!r:.60}.")
    return item[0], item[1]
