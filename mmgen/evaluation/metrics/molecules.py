"""Whether drawn strings are molecules, different ones, and ones not learnt by heart.

All are shares from 0 to 1, higher is better; some thousands of strings say something. Nothing is
repaired first. Reference implementation: the definitions of MOSES, on RDKit.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mmgen.evaluation.intervals import Proportion
from mmgen.modalities.molecules import canonical, is_valid

__all__ = ["Drawn", "drawn_molecules"]


@dataclass(frozen=True)
class Drawn:
    """What was drawn.

    Args:
        valid: Of the strings, those that are molecules.
        unique: Of the valid ones, how many different molecules.
        novel: Of the different ones, those that were not learnt from.
    """

    valid: Proportion
    unique: Proportion
    novel: Proportion


def drawn_molecules(smiles: Sequence[str], learnt: Collection[str]) -> Drawn:
    """Validity, uniqueness and novelty of drawn strings.

    Args:
        smiles: Strings as they were drawn.
        learnt: Canonical SMILES of what was learnt from.

    Raises:
        ValueError: If nothing was drawn, or no string is a molecule.
        MissingDependency: If RDKit is not installed.

    Source: Molecular Sets (MOSES) (Polykovskiy et al., 2020), Sec. 3.3, arXiv:1811.12823.
    """
    valid = [canonical(one) for one in smiles if is_valid(one)]
    if not valid:
        raise ValueError(f"None of {len(smiles)} strings is a molecule, so nothing compares.")
    different, known = set(valid), frozenset(learnt)
    return Drawn(
        valid=Proportion(len(valid), len(smiles)),
        unique=Proportion(len(different), len(valid)),
        novel=Proportion(len(different - known), len(different)),
    )
