"""Whether drawn strings are molecules, different ones, and ones not learnt by heart.

All are shares from 0 to 1, higher is better; some thousands of strings say something. What was
drawn is counted raw, and beside it what is a molecule after a repair, and what has a largest
fragment that is one, which others report under the same word. Reference implementation: the
definitions of MOSES, on RDKit; `molecule-benchmarks` in the tests.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from mmgen.evaluation.intervals import Proportion
from mmgen.modalities.molecules import canonical, is_valid
from mmgen.modalities.molecules.mending import largest_fragment, repaired

__all__ = ["Drawn", "drawn_molecules"]


@dataclass(frozen=True)
class Drawn:
    """What was drawn.

    Args:
        valid: Of the strings, those that are molecules as they are.
        connected: Of the strings, those that are one molecule in one piece as they are.
        repaired: Of the strings, those that are molecules once brackets and rings without a partner
            are taken out.
        largest_fragment: Of the strings, those whose largest piece is a molecule after that.
        unique: Of the valid ones, how many different molecules.
        novel: Of the different ones, those that were not learnt from.
    """

    valid: Proportion
    connected: Proportion
    repaired: Proportion
    largest_fragment: Proportion
    unique: Proportion
    novel: Proportion

    def as_dict(self) -> dict[str, Any]:
        """Each with its interval and counts, for a record."""
        return {name: getattr(self, name).as_dict() for name in self.__dataclass_fields__}


def drawn_molecules(
    smiles: Sequence[str], learnt: Collection[str], *, most: int | None = None
) -> Drawn:
    """Validity, uniqueness and novelty of drawn strings.

    Args:
        smiles: Strings as they were drawn.
        learnt: Canonical SMILES of what was learnt from.
        most: k of unique@k: uniqueness is that of the first k valid ones; of all if None.

    Raises:
        ValueError: If nothing was drawn, or no string is a molecule.
        MissingDependency: If RDKit is not installed.

    Source: Molecular Sets (MOSES) (Polykovskiy et al., 2020), Sec. 3.3, arXiv:1811.12823.
    """
    valid = [canonical(one) for one in smiles if is_valid(one)]
    if not valid:
        raise ValueError(f"None of {len(smiles)} strings is a molecule, so nothing compares.")
    first = valid[:most]
    different, known = set(valid), frozenset(learnt)
    mended = [repaired(one) for one in smiles]
    whole = [largest_fragment(one) for one in mended]
    return Drawn(
        valid=Proportion(len(valid), len(smiles)),
        connected=Proportion(sum("." not in one for one in valid), len(smiles)),
        repaired=Proportion(sum(map(is_valid, mended)), len(smiles)),
        largest_fragment=Proportion(sum(one is not None for one in whole), len(smiles)),
        unique=Proportion(len(set(first)), len(first)),
        novel=Proportion(len(different - known), len(different)),
    )
