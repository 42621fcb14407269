"""Named properties of a molecule, by RDKit, in the form of a condition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mmgen.core.errors import UnknownNameError, close_names
from mmgen.modalities.molecules.structure import rdkit_chem, to_mol

__all__ = ["UNITS", "properties"]

UNITS = {
    "log_p": "",
    "qed": "",
    "molecular_weight": "g/mol",
    "tpsa": "A^2",
    "num_heavy_atoms": "",
    "num_rings": "",
    "num_aromatic_rings": "",
    "num_hydrogen_donors": "",
    "num_hydrogen_acceptors": "",
    "num_rotatable_bonds": "",
    "fraction_sp3": "",
    "formal_charge": "e",
}
"""Every property by name, with its unit, '' for none."""


def properties(value: Any, names: Sequence[str] = ()) -> dict[str, float]:
    """Properties of a molecule.

    Args:
        value: SMILES, or an RDKit molecule.
        names: Which of UNITS; all of them if none is named.

    Raises:
        UnknownNameError: If there is no property of a name.
        TypeError, ValueError: If it is no molecule.
        MissingDependency: If RDKit is not installed.

    Source: Quantifying the chemical beauty of drugs (Bickerton et al., 2012), Eq. 3 (qed);
    Prediction of physicochemical parameters by atomic contributions (Wildman & Crippen, 1999)
    (log_p); Fast calculation of molecular polar surface area (Ertl et al., 2000) (tpsa).
    """
    for name in names:
        if name not in UNITS:
            raise UnknownNameError(
                f"No property {name!r} of a molecule. {close_names(name, UNITS)}"
            )
    mol = to_mol(value)
    functions = _functions()
    return {name: float(functions[name](mol)) for name in names or UNITS}


def _functions() -> dict[str, Callable[[Any], float]]:
    chem = rdkit_chem("Properties of a molecule")
    from rdkit.Chem import QED, Crippen, Descriptors, rdMolDescriptors

    return {
        "log_p": Crippen.MolLogP,
        "qed": QED.qed,
        "molecular_weight": Descriptors.MolWt,
        "tpsa": rdMolDescriptors.CalcTPSA,
        "num_heavy_atoms": rdMolDescriptors.CalcNumHeavyAtoms,
        "num_rings": rdMolDescriptors.CalcNumRings,
        "num_aromatic_rings": rdMolDescriptors.CalcNumAromaticRings,
        "num_hydrogen_donors": rdMolDescriptors.CalcNumHBD,
        "num_hydrogen_acceptors": rdMolDescriptors.CalcNumHBA,
        "num_rotatable_bonds": rdMolDescriptors.CalcNumRotatableBonds,
        "fraction_sp3": rdMolDescriptors.CalcFractionCSP3,
        "formal_charge": chem.GetFormalCharge,
    }
