"""What a molecule may begin with."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from mmgen.core.errors import MissingDependency
from mmgen.modalities.molecules import SELFIES, MoleculeTokens
from mmgen.modalities.molecules.beginning import closing, may_begin
from mmgen.modalities.molecules.smiles import split_smiles

pytest.importorskip("rdkit")
pytest.importorskip("partialsmiles")

WHOLE = (
    "CC(=O)Oc1ccccc1C(=O)O",
    "C[C@H](NC(=O)c1cc2sccc2[nH]1)C1CC[NH+](C)CC1",
    "O=S(=O)(N1CCOCC1)c1cnc2c(c1)OCO2",
    "[O-][n+]1ccccc1.[Na+]",
    "C/C=C\\C#N",
)


@pytest.mark.parametrize("smiles", WHOLE)
def test_every_beginning_of_a_molecule_is_let_through(smiles: str) -> None:
    symbols = split_smiles(smiles)
    for n in range(1, len(symbols) + 1):
        assert may_begin("".join(symbols[:n])), symbols[:n]


@pytest.mark.parametrize(
    "smiles",
    [
        ")",  # closes what was not opened
        "C()",
        "C==",
        "=C",
        "C(C)(C)(C)(C)C",  # a carbon of five bonds
        "CF(",  # more than fluorine has
        "c1cccc1C",  # five aromatic carbons have no double bonds to share out
        "C1C1",  # two bonds of the same two atoms
        "C[?]",
        "O=c1cccc1=",  # three of them are left, and one has no partner
    ],
)
def test_what_nothing_mends_is_refused(smiles: str) -> None:
    assert not may_begin(smiles)


def test_what_closes_a_branch_or_a_ring() -> None:
    symbols = ["C", ")", "1", "2", "%12", "CC1", "C1)", "(C)", "C2CC2", "1(", "1(2", "?)"]

    def found(smiles: str) -> list[str]:
        return [symbols[i] for i in closing(smiles, symbols)]

    assert found("C1CC(C%12C") == [")", "1", "%12", "CC1", "C1)"]
    assert found("C1CC") == ["1", "CC1", "C1)"]
    assert found("C1CC1(C)") == found("C)") == []


def test_codecs_read_tokens() -> None:
    codec = MoleculeTokens.debug()
    ids = codec.vocabulary.ids(["C", "(", "C"])
    assert codec.begins(ids) and not codec.begins([*ids, 39])
    assert not codec.begins(codec.vocabulary.ids([")"]))
    assert codec.closing(ids) == codec.vocabulary.ids([")"]) and not codec.closing(ids[:1])
    selfies = MoleculeTokens(SELFIES, capacity=40, max_length=48)
    selfies.fit(["CCO"])
    assert selfies.begins([0, 1, 2]) and selfies.closing([0, 1, 2]) == []


def test_the_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name == "partialsmiles":
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependency, match="molecules"):
        may_begin("CCCCCCN")
