"""Guidance: models and conditionals that are wrapped and sample differently."""

from mmgen.guidance.classifier_free import ClassifierFreeGuidance
from mmgen.guidance.posterior import POSTERIORS, find_posterior, mmps, split_gibbs

__all__ = ["POSTERIORS", "ClassifierFreeGuidance", "find_posterior", "mmps", "split_gibbs"]
