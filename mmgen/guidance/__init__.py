"""Guidance: models that wrap a model and sample differently."""

from mmgen.guidance.classifier_free import ClassifierFreeGuidance

__all__ = ["ClassifierFreeGuidance"]
