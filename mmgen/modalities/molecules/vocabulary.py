"""The symbols that molecules are written in, with their ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from mmgen.core.errors import LoadError, close_names

__all__ = ["UNUSED", "Vocabulary"]

UNUSED = "[?]"
"""What an id without a symbol is shown as: no atom, so no molecule holds it."""


class Vocabulary:
    """Symbols by id.

    Args:
        symbols: All of them, each once.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols = tuple(symbols)
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols)}

    @classmethod
    def learn(
        cls, rows: Iterable[Sequence[str]], *, basis: Sequence[str], capacity: int
    ) -> Vocabulary:
        """The symbols of a basis, and those of examples, most frequent first.

        Raises:
            ValueError: If there are more than `capacity`.
        """
        counts = Counter(symbol for row in rows for symbol in row)
        found = sorted(counts.keys() - set(basis), key=lambda symbol: (-counts[symbol], symbol))
        if len(basis) + len(found) > capacity:
            rare = ", ".join(found[-3:])
            raise ValueError(
                f"Expected at most {capacity} symbols, the examples have "
                f"{len(basis) + len(found)}; the rarest are {rare}. Build with a larger capacity, "
                "or leave out molecules with rare atoms."
            )
        return cls([*basis, *found])

    @property
    def ranks(self) -> Mapping[str, int]:
        """Ids by symbol, merged ones in the order in which they were learnt."""
        return self._ids

    def ids(self, symbols: Sequence[str]) -> list[int]:
        """Ids of symbols.

        Raises:
            ValueError: If one is unknown; the message names it.
        """
        for symbol in symbols:
            if symbol not in self._ids:
                raise ValueError(
                    f"The symbol {symbol!r} was in none of the molecules that this was fitted to. "
                    f"{close_names(symbol, self._ids)} Fit it to examples that have it."
                )
        return [self._ids[symbol] for symbol in symbols]

    def text(self, ids: Sequence[int]) -> str:
        """Symbols of ids in a row; ids without one give UNUSED."""
        known = len(self.symbols)
        return "".join(self.symbols[i] if i < known else UNUSED for i in ids)

    def to_bytes(self) -> bytes:
        """The symbols, a line each."""
        return "\n".join(self.symbols).encode()

    @classmethod
    def from_bytes(cls, data: bytes, *, capacity: int) -> Vocabulary:
        """What `to_bytes` gave.

        Raises:
            LoadError: If it is no such list, or one of more than `capacity` symbols.
        """
        try:
            symbols = data.decode().split("\n")
        except UnicodeDecodeError:
            symbols = []
        if not all(s and s.isprintable() for s in symbols) or len(set(symbols)) != len(symbols):
            symbols = []
        if not 1 <= len(symbols) <= capacity:
            raise LoadError(
                f"Expected a list of 1 to {capacity} symbols, each once on a line; got "
                f"{len(symbols) or 'something else'}. Save the part again."
            )
        return cls(symbols)
