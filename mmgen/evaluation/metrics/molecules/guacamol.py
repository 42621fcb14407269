"""The distribution scores of GuacaMol, all from 0 to 1, higher is better.

    validity    valid among those drawn
    uniqueness  different ones, stereochemistry aside, among the first `count` valid, over count
    novelty     of the first `count` different ones those not learnt from, over count
    kl          mean of exp(-KL(training || drawn)) over nine descriptors and the similarity of each
                molecule to its nearest neighbour in its own set
    fcd         exp(-0.2 FCD) to as many training molecules

What is missing to `count` (10,000 in the paper) counts as a failure. The paper draws twice as many
strings as it needs; here those that were drawn are used, and no others. Fingerprints: Morgan,
radius 2, 4096 bits. Reference implementation: `guacamol`, as `molecule-benchmarks` carries on its
kl and `fcd` its distance.

Source: GuacaMol (Brown et al., 2019), Sec. 2.1, arXiv:1811.09621.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from mmgen.core.errors import MissingDependency
from mmgen.evaluation.metrics.molecules.moses import fingerprints
from mmgen.modalities.molecules import is_valid
from mmgen.modalities.molecules.structure import rdkit_chem, to_mol

__all__ = ["flat", "guacamol_scores", "kl_score"]

_CONTINUOUS = ("BertzCT", "MolLogP", "MolWt", "TPSA")
_COUNTED = (
    "NumHAcceptors",
    "NumHDonors",
    "NumRotatableBonds",
    "NumAliphaticRings",
    "NumAromaticRings",
)
_BITS = 4096
_POINTS, _BINS, _LEAST = 1000, 10, 1e-10
_BLOCK = 1000


def guacamol_scores(
    drawn: Sequence[str],
    learnt: Collection[str],
    *,
    training: Sequence[str],
    distance: float | None = None,
    count: int = 10_000,
) -> dict[str, float]:
    """All of them.

    Args:
        drawn: Strings as they were drawn.
        learnt: All that was learnt from, as `flat` gives it.
        training: SMILES of training molecules to compare with, `count` or so.
        distance: FCD of what was drawn to them; None to leave that score out.
        count: How many valid and how many different ones there should be.

    Raises:
        ValueError: If no two strings are different molecules.
        MissingDependency: If RDKit or SciPy is not installed.
    """
    valid = [flat(one) for one in drawn if is_valid(one)]
    different = list(dict.fromkeys(valid))[:count]
    if len(different) < 2:
        raise ValueError(f"{len(drawn)} strings hold {len(different)} molecules: nothing compares.")
    known = frozenset(learnt)
    found = {
        "validity": len(valid) / len(drawn),
        "uniqueness": len(set(valid[:count])) / count,
        "novelty": sum(one not in known for one in different) / count,
        "kl": kl_score(different, [flat(one) for one in training]),
    }
    return found if distance is None else {**found, "fcd": math.exp(-0.2 * distance)}


def flat(smiles: str) -> str:
    """Canonical SMILES without stereochemistry."""
    written = rdkit_chem("Writing a molecule").MolToSmiles(to_mol(smiles), isomericSmiles=False)
    return str(written)


def kl_score(drawn: Sequence[str], training: Sequence[str]) -> float:
    """Mean of exp(-KL(training || drawn)) over ten terms.

    Args:
        drawn: SMILES of different molecules, at least two.
        training: Of others.

    Raises:
        MissingDependency: If RDKit or SciPy is not installed.
    """
    own, other = _described(drawn), _described(training)
    terms = [_continuous(other[name], own[name]) for name in _CONTINUOUS]
    terms += [_counted(other[name], own[name]) for name in _COUNTED]
    terms.append(_continuous(_neighbours(training), _neighbours(drawn)))
    return float(np.mean(np.exp(-np.array(terms))))


def _described(smiles: Sequence[str]) -> dict[str, np.ndarray]:
    rdkit_chem("Descriptors of molecules")
    from rdkit.Chem import Descriptors

    functions = {name: getattr(Descriptors, name) for name in (*_CONTINUOUS, *_COUNTED)}
    mols = [to_mol(one) for one in smiles]
    return {name: np.array([f(mol) for mol in mols], float) for name, f in functions.items()}


def _neighbours(smiles: Sequence[str]) -> np.ndarray:
    """Similarity of each molecule to the nearest other one."""
    rows = fingerprints(smiles, bits=_BITS).astype(np.float32)
    counts = rows.sum(1)
    return np.concatenate(list(_nearest(rows, counts)))


def _nearest(rows: np.ndarray, counts: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        both = (part @ rows.T).astype(np.float64)
        either = counts[start : start + _BLOCK, None] + counts - both
        similar = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
        places = np.arange(len(part))
        similar[places, start + places] = 0
        yield similar.max(1)


def _continuous(base: np.ndarray, other: np.ndarray) -> float:
    """KL(base || other) of Gaussian kernel density estimates on a grid over both."""
    stats = _stats()
    grid = np.linspace(min(base.min(), other.min()), max(base.max(), other.max()), _POINTS)
    p, q = (stats.gaussian_kde(x)(grid) + _LEAST for x in (base, other))
    return float(stats.entropy(p, q))


def _counted(base: np.ndarray, other: np.ndarray) -> float:
    """KL(base || other) of histograms on the base's bins."""
    p, bins = np.histogram(base, bins=_BINS, density=True)
    q = np.zeros(_BINS)
    if ((other >= bins[0]) & (other <= bins[-1])).any():
        q, _ = np.histogram(other, bins=bins, density=True)
    return float(_stats().entropy(p + _LEAST, q + _LEAST))


def _stats() -> ModuleType | Any:
    try:
        from scipy import stats
    except ImportError:
        raise MissingDependency("scipy", extra="bench", purpose="GuacaMol's scores") from None
    return stats
