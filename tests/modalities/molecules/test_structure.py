"""Scaffolds and properties by name: known answers."""

from __future__ import annotations

import pytest

from mmgen.core.errors import UnknownNameError
from mmgen.modalities.molecules import properties, scaffold
from mmgen.modalities.molecules.properties import UNITS

Chem = pytest.importorskip("rdkit.Chem")


@pytest.mark.parametrize(
    ("smiles", "frame"),
    [
        ("CC(=O)Oc1ccccc1C(=O)O", "c1ccccc1"),  # chains go
        ("Cc1ccc(CCc2ccncc2)cc1", "c1ccc(CCc2ccncc2)cc1"),  # what links rings stays
        ("CC1CCCC(=O)C1", "O=C1CCCCC1"),  # and what is doubly bonded to a ring
        ("CCO", ""),  # nothing without rings
    ],
)
def test_scaffolds(smiles: str, frame: str) -> None:
    assert scaffold(smiles) == frame
    assert scaffold(Chem.MolFromSmiles(smiles)) == frame
    # A scaffold is its own.
    assert not frame or scaffold(frame) == frame


@pytest.mark.parametrize("bad", ["C1CC", "", "no molecule", "C(C)(C)(C)(C)C"])
def test_what_is_no_molecule_has_no_scaffold(bad: str) -> None:
    with pytest.raises(ValueError, match="molecule|SMILES"):
        scaffold(bad)
    with pytest.raises(TypeError, match="Expected SMILES"):
        scaffold(7)


def test_properties_by_name() -> None:
    # Of aspirin, by hand and by the tables of the sources.
    found = properties("CC(=O)Oc1ccccc1C(=O)O")
    assert found.keys() == UNITS.keys()
    assert found["molecular_weight"] == pytest.approx(180.16, abs=0.01)
    assert found["tpsa"] == pytest.approx(63.6, abs=0.1)
    assert found["log_p"] == pytest.approx(1.31, abs=0.01)
    assert found["qed"] == pytest.approx(0.55, abs=0.01)
    counts = {
        "num_heavy_atoms": 13,
        "num_rings": 1,
        "num_aromatic_rings": 1,
        "num_hydrogen_donors": 1,
        "num_hydrogen_acceptors": 3,
        "num_rotatable_bonds": 2,
        "formal_charge": 0,
    }
    assert {name: found[name] for name in counts} == counts
    assert found["fraction_sp3"] == pytest.approx(1 / 9)
    assert properties("CC(=O)[O-]", ["formal_charge"]) == {"formal_charge": -1}


def test_names_of_properties_are_kept_in_the_order_asked_for() -> None:
    assert list(properties("CCO", ["tpsa", "log_p"])) == ["tpsa", "log_p"]


def test_an_unknown_property_lists_the_close_ones() -> None:
    with pytest.raises(UnknownNameError, match="logp.*log_p"):
        properties("CCO", ["logp"])
    # The name is refused before the molecule is read.
    with pytest.raises(UnknownNameError):
        properties("C1CC", ["mass"])
