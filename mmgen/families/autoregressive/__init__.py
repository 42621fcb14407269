"""Autoregressive models: one token after another, from left to right, with exact likelihoods."""

from mmgen.families.autoregressive.model import Autoregressive, model

__all__ = ["Autoregressive", "model"]
