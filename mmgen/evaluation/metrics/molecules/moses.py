"""The distribution metrics of MOSES: whether drawn molecules are, as a set, like a reference's.

    snn         mean over drawn molecules of the Tanimoto similarity to the nearest of the reference
    frag, scaf  cosine of the counts of BRICS fragments, of scaffolds with two rings or more
    int_div     1 - mean_i (mean_j T_ij^p)^(1/p) over drawn molecules, each with itself, too, as the
                code has it; the paper takes the root last, which differs for p = 2
    filters     share without charged atoms, atoms beyond C N S O F Cl Br H, rings of 8 or more, and
                PAINS alerts of the molecule with its hydrogens. MOSES also has its MCF alerts,
                which RDKit does not, so this share is higher than its.
    log_p, sa, qed, weight   Wasserstein-1 distance of these to the reference's, in their own units

Higher is better for the first five (int_div_2 too), lower for the Wasserstein distances, which take
the units of what they compare. Sample size: some thousands. Fingerprints: Morgan, radius 2, 1024
bits. Reference implementation: `molsets`, as `molecule-benchmarks` carries it on.

Source: Molecular Sets (MOSES) (Polykovskiy et al., 2020), Sec. 3.3, arXiv:1811.12823; On
the Art of Compiling and Using 'Drug-Like' Chemical Fragment Spaces (Degen et al., 2008) (BRICS);
New Substructure Filters for Removal of Pan Assay Interference Compounds (Baell & Holloway, 2010).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mmgen.core.errors import MissingDependency
from mmgen.modalities.molecules import properties, scaffold
from mmgen.modalities.molecules.structure import rdkit_chem, to_mol

__all__ = [
    "cosine",
    "filtered",
    "fingerprints",
    "fragments",
    "internal_diversity",
    "moses_scores",
    "nearest_similarity",
    "scaffolds",
    "synthetic_accessibility",
    "wasserstein",
]

_ATOMS = frozenset({"C", "N", "S", "O", "F", "Cl", "Br", "H"})
_LARGEST_RING = 7
_BLOCK = 2000
_COMPARED = ("log_p", "qed", "molecular_weight")


def moses_scores(drawn: Sequence[str], reference: Sequence[str]) -> dict[str, float]:
    """All of them.

    Args:
        drawn: SMILES of valid molecules, the same one as often as it was drawn.
        reference: SMILES of molecules never learnt from.

    Raises:
        ValueError: If either is empty or holds what is no molecule.
        MissingDependency: If RDKit or SciPy is not installed.
    """
    if not drawn or not reference:
        raise ValueError("Expected drawn molecules and others to compare with, got none.")
    own, other = fingerprints(drawn), fingerprints(reference)
    found = {
        "snn": nearest_similarity(own, other),
        "frag": cosine(fragments(drawn), fragments(reference)),
        "scaf": cosine(scaffolds(drawn), scaffolds(reference)),
        "int_div": internal_diversity(own),
        "int_div_2": internal_diversity(own, p=2),
        "filters": float(np.mean([filtered(one) for one in drawn])),
    }
    tables = [[properties(one, _COMPARED) for one in part] for part in (drawn, reference)]
    for name in _COMPARED:
        found[f"{name}_distance"] = wasserstein(*([row[name] for row in t] for t in tables))
    sa = [[synthetic_accessibility(one) for one in part] for part in (drawn, reference)]
    return {**found, "sa_distance": wasserstein(*sa)}


def fingerprints(smiles: Sequence[str], *, bits: int = 1024) -> np.ndarray:
    """Morgan fingerprints of radius 2, zeros and ones (N, bits), uint8."""
    rdkit_chem("Fingerprints of molecules")
    from rdkit.Chem import rdFingerprintGenerator

    made = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=bits)
    rows = [made.GetFingerprintAsNumPy(to_mol(one)) for one in smiles]
    return np.asarray(rows, np.uint8).reshape(len(rows), bits)


def nearest_similarity(drawn: np.ndarray, reference: np.ndarray) -> float:
    """SNN: mean over drawn fingerprints (N, D) of the largest similarity to the reference's."""
    return float(np.concatenate([t.max(1) for t in _tanimoto(drawn, reference)]).mean())


def internal_diversity(drawn: np.ndarray, *, p: int = 1) -> float:
    """1 - mean_i (mean_j T_ij^p)^(1/p) of fingerprints (N, D), those with themselves among them."""
    means = np.concatenate([(t**p).mean(1) for t in _tanimoto(drawn, drawn)])
    return float(1 - (means ** (1 / p)).mean())


def _tanimoto(rows: np.ndarray, columns: np.ndarray) -> Any:
    """Similarities of some rows at a time to all columns, float64."""
    right = columns.astype(np.float32)
    counts = right.sum(1)
    for start in range(0, len(rows), _BLOCK):
        left = rows[start : start + _BLOCK].astype(np.float32)
        both = left @ right.T
        either = (left.sum(1)[:, None] + counts - both).astype(np.float64)
        # Two molecules without any bit are alike.
        yield np.divide(both, either, out=np.ones_like(either), where=either > 0)


def fragments(smiles: Sequence[str]) -> Counter[str]:
    """How often each BRICS fragment occurs."""
    chem = rdkit_chem("Fragments of molecules")
    from rdkit.Chem import BRICS

    found: Counter[str] = Counter()
    for one in smiles:
        found.update(chem.MolToSmiles(BRICS.BreakBRICSBonds(to_mol(one))).split("."))
    return found


def scaffolds(smiles: Sequence[str]) -> Counter[str]:
    """How often each scaffold with two rings or more occurs."""
    found = Counter(scaffold(one) for one in smiles)
    return Counter({one: count for one, count in found.items() if one and _num_rings(one) >= 2})


def _num_rings(smiles: str) -> int:
    # The molecule has to outlive what is asked of its rings.
    mol = to_mol(smiles)
    return int(mol.GetRingInfo().NumRings())


def cosine(x: Mapping[str, int], y: Mapping[str, int]) -> float:
    """Cosine of two tables of counts, NaN if one is empty."""
    size = (sum(n * n for n in x.values()) * sum(n * n for n in y.values())) ** 0.5
    return sum(n * y.get(one, 0) for one, n in x.items()) / size if size else float("nan")


def filtered(smiles: str) -> bool:
    """Whether a molecule passes the filters; see above for which."""
    mol = to_mol(smiles)
    atoms = list(mol.GetAtoms())
    if any(len(ring) > _LARGEST_RING for ring in mol.GetRingInfo().AtomRings()):
        return False
    if any(atom.GetFormalCharge() or atom.GetSymbol() not in _ATOMS for atom in atoms):
        return False
    with_hydrogens = rdkit_chem("Filters of molecules").AddHs(mol)
    return not _pains().HasMatch(with_hydrogens)


@cache
def _pains() -> Any:
    rdkit_chem("Filters of molecules")
    from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

    chosen = FilterCatalogParams()
    chosen.AddCatalog(FilterCatalogParams.FilterCatalogs.PAINS)
    return FilterCatalog(chosen)


def synthetic_accessibility(smiles: str) -> float:
    """SA score from 1, easy to make, to 10, by RDKit's contributed code.

    Source: Estimation of synthetic accessibility score of drug-like molecules (Ertl &
    Schuffenhauer, 2009), doi:10.1186/1758-2946-1-8.
    """
    return float(_scorer().calculateScore(to_mol(smiles)))


@cache
def _scorer() -> Any:
    rdkit_chem("The score of synthetic accessibility")
    import importlib

    from rdkit.Chem import RDConfig

    folder = str(Path(RDConfig.RDContribDir) / "SA_Score")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module("sascorer")


def wasserstein(x: Sequence[float], y: Sequence[float]) -> float:
    """Wasserstein-1 distance of two sets of numbers, in their units, by SciPy.

    Raises:
        MissingDependency: If SciPy is not installed.
    """
    try:
        from scipy.stats import wasserstein_distance
    except ImportError:
        raise MissingDependency("scipy", extra="bench", purpose="Wasserstein distances") from None
    return float(wasserstein_distance(x, y))
