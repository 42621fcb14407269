"""Ways to write a molecule as a string of symbols: SMILES and SELFIES."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

from mmgen.core.errors import MissingDependency
from mmgen.modalities.molecules import smiles
from mmgen.modalities.molecules.beginning import closing, may_begin
from mmgen.modalities.molecules.structure import canonical

__all__ = ["SELFIES", "SMILES", "Notation"]


@dataclass(frozen=True)
class Notation:
    """One way to write molecules.

    Args:
        name: What people call it.
        basis: Symbols that every vocabulary holds.
        split: A string to its symbols; ValueError if it is none.
        write: Canonical SMILES to a string; ValueError if this notation cannot write it.
        begins: Whether a molecule may be written so that it begins with some whole symbols.
        closing: Which of some symbols close a branch or a ring that a string of whole symbols
            opens.
        read: A string of any symbols to SMILES, valid or not; ValueError if it says nothing.
    """

    name: str
    basis: tuple[str, ...]
    split: Callable[[str], list[str]]
    write: Callable[[str], str]
    begins: Callable[[str], bool]
    closing: Callable[[str, Sequence[str]], list[int]]
    read: Callable[[str], str]


def _same(text: str) -> str:
    return text


def _any_begins(_: str) -> bool:
    return True


def _none_closing(_: str, symbols: Sequence[str]) -> list[int]:
    return []


def _selfies() -> ModuleType:
    try:
        import selfies
    except ImportError:
        raise MissingDependency(
            "selfies", extra="molecules", purpose="Writing molecules as SELFIES"
        ) from None
    return selfies


def _split_selfies(text: str) -> list[str]:
    return list(_selfies().split_selfies(text))


def _write_selfies(text: str) -> str:
    selfies = _selfies()
    try:
        written = selfies.encoder(text)
    except selfies.EncoderError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{text!r} cannot be written as SELFIES: {reason}") from None
    again = canonical(selfies.decoder(written))
    if again != text:
        raise ValueError(
            f"{text!r} cannot be written as SELFIES: it would come back as {again!r}. Write it as "
            "SMILES."
        )
    return written


def _read_selfies(text: str) -> str:
    selfies = _selfies()
    try:
        return selfies.decoder(text)
    except selfies.DecoderError as error:
        raise ValueError(f"{text[:80]!r} is no SELFIES: {error}") from None


SMILES = Notation("SMILES", smiles.BASIS, smiles.split_smiles, _same, may_begin, closing, _same)
"""Source: SMILES, a chemical language and information system (Weininger, 1988)."""

SELFIES = Notation(
    "SELFIES",
    # The symbols that stand for numbers after a ring or a branch, so any molecule may hold them.
    (
        *("[C]", "[Ring1]", "[Ring2]", "[Branch1]", "[=Branch1]", "[#Branch1]", "[Branch2]"),
        *("[=Branch2]", "[#Branch2]", "[O]", "[N]", "[=N]", "[=C]", "[#C]", "[S]", "[P]"),
    ),
    _split_selfies,
    _write_selfies,
    _any_begins,
    _none_closing,
    _read_selfies,
)
"""Every string of symbols is a molecule.

Source: Self-Referencing Embedded Strings (Krenn et al., 2019), arXiv:1905.13741.
"""
