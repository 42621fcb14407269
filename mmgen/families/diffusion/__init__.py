"""Diffusion and flow matching: one Gaussian path, its samplers and its likelihoods."""

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
    widths = {"debug": (32, 2, 2), "small": (192, 4, 4)}
    dim, depth, num_heads = widths[size]
    network = GridTransformer(
        spec.shape,
        patch_size=4,
        dim=dim,
        depth=depth,
        num_heads=num_heads,
        condition=condition,
    )
    return Diffusion(network, spec=spec, target="data")
