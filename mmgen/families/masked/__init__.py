"""Masked diffusion of tokens: hidden places are filled in any order, so any part may be known."""

from mmgen.families.masked.model import Masked, model

__all__ = ["Masked", "model"]
