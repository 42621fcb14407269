"""Metrics of sets of molecules: MOSES', GuacaMol's, ChemNet's distance, those of captions."""

from mmgen.evaluation.metrics.molecules.chemnet import chemnet_distance, chemnet_features
from mmgen.evaluation.metrics.molecules.described import described_scores
from mmgen.evaluation.metrics.molecules.drawn import Drawn, drawn_molecules
from mmgen.evaluation.metrics.molecules.guacamol import guacamol_scores
from mmgen.evaluation.metrics.molecules.moses import moses_scores

__all__ = [
    "Drawn",
    "chemnet_distance",
    "chemnet_features",
    "described_scores",
    "drawn_molecules",
    "guacamol_scores",
    "moses_scores",
]
