"""Policies P(actions | observation): from what was seen over a few steps to a chunk of actions.

Sources: Diffusion Policy (Chi et al., 2023), Sec. 3, arXiv:2303.04137, here with a transformer and
straight paths; RT-1 (Brohan et al., 2022), Sec. 5.2, arXiv:2212.06817, for actions as tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mmgen.families.autoregressive import Autoregressive
from mmgen.families.autoregressive.warping import Warping
from mmgen.families.diffusion import Diffusion
from mmgen.guidance.classifier_free import ClassifierFreeGuidance
from mmgen.guidance.tokens import TokenGuidance
from mmgen.modalities.actions import ActionChunks, ActionTokens, ObservationEncoder
from mmgen.nn.grid import GridTransformer
from mmgen.nn.mlp import ConditionalMLP
from mmgen.nn.tokens import TokenTransformer
from mmgen.pipeline import Pipeline

__all__ = ["autoregressive_policy", "diffusion_policy"]

Bound = float | Sequence[float] | None


def diffusion_policy(  # noqa: PLR0913
    observations: Mapping[str, Sequence[int]],
    *,
    horizon: int,
    num_actions: int,
    bounds: tuple[Bound, Bound] = (None, None),
    normalisation: str = "min-max",
    dim: int = 128,
    depth: int = 3,
    attentive: bool = True,
    seen: Mapping[str, Any] = MappingProxyType({}),
    units: str | Sequence[str] = "",
    **choices: Any,
) -> Pipeline:
    """Flow matching on chunks of actions, with fresh weights.

    Args:
        observations: Shapes by name, as `ObservationEncoder` takes them, history first.
        horizon: Steps of a chunk.
        num_actions: Numbers of an action.
        bounds: Least and greatest action that the environment allows; decoded ones are clipped.
        normalisation: Of actions, as `ActionChunks` takes it.
        dim: Width, a multiple of 32, which is that of an attention head.
        depth: Number of blocks.
        attentive: Whether a transformer attends to each step of actions and of observations. If
            not, a perceptron takes either whole: of a few numbers it learns as much much faster.
        seen: Further arguments of `ObservationEncoder`, such as which numbers are angles.
        units: Of actions.
        choices: Further arguments of `Diffusion`; ten steps from noise to actions if not told.
    """
    encoder = ObservationEncoder(observations, dim=dim, num_heads=dim // 32, **seen)
    low, high = bounds
    clip = low is not None or high is not None
    codec = ActionChunks(
        horizon,
        num_actions,
        low=low,
        high=high,
        units=units,
        clip=clip,
        normalisation=normalisation,
    )
    sizes = {"dim": dim, "depth": depth, "condition": encoder.spec}
    network = (
        GridTransformer(codec.spec.shape, num_heads=dim // 32, **sizes)
        if attentive
        else ConditionalMLP(codec.spec.shape, **sizes)
    )
    own = {"target": "data", "num_inference_steps": 10} | choices
    model = Diffusion(network, spec=codec.spec, **own)
    # An observation is all that a policy goes by: it is seldom withheld.
    return Pipeline(
        encoder=encoder,
        model=ClassifierFreeGuidance(model, guidance_scale=1.0),
        codec=codec,
        condition_dropout=0.02,
    )


def autoregressive_policy(
    observations: Mapping[str, Sequence[int]],
    *,
    horizon: int,
    num_actions: int,
    bounds: tuple[Bound, Bound] = (None, None),
    num_bins: int = 256,
    dim: int = 128,
    depth: int = 3,
    warping: Warping | None = None,
) -> Pipeline:
    """One number of one action after another, each as one of `num_bins` tokens.

    Args:
        observations: Shapes by name, as `ObservationEncoder` takes them, history first.
        horizon: Steps of a chunk.
        num_actions: Numbers of an action.
        bounds: Least and greatest action that the environment allows.
        num_bins: Tokens.
        dim: Width, a multiple of 32, which is that of an attention head.
        depth: Number of transformer blocks.
        warping: How samples are drawn if not asked otherwise; as the model is, if None.
    """
    encoder = ObservationEncoder(observations, dim=dim, num_heads=dim // 32)
    low, high = bounds
    codec = ActionTokens(horizon, num_actions, low=low, high=high, num_bins=num_bins)
    network = TokenTransformer(
        num_bins + 1,
        num_outputs=num_bins,
        dim=dim,
        depth=depth,
        num_heads=dim // 32,
        condition=encoder.spec,
        causal=True,
    )
    model = Autoregressive(network, spec=codec.spec, warping=warping)
    return Pipeline(
        encoder=encoder,
        model=TokenGuidance(model, guidance_scale=1.0),
        codec=codec,
        condition_dropout=0.02,
    )
