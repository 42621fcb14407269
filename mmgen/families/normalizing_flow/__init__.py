"""Normalizing flows: invertible maps between latents and noise, with the exact density."""

from mmgen.core.model import Model
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.normalizing_flow.model import NormalizingFlow

__all__ = ["NormalizingFlow", "model"]


def model(spec: Spec, condition: ConditionSpec, size: str) -> Model:
    """The normalizing flow of this size for latents and a condition of these types.

    Raises:
        SpecError: If the latents are not continuous, or have a layout it cannot work on.
    """
    num_layers, dim, depth = {"debug": (4, 32, 1), "small": (8, 128, 2)}[size]
    return NormalizingFlow(spec, condition=condition, num_layers=num_layers, dim=dim, depth=depth)
