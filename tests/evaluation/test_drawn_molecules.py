"""Validity, uniqueness and novelty: known answers."""

from __future__ import annotations

import pytest

from mmgen.evaluation.metrics.molecules import drawn_molecules

pytest.importorskip("rdkit")


def test_known_answer() -> None:
    # Ethanol in two spellings, benzene, and two strings that are no molecules.
    found = drawn_molecules(["CCO", "OCC", "c1ccccc1", "C1CC", "C(C)(C)(C)(C)C"], ["CCO"])
    assert (found.valid.successes, found.valid.count) == (3, 5)
    assert (found.unique.successes, found.unique.count) == (2, 3)
    assert (found.novel.successes, found.novel.count) == (1, 2)


@pytest.mark.parametrize("drawn", [[], ["C1CC"]])
def test_nothing_to_compare_is_refused(drawn: list[str]) -> None:
    with pytest.raises(ValueError, match="is a molecule"):
        drawn_molecules(drawn, ["CCO"])
