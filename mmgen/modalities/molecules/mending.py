"""What can be made of a string that is no molecule. Nothing in mmgen does so unasked."""

from __future__ import annotations

from mmgen.modalities.molecules.smiles import split_smiles
from mmgen.modalities.molecules.structure import is_valid, rdkit_chem

__all__ = ["largest_fragment", "repaired"]


def repaired(smiles: str) -> str:
    """A string without brackets and ring numbers that have no partner; itself if it is a molecule.

    Nothing else is changed, so the result may be none either.

    Raises:
        MissingDependency: If RDKit is not installed.
    """
    if is_valid(smiles):
        return smiles
    try:
        symbols = split_smiles(smiles)
    except ValueError:
        return smiles
    lonely: set[int] = set()
    branches: list[int] = []
    rings: dict[str, int] = {}
    for place, symbol in enumerate(symbols):
        if symbol == "(":
            branches.append(place)
        elif symbol == ")" and not branches:
            lonely.add(place)
        elif symbol == ")":
            branches.pop()
        elif symbol[0] in "%0123456789" and rings.pop(symbol, None) is None:
            rings[symbol] = place
    lonely |= {*branches, *rings.values()}
    return "".join(symbol for place, symbol in enumerate(symbols) if place not in lonely)


def largest_fragment(smiles: str) -> str | None:
    """Canonical SMILES of the piece with the most heavy atoms, None if that is no molecule.

    The pieces are looked at one by one, so one that is no molecule spoils no other.

    Raises:
        MissingDependency: If RDKit is not installed.
    """
    chem = rdkit_chem("Finding the largest fragment")
    from rdkit import rdBase

    with rdBase.BlockLogs():
        mol = chem.MolFromSmiles(smiles, sanitize=False)
        if mol is None or mol.GetNumAtoms() == 0:
            return None
        pieces = chem.GetMolFrags(mol, asMols=True, sanitizeFrags=False)
        largest = max(pieces, key=lambda piece: piece.GetNumHeavyAtoms())
        again = chem.MolFromSmiles(chem.MolToSmiles(largest))
        return None if again is None else chem.MolToSmiles(again)
