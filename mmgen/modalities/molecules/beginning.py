"""Whether a string can still become the SMILES of a molecule."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from mmgen.core.errors import MissingDependency
from mmgen.modalities.molecules.smiles import split_smiles

__all__ = ["closing", "may_begin"]

_BONDS = tuple("-=#/\\")
_DIGITS = "%0123456789"


# What is drawn begins in few ways, and they come again and again.
@lru_cache(maxsize=2**16)
def may_begin(smiles: str) -> bool:
    """Whether a canonical SMILES of a molecule may begin so.

    Brackets, rings, valences and aromatic bonds of what is whole are looked at. What is let through
    may still lead nowhere; what is refused has an error that nothing behind it mends, or a valence
    that is unusual.

    Args:
        smiles: Whole symbols.

    Raises:
        MissingDependency: If partialsmiles is not installed.

    Source: partialsmiles 2.0 (O'Boyle), a parser of SMILES that are not yet complete.
    """
    try:
        import partialsmiles
    except ImportError:
        raise MissingDependency(
            "partialsmiles", extra="molecules", purpose="Drawing molecules symbol by symbol"
        ) from None
    try:
        # An atom follows a bond, and a second bond may take what an aromatic atom has left.
        followed = smiles + "*" if smiles[-1:] in _BONDS else smiles
        partialsmiles.ParseSmiles(followed, partial=True)
    except partialsmiles.Error:
        return False
    return True


def closing(smiles: str, symbols: Sequence[str]) -> list[int]:
    """Which of these symbols leave fewer branches and rings open than are open now.

    Args:
        smiles: Whole symbols.
        symbols: Symbols, merged ones among them; what is no symbol closes nothing.

    Raises:
        ValueError: If a character of the string belongs to no symbol.
    """
    branches, rings = _opened(smiles, 0, frozenset())
    now = max(branches, 0) + len(rings)
    found = []
    for i, symbol in enumerate(symbols) if now else ():
        if _may_close(symbol):
            after, left = _opened(symbol, branches, rings)
            if max(after, 0) + len(left) < now:
                found.append(i)
    return found


def _opened(smiles: str, branches: int, rings: frozenset[str]) -> tuple[int, frozenset[str]]:
    """How many branches and which rings are open behind a string, of those before it."""
    for symbol in _symbols(smiles):
        branches += (symbol == "(") - (symbol == ")")
        if symbol[0] in _DIGITS:
            rings ^= {symbol}
    return branches, rings


@lru_cache(maxsize=2**14)
def _symbols(smiles: str) -> tuple[str, ...]:
    return tuple(split_smiles(smiles))


@lru_cache(maxsize=2**14)
def _may_close(symbol: str) -> bool:
    try:
        return any(one == ")" or one[0] in _DIGITS for one in _symbols(symbol))
    except ValueError:
        return False
