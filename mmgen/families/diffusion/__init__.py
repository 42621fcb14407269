"""Diffusion and flow matching: one Gaussian path, its samplers and its likelihoods."""

from mmgen.families.diffusion.model import Diffusion

__all__ = ["Diffusion"]
