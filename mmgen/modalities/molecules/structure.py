"""What a string says about a molecule: its canonical SMILES, or why it has none.

A molecule is its canonical isomeric SMILES, as RDKit writes it. Nothing is repaired on the way: no
salt is stripped, no charge made neutral, no fragment chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any

from mmgen.core.errors import MissingDependency
from mmgen.modalities.molecules.smiles import split_smiles

__all__ = [
    "MAX_CHARACTERS",
    "canonical",
    "is_valid",
    "rdkit_chem",
    "scaffold",
    "to_mol",
    "validity",
]

MAX_CHARACTERS = 5000
"""Longest SMILES that is handed to RDKit."""


def canonical(value: Any) -> str:
    """The canonical isomeric SMILES of a molecule.

    Args:
        value: SMILES, or an RDKit molecule.

    Raises:
        TypeError: If it is neither.
        ValueError: If it is no molecule; the message says why.
        MissingDependency: If RDKit is not installed.
    """
    if not isinstance(value, str) or not value:
        return _written(value)
    rdkit_chem("Reading a molecule")
    return _canonical(value)


def scaffold(value: Any) -> str:
    """The canonical SMILES of its rings and what links them, "" if it has no ring.

    Raises:
        As `canonical`.

    Source: The Properties of Known Drugs. 1. Molecular Frameworks (Bemis & Murcko, 1996),
    doi:10.1021/jm9602928; with what is doubly bonded to it, as RDKit has it.
    """
    mol = to_mol(value)
    from rdkit.Chem.Scaffolds import MurckoScaffold

    return rdkit_chem("Writing a molecule").MolToSmiles(MurckoScaffold.GetScaffoldForMol(mol))


def is_valid(smiles: str) -> bool:
    """Whether a string is the SMILES of a molecule with at least one atom.

    Raises:
        TypeError: If it is no string.
        MissingDependency: If RDKit is not installed.
    """
    if not isinstance(smiles, str):
        raise TypeError(f"Expected SMILES (str), got {type(smiles).__name__}.")
    try:
        to_mol(smiles)
    except ValueError:
        return False
    return True


def validity(smiles: Sequence[str]) -> float:
    """Share of strings that are SMILES of molecules, in [0, 1]; higher is better.

    Raises:
        TypeError: If one of them is no string, or a string stands for the list.
        ValueError: If there are none.

    Source: Molecular Sets (Polykovskiy et al., 2018), Sec. 3.1, arXiv:1811.12823.
    """
    if isinstance(smiles, str):
        raise TypeError("Expected a list of SMILES, got one string. Use is_valid for one.")
    if len(smiles) == 0:
        raise ValueError("Expected at least one SMILES, got none.")
    return sum(map(is_valid, smiles)) / len(smiles)


def to_mol(value: Any) -> Any:
    """A molecule as RDKit has it, sanitised, without explicit hydrogens.

    Raises:
        As `canonical`.
    """
    if type(value).__module__.partition(".")[0] == "rdkit":
        value = _smiles_of(value)
    if not isinstance(value, str):
        raise TypeError(
            f"Expected SMILES (str) or an RDKit molecule, got {type(value).__name__}: {value!r:.60}"
        )
    if len(value) > MAX_CHARACTERS:
        raise ValueError(
            f"Expected SMILES of at most {MAX_CHARACTERS} characters, got {len(value)}: "
            f"{value[:40]!r}... Give a smaller molecule."
        )
    if not value:
        raise ValueError("The SMILES is empty. Give a molecule with at least one atom.")
    split_smiles(value)
    chem = rdkit_chem("Reading a molecule")
    from rdkit import rdBase

    with rdBase.BlockLogs():
        mol = chem.MolFromSmiles(value)
        if mol is None or mol.GetNumAtoms() == 0:
            raise ValueError(f"{value[:80]!r} is no molecule: {_reason(value, chem)}.")
    return mol


def rdkit_chem(purpose: str) -> ModuleType:
    """RDKit's module of molecules.

    Raises:
        MissingDependency: If RDKit is not installed.
    """
    try:
        from rdkit import Chem
    except ImportError:
        raise MissingDependency("rdkit", extra="molecules", purpose=purpose) from None
    return Chem


# Training asks for the same molecules again and again, and reading one takes RDKit a while.
@lru_cache(maxsize=2**17)
def _canonical(smiles: str) -> str:
    return _written(smiles)


def _written(value: Any) -> str:
    mol = to_mol(value)
    return rdkit_chem("Writing a molecule").MolToSmiles(mol)


def _smiles_of(value: Any) -> Any:
    chem = rdkit_chem("Reading a molecule")
    if not isinstance(value, chem.Mol):
        return value
    try:
        return chem.MolToSmiles(value)
    except RuntimeError as error:
        raise ValueError(
            f"RDKit cannot write this molecule: {str(error).strip().splitlines()[0]}. Sanitise it "
            "first."
        ) from None


def _reason(smiles: str, chem: ModuleType) -> str:
    """Why RDKit does not read a SMILES."""
    unchecked = chem.MolFromSmiles(smiles, sanitize=False)
    if unchecked is not None:
        problems = chem.DetectChemistryProblems(unchecked)
        return problems[0].Message().strip().rstrip(".") if problems else "it has no atoms"
    tokens = split_smiles(smiles)
    for token in tokens:
        if token[0] == "[" and chem.MolFromSmiles(token, sanitize=False) is None:
            return f"there is no atom {token!r}"
    if tokens.count("(") != tokens.count(")"):
        return f"it has {tokens.count('(')} '(' and {tokens.count(')')} ')'"
    for token in tokens:
        if token[0] in "0123456789%" and tokens.count(token) % 2:
            return f"ring {token!r} is opened and not closed"
    return "its branches, rings and bonds do not fit together"
