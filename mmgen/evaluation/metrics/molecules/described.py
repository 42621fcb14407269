"""Metrics of molecules drawn from descriptions, as those of ChEBI-20.

    valid                share of strings that are molecules, as they are
    exact                share whose InChI is that of the molecule described
    bleu                 BLEU of characters over all strings (0 to 1), valid or not
    levenshtein          mean edit distance of the strings, in characters (lower is better)
    maccs, rdk, morgan   mean Tanimoto similarity of fingerprints, over the valid ones

Higher is better but for the distance. Sample size: some hundreds. Each description has one molecule
as its reference, though others may fit it too. BLEU is that of NLTK's `corpus_bleu` without
smoothing, whose formula this is and which is the reference implementation.

Source: Translation between Molecules and Natural Language (Edwards et al., 2022), Sec. 4.1,
arXiv:2204.11817; BLEU (Papineni et al., 2002), doi:10.3115/1073083.1073135.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mmgen.evaluation.intervals import Proportion
from mmgen.modalities.molecules import is_valid
from mmgen.modalities.molecules.structure import rdkit_chem, to_mol

__all__ = ["bleu", "described_scores", "levenshtein"]

_ORDERS = 4


def described_scores(drawn: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """All of them.

    Args:
        drawn: One string for each description.
        references: SMILES of what is described.

    Raises:
        ValueError: If there is not one reference for each string, or none.
        MissingDependency: If RDKit is not installed.
    """
    if len(drawn) != len(references) or not drawn:
        raise ValueError(f"Expected pairs, got {len(drawn)} strings and {len(references)}.")
    chem = rdkit_chem("Comparing molecules")
    both = list(zip(drawn, references, strict=True))
    pairs = [(to_mol(x), to_mol(y)) for x, y in both if is_valid(x)]
    exact = sum(chem.MolToInchi(x) == chem.MolToInchi(y) for x, y in _quietly(pairs))
    found: dict[str, Any] = {
        "valid": Proportion(len(pairs), len(drawn)).as_dict(),
        "exact": Proportion(exact, len(drawn)).as_dict(),
        "bleu": round(bleu(drawn, references), 4),
        "levenshtein": round(float(np.mean([levenshtein(x, y) for x, y in both])), 2),
    }
    for name, made in _fingerprints().items():
        alike = [_similarity(made(x), made(y)) for x, y in pairs]
        found[name] = round(float(np.mean(alike)), 4) if alike else None
    return found


def bleu(drawn: Sequence[str], references: Sequence[str]) -> float:
    """BLEU of characters of a corpus, orders 1 to 4 with equal weights, from 0 to 1."""
    matched, total = [0] * _ORDERS, [0] * _ORDERS
    for x, y in zip(drawn, references, strict=True):
        for n in range(1, _ORDERS + 1):
            own, other = (Counter(z[i : i + n] for i in range(len(z) - n + 1)) for z in (x, y))
            matched[n - 1] += sum((own & other).values())
            # NLTK counts one of each order even where a string is shorter.
            total[n - 1] += max(1, sum(own.values()))
    if min(matched) == 0:
        return 0.0
    length, wanted = sum(map(len, drawn)), sum(map(len, references))
    brevity = 0.0 if length > wanted else 1 - wanted / length
    precision = sum(math.log(m / t) for m, t in zip(matched, total, strict=True)) / _ORDERS
    return math.exp(brevity + precision)


def levenshtein(x: str, y: str) -> int:
    """Least number of characters to insert, delete or replace to make one string of the other."""
    row = list(range(len(y) + 1))
    for i, a in enumerate(x, start=1):
        last, row[0] = row[0], i
        for j, b in enumerate(y, start=1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


def _quietly(pairs: Sequence[Any]) -> Any:
    """The pairs, while RDKit says nothing of what an InChI leaves out."""
    from rdkit import RDLogger

    RDLogger.DisableLog("rdApp.*")
    try:
        yield from pairs
    finally:
        RDLogger.EnableLog("rdApp.*")


def _fingerprints() -> dict[str, Callable[[Any], Any]]:
    rdkit_chem("Fingerprints of molecules")
    from rdkit.Chem import MACCSkeys, rdFingerprintGenerator, rdmolops

    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    return {
        "maccs": MACCSkeys.GenMACCSKeys,
        "rdk": rdmolops.RDKFingerprint,
        "morgan": morgan.GetFingerprint,
    }


def _similarity(x: Any, y: Any) -> float:
    from rdkit import DataStructs

    return float(DataStructs.TanimotoSimilarity(x, y))
