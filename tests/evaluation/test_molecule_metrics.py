"""Metrics of sets of molecules: known answers, and those of an independent implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmgen.evaluation.metrics.molecules import (
    chemnet_distance,
    described_scores,
    guacamol_scores,
    moses_scores,
)
from mmgen.evaluation.metrics.molecules.described import bleu, levenshtein
from mmgen.evaluation.metrics.molecules.guacamol import kl_score
from mmgen.evaluation.metrics.molecules.moses import (
    cosine,
    filtered,
    fingerprints,
    internal_diversity,
    nearest_similarity,
    scaffolds,
    synthetic_accessibility,
)

pytest.importorskip("rdkit")
pytest.importorskip("scipy")

DRAWN = [
    *("CCO", "OCC", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"),
    *("C[C@H](N)C(=O)O", "CCN(Cc1ccc(OC)c(OC)c1)C(=O)c1ccsc1", "O=C(Nc1ccc(F)cc1)c1ccncc1"),
    *("CN1C[C@@H]([NH2+][C@H](c2cccs2)C2CC2)CC1=O", "Cc1ccc(-c2ccccc2)cc1", "O=C1CCCCCCC1"),
    *("Oc1ccccc1O", "CCOC(=O)c1c(C)nn(-c2ccccc2)c1C", "N#Cc1ccc(Br)cc1"),
    *("CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O", "O=c1cc(-c2ccccc2)oc2ccccc12", "ClCCCl"),
]
REFERENCE = [
    *("CC(=O)Nc1ccc(O)cc1", "CN(C)CCc1c[nH]c2ccccc12", "O=C(O)c1ccccc1O"),
    *("Cn1cnc2c1c(=O)n(C)c(=O)n2C", "O=C(Nc1ccc(Cl)cc1)c1cccnc1", "COc1ccc(CCN)cc1OC"),
    *("Cc1ccc(-c2ccc(C)cc2)cc1", "O=C(c1ccsc1)N1CCCC1", "CCO", "C1CCCCC1", "NC(=O)c1cccnc1"),
    *("O=c1ccoc2ccccc12", "Clc1ccccc1Br", "CS(=O)(=O)Nc1ccccc1"),
]
# What molecule-benchmarks 0.1.14 says of these, with the PAINS alerts alone in `filters`.
THEIRS = {
    "snn": 0.43030015203882666,
    "frag": 0.4733015285392207,
    "scaf": 0.3086066999241839,
    "int_div": 0.8517323769500098,
    "int_div_2": 0.7245302074636815,
    "filters": 14 / 17,
    "kl": 0.9218858619102772,
    "fcd": 19.67766171845293,
}
REFUSED = (8, 10, 11)


def test_the_metrics_of_moses_are_those_of_molecule_benchmarks() -> None:
    found = moses_scores(DRAWN, REFERENCE)
    for name in ("snn", "frag", "scaf", "int_div", "int_div_2", "filters"):
        assert found[name] == pytest.approx(THEIRS[name], abs=1e-6), name
    assert [i for i, one in enumerate(DRAWN) if not filtered(one)] == list(REFUSED)


def test_the_scores_of_guacamol_are_those_of_molecule_benchmarks() -> None:
    found = guacamol_scores(
        [*DRAWN, "C1CC"], {"CCO"}, training=REFERENCE, distance=10.0, count=len(DRAWN)
    )
    assert found["kl"] == pytest.approx(THEIRS["kl"], abs=1e-6)
    assert found["validity"] == len(DRAWN) / (len(DRAWN) + 1)
    # Ethanol is there twice, and learnt.
    assert found["uniqueness"] == (len(DRAWN) - 1) / len(DRAWN)
    assert found["novelty"] == (len(DRAWN) - 2) / len(DRAWN)
    assert found["fcd"] == math.exp(-2)


def test_the_distance_of_chemnet_is_that_of_fcd() -> None:
    pytest.importorskip("fcd")
    assert chemnet_distance(DRAWN, REFERENCE) == pytest.approx(THEIRS["fcd"], rel=1e-4)
    with pytest.raises(ValueError, match="'C1CC' is no molecule"):
        chemnet_distance(["CCO", "C1CC"], REFERENCE)


def test_a_set_is_like_itself() -> None:
    found = moses_scores(REFERENCE, REFERENCE)
    assert [found[name] for name in ("snn", "frag", "scaf")] == pytest.approx([1.0] * 3)
    names = ("log_p", "qed", "molecular_weight", "sa")
    assert all(found[f"{name}_distance"] == 0 for name in names)
    assert kl_score(REFERENCE, REFERENCE) == pytest.approx(1.0)


def test_distances_are_in_the_units_of_what_they_compare() -> None:
    # One carbon more is 14.03 g/mol.
    assert moses_scores(["CCC", "CCCC"], ["CC", "CCC"])["molecular_weight_distance"] == (
        pytest.approx(14.027, abs=1e-3)
    )


def test_diversity_counts_each_molecule_with_itself() -> None:
    rows = np.array([[1, 1, 0, 0], [0, 0, 1, 1]], np.uint8)
    # Means of 1 and 0; the root of each mean is taken before the mean of both.
    assert internal_diversity(rows) == 0.5
    assert internal_diversity(rows, p=2) == pytest.approx(1 - 0.5**0.5)
    assert nearest_similarity(rows, rows[:1]) == 0.5
    # Molecules without any bit are alike.
    assert internal_diversity(np.zeros((2, 4), np.uint8)) == 0


def test_parts_of_the_metrics() -> None:
    assert scaffolds(["Cc1ccccc1", "Cc1ccc(-c2ccccc2)cc1"]) == {"c1ccc(-c2ccccc2)cc1": 1}
    assert cosine({"a": 1, "b": 1}, {"a": 1}) == pytest.approx(0.5**0.5)
    assert math.isnan(cosine({}, {"a": 1}))
    assert fingerprints(["CCO", "C"], bits=64).shape == (2, 64)
    # A charge, iodine, a ring of eight, an azo dye (PAINS), and nothing of these.
    refused = ["CC(=O)[O-]", "CI", "C1CCCCCCC1", "CN(C)c1ccc(N=Nc2ccccc2)cc1"]
    assert [filtered(one) for one in [*refused, "CCO"]] == [False] * 4 + [True]
    # Ethanol is easy to make, strychnine is not.
    hard = "O=C1C[C@@H]2OCC=C3CN4CC[C@]56[C@@H]4C[C@H]3[C@H]2[C@H]6N1c1ccccc15"
    assert synthetic_accessibility("CCO") < 2.5 < 4.5 < synthetic_accessibility(hard)


@pytest.mark.parametrize(("drawn", "reference"), [([], ["CCO"]), (["CCO"], [])])
def test_empty_sets_are_refused(drawn: list, reference: list) -> None:
    with pytest.raises(ValueError, match="Expected drawn molecules and others"):
        moses_scores(drawn, reference)


def test_scores_of_descriptions() -> None:
    # The same, another spelling of the same, another molecule, and none.
    found = described_scores(["CCO", "OCC", "CCN", "C1CC"], ["CCO", "CCO", "CCO", "CCO"])
    assert (found["valid"]["successes"], found["exact"]["successes"]) == (3, 2)
    assert found["levenshtein"] == (0 + 2 + 1 + 2) / 4
    assert 0 < found["morgan"] < 1 and 0 < found["maccs"] < 1 and 0 < found["rdk"] < 1
    with pytest.raises(ValueError, match="Expected pairs, got 1 strings and 2"):
        described_scores(["CCO"], ["CCO", "CCO"])


def test_letters() -> None:
    assert levenshtein("kitten", "sitting") == 3 and levenshtein("", "abc") == 3
    assert bleu(["CCOCC"], ["CCOCC"]) == 1
    assert bleu(["CC"], ["NN"]) == 0
    # By hand: 6 of 6 letters, 5 of 5 pairs, 4 of 4 triples, 3 of 3 fours, and 8 letters wanted.
    assert bleu(["CCOCCN"], ["CCOCCNCC"]) == pytest.approx(math.exp(1 - 8 / 6))
    # By hand: 5/6, 4/5, 3/4, 2/3, of as many letters.
    assert bleu(["CCOCCN"], ["CCOCCO"]) == pytest.approx((5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25)
