"""Molecules: canonical SMILES to people, symbols to models.

A molecule can be held as SMILES or as an RDKit molecule. What a model draws may be none: validity
is measured, with `is_valid` and `validity`, and nothing is repaired.
"""

from mmgen.modalities.molecules.codec import MoleculeTokens
from mmgen.modalities.molecules.encoder import MoleculeEncoder
from mmgen.modalities.molecules.files import (
    PREVIEW_SUFFIX,
    SUFFIXES,
    load,
    load_many,
    measures,
    save,
    save_many,
)
from mmgen.modalities.molecules.notation import SELFIES, SMILES
from mmgen.modalities.molecules.properties import properties
from mmgen.modalities.molecules.structure import canonical, is_valid, scaffold, validity

__all__ = [
    "COLUMNS",
    "IN_FILES",
    "PREVIEW_SUFFIX",
    "SELFIES",
    "SMILES",
    "SUFFIXES",
    "MoleculeEncoder",
    "MoleculeTokens",
    "canonical",
    "codec",
    "encoder",
    "is_valid",
    "load",
    "measures",
    "load_many",
    "properties",
    "save",
    "save_many",
    "scaffold",
    "validity",
]

COLUMNS = ("smiles", "molecule", "mol", "selfies")
IN_FILES = False


def codec(size: str) -> MoleculeTokens:
    """The codec of this size: symbols of SMILES, those in brackets found by `fit`."""
    capacity, max_length = {"debug": (64, 48), "small": (128, 128)}[size]
    return MoleculeTokens(capacity=capacity, max_length=max_length)


def encoder(size: str, labels: tuple[str, ...] = ()) -> MoleculeEncoder:
    """The molecule encoder of this size."""
    if size == "debug":
        return MoleculeEncoder(capacity=64, dim=32, depth=1, num_heads=2, max_tokens=48)
    return MoleculeEncoder(capacity=128, dim=128, depth=2, num_heads=4)
