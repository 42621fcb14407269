"""What can be made of strings that are no molecules, and which tokens are one."""

from __future__ import annotations

import pytest

from mmgen.modalities.molecules import SELFIES, MoleculeTokens
from mmgen.modalities.molecules.mending import largest_fragment, repaired
from mmgen.modalities.molecules.smiles import split_smiles

pytest.importorskip("rdkit")


def test_codecs_accept_the_tokens_of_molecules() -> None:
    codec = MoleculeTokens(capacity=40, max_length=48)
    codec.fit(["CCO", "c1ccccc1"])
    ids = {symbol: i for i, symbol in enumerate(codec.vocabulary.symbols)}
    ring = [ids[symbol] for symbol in split_smiles("c1ccccc1")]
    assert codec.accepts(ring) and not codec.accepts(ring[:4])
    # An id without a symbol is of no molecule, and nothing at all is none.
    assert not codec.accepts([39]) and not codec.accepts([])
    selfies = MoleculeTokens(SELFIES, capacity=40, max_length=48)
    selfies.fit(["CCO", "c1ccccc1"])
    assert selfies.accepts([0, 1, 2]) and not selfies.accepts([])


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("CC(C", "CCC"),
        ("CC)C", "CCC"),
        ("C1CCC", "CCCC"),
        ("CCO", "CCO"),
        ("C(C)(C)(C)(C)C", "C(C)(C)(C)(C)C"),  # too many bonds are not mended
        ("C C", "C C"),  # nor is what is no symbol
    ],
)
def test_a_repair_takes_out_what_has_no_partner(broken: str, whole: str) -> None:
    assert repaired(broken) == whole


def test_the_largest_fragment_is_looked_at_alone() -> None:
    assert largest_fragment("[Na+].CC([O-])=O") == "CC(=O)[O-]"
    # The piece that is no molecule is the smaller one, then the larger one.
    assert largest_fragment("CCCCCCCC.C(C)(C)(C)(C)C") == "CCCCCCCC"
    assert largest_fragment("CC.C(C)(C)(C)(C)C") is None
    assert largest_fragment("C1CC") is None
