"""Frechet ChemNet distance (FCD): whether drawn molecules are as a set like those of a reference.

Lower is better, 0 if the features of both sets have one mean and one covariance. Biased upwards for
few molecules: compare only equal counts, 10,000 as a rule. The network, its weights and its way of
writing molecules are those of the package `fcd` (LGPL-3.0), which is imported if it is there and is
also the reference implementation.

Source: Frechet ChemNet Distance (Preuer et al., 2018), Sec. 2.2, arXiv:1803.09518.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from types import ModuleType

import numpy as np

from mmgen.core.errors import MissingDependency
from mmgen.evaluation.metrics.frechet import frechet_distance

__all__ = ["chemnet_distance", "chemnet_features"]


def chemnet_distance(drawn: Sequence[str], reference: Sequence[str]) -> float:
    """FCD of two sets of molecules.

    Args:
        drawn: SMILES of molecules.
        reference: SMILES of others, as many.

    Raises:
        ValueError: If one is no molecule, or a set has fewer than two.
        MissingDependency: If fcd is not installed.
    """
    return frechet_distance(chemnet_features(drawn), chemnet_features(reference))


def chemnet_features(smiles: Sequence[str], *, batch_size: int = 128) -> np.ndarray:
    """What ChemNet's last layer but one says of molecules (N, 512), on the CPU.

    Args:
        smiles: SMILES of molecules.
        batch_size: Molecules at once.

    Raises:
        ValueError: If one is no molecule, or one that ChemNet cannot read.
        MissingDependency: If fcd is not installed.
    """
    fcd = _fcd()
    # Its own way of writing, since the network has read no other.
    written = fcd.canonical_smiles(list(smiles))
    if None in written:
        bad = smiles[written.index(None)]
        raise ValueError(f"{bad!r:.80} is no molecule. Leave out what is none first.")
    with warnings.catch_warnings():
        # It calls what NumPy wants to be called otherwise, and leaves a temporary folder to Python.
        warnings.simplefilter("ignore")
        found = fcd.get_predictions(
            fcd.load_ref_model(), written, batch_size=batch_size, n_jobs=0, device="cpu"
        )
    return np.asarray(found, np.float64)


def _fcd() -> ModuleType:
    try:
        import fcd
    except ImportError:
        raise MissingDependency(
            "fcd", extra="bench", purpose="The Frechet ChemNet distance"
        ) from None
    return fcd
