"""SMILES to its symbols: atoms, bonds, branches and rings."""

from __future__ import annotations

import re

__all__ = ["BASIS", "split_smiles"]

_TOKEN = re.compile(
    r"\[[^\[\]]+\]"  # an atom in brackets, with isotope, chirality, hydrogens and charge
    r"|Br|Cl|[BCNOPSFI]|[bcnops]|\*"
    r"|->|<-|[-=#$:~/\\]"
    r"|[().]"
    r"|%\([0-9]{1,5}\)|%[0-9]{2}|[0-9]"
)

BASIS = (
    *("C", "c", "N", "n", "O", "o", "S", "s", "P", "p", "B", "b", "F", "Cl", "Br", "I"),
    *("(", ")", ".", "=", "#", "-", "/", "\\"),
    *"123456789",
)
"""Symbols that every vocabulary of SMILES holds; atoms in brackets come from data."""


def split_smiles(smiles: str) -> list[str]:
    """The symbols of a SMILES, which joined give it again.

    Raises:
        ValueError: If a character belongs to none; the message names it.

    Source: Molecular Transformer (Schwaller et al., 2018), Sec. 4.1, arXiv:1811.02633; without
    the signs of reactions and patterns, and with dative bonds and rings above 99.
    """
    tokens, place = [], 0
    while place < len(smiles):
        found = _TOKEN.match(smiles, place)
        if found is None:
            raise ValueError(
                f"{smiles[:80]!r} is no SMILES: {smiles[place]!r} at place {place} begins no atom, "
                "bond, branch or ring."
            )
        tokens.append(found.group())
        place = found.end()
    return tokens
