"""Validity, uniqueness and novelty: known answers."""

from __future__ import annotations

import pytest

from mmgen.evaluation.metrics.molecules import drawn_molecules

pytest.importorskip("rdkit")
# Ethanol in two spellings, benzene, an open ring, five bonds, a salt, a salt with five bonds.
DRAWN = ["CCO", "OCC", "c1ccccc1", "C1CC", "C(C)(C)(C)(C)C", "[Na+].CC([O-])=O"]
DRAWN += ["CCCCCCCC.C(C)(C)(C)(C)C"]


def test_known_answer() -> None:
    found = drawn_molecules(DRAWN, ["CCO"])
    assert (found.valid.successes, found.valid.count) == (4, 7)
    assert found.connected.successes == 3
    # The ring is mended, too many bonds are not; of the last string the larger piece is whole.
    assert found.repaired.successes == 5
    assert found.largest_fragment.successes == 6
    assert (found.unique.successes, found.unique.count) == (3, 4)
    assert (found.novel.successes, found.novel.count) == (2, 3)
    assert found.as_dict()["valid"]["share"] == round(4 / 7, 4)


def test_uniqueness_at_k_is_of_the_first_valid_ones() -> None:
    found = drawn_molecules(DRAWN, [], most=2)
    assert (found.unique.successes, found.unique.count) == (1, 2)
    assert found.novel.count == 3


@pytest.mark.parametrize("drawn", [[], ["C1CC"]])
def test_nothing_to_compare_is_refused(drawn: list[str]) -> None:
    with pytest.raises(ValueError, match="is a molecule"):
        drawn_molecules(drawn, ["CCO"])
