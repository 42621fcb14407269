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
    "CODECS",
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


_SHAPES = {
    "debug": {"capacity": 64, "max_length": 48},
    "small": {"capacity": 128, "max_length": 128},
}


def _smiles(size: str) -> MoleculeTokens:
    return MoleculeTokens(SMILES, **_SHAPES[size])


def _selfies(size: str) -> MoleculeTokens:
    return MoleculeTokens(SELFIES, **_SHAPES[size])


CODECS = {"smiles": _smiles, "selfies": _selfies}


def codec(size: str) -> MoleculeTokens:
    """The codec of this size: symbols of SMILES, those in brackets found by `fit`."""
    return _smiles(size)


def encoder(size: str, labels: tuple[str, ...] = ()) -> MoleculeEncoder:
    """The molecule encoder of this size."""
    if size == "debug":
        return MoleculeEncoder(capacity=64, dim=32, depth=1, num_heads=2, max_tokens=48)
    return MoleculeEncoder(capacity=128, dim=128, depth=2, num_heads=4)
