"""Pipelines at work: policies in their environments."""

from mmgen.serving.rollout import Played, Rollout

__all__ = ["Played", "Rollout"]
