"""Guidance: models and conditionals that are wrapped and sample differently."""

from mmgen.core.model import Model
from mmgen.families.autoregressive import Autoregressive
from mmgen.families.diffusion import Diffusion
from mmgen.families.masked import Masked
from mmgen.guidance.classifier_free import ClassifierFreeGuidance
from mmgen.guidance.posterior import POSTERIORS, find_posterior, mmps, split_gibbs
from mmgen.guidance.tokens import TokenGuidance

__all__ = [
    "POSTERIORS",
    "ClassifierFreeGuidance",
    "TokenGuidance",
    "find_posterior",
    "guided",
    "mmps",
    "split_gibbs",
]

_GUIDANCE = {
    Diffusion: ClassifierFreeGuidance,
    Autoregressive: TokenGuidance,
    Masked: TokenGuidance,
}


def guided(model: Model) -> Model:
    """The model with the guidance that its family has, off unless it is asked for.

    A model of another family, or one without a condition, comes back as it is.
    """
    spec = model.condition
    if spec.token_dim is None and spec.vector_dim is None:
        return model
    wrap = _GUIDANCE.get(type(model))
    return model if wrap is None else wrap(model, guidance_scale=1.0)
