"""Whether a string can still become the SMILES of a molecule."""

from __future__ import annotations

from functools import lru_cache

from mmgen.core.errors import MissingDependency
from mmgen.modalities.molecules.smiles import split_smiles

__all__ = ["may_begin", "num_unclosed"]

_BONDS = tuple("-=#/\\")


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


def num_unclosed(smiles: str) -> int:
    """How many branches and rings a string of whole symbols opens and does not close.

    Raises:
        ValueError: If a character belongs to no symbol.
    """
    rings: set[str] = set()
    branches = 0
    for symbol in split_smiles(smiles):
        branches += (symbol == "(") - (symbol == ")")
        if symbol[0] in "%0123456789":
            rings ^= {symbol}
    return max(branches, 0) + len(rings)
