"""Diffusion and flow matching: one Gaussian path, its samplers and its likelihoods."""

import math

from mmgen.core.layout import Layout
from mmgen.core.model import Model
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.diffusion.model import Diffusion
from mmgen.nn.grid import GridTransformer

__all__ = ["Diffusion", "model"]


def model(spec: Spec, condition: ConditionSpec, size: str) -> Model:
    """The diffusion model of this size for latents and a condition of these types.

    Raises:
        SpecError: If the latents are not a continuous grid.
    """
    Layout.of(spec, by="Diffusion")
    widths = {"debug": (32, 2, 2), "small": (192, 4, 4)}
    dim, depth, num_heads = widths[size]
    sides = spec.shape[-2:] if len(spec.shape) > 2 else ()
    network = GridTransformer(
        spec.shape,
        patch_size=math.gcd(4, *sides),
        dim=dim,
        depth=depth,
        num_heads=num_heads,
        condition=condition,
    )
    return Diffusion(network, spec=spec, target="data")
