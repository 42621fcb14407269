"""The networks of diffusers pipelines as networks of the diffusion family.

Each gives E[x_0 | z_t, y] for conditions that are not encoded yet.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.from_diffusers.schedule import Scheduled
from mmgen.backends.given import GivenCondition
from mmgen.core.spec import ConditionSpec
from mmgen.families.diffusion.path import GaussianPath, Straight, expand

__all__ = ["DENOISERS", "LibraryDenoiser"]


class LibraryDenoiser(nn.Module, ABC):
    """The network of a pipeline, and the path that it was trained on.

    Args:
        pipeline: A loaded diffusers pipeline.
    """

    condition = ConditionSpec()
    path: GaussianPath

    def __init__(self, pipeline: Any) -> None:
        super().__init__()
        # A pipeline is no module; its networks are parts of the model that holds this one.
        self.__dict__["pipeline"] = pipeline

    def parameters(self, recurse: bool = True) -> Any:
        """Those of the network."""
        return self.network.parameters(recurse)

    @property
    def network(self) -> nn.Module:
        """What predicts."""
        return getattr(self.pipeline, "unet", None) or self.pipeline.transformer

    def forget(self) -> None:
        """Keep nothing that weights have made, for they have changed."""

    @abstractmethod
    def forward(self, z_t: Tensor, t: Tensor, c: GivenCondition) -> Tensor:
        """E[x_0 | z_t, y] for z_t (B, *event) at times t (B,)."""


class _Reading(LibraryDenoiser):
    """A network that is told a text."""

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self._texts: dict[str, tuple[Tensor, ...]] = {}

    def forget(self) -> None:
        self._texts = {}

    def texts(self, c: GivenCondition) -> tuple[Tensor, ...]:
        """What the pipeline's text encoders make of each text, an empty one where none is given."""
        wanted = [values.get("text", "") for values in c.values]
        kept = self._texts
        with torch.no_grad():
            # Those of the last call are kept: a denoiser is asked of the same ones at each step.
            self._texts = {t: kept.get(t) or self._encoded(t) for t in dict.fromkeys(wanted)}
        return tuple(torch.cat(parts) for parts in zip(*map(self._texts.get, wanted), strict=True))

    @abstractmethod
    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        """What the network needs of a text, each (1, ...)."""


class _OnSchedule(LibraryDenoiser):
    """A network that was trained on the steps of a scheduler."""

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self.path = Scheduled(pipeline.scheduler.alphas_cumprod)
        self.predicts = pipeline.scheduler.config.prediction_type

    def forward(self, z_t: Tensor, t: Tensor, c: GivenCondition) -> Tensor:
        found = self._predict(z_t, self.path.step(t), c)
        if self.predicts == "sample":
            return found
        # Beyond the last step there is nothing but noise to the network either way.
        t = t.clamp(max=self.path.last)
        alpha, sigma = expand(self.path.alpha(t), z_t), expand(self.path.sigma(t), z_t)
        if self.predicts == "v_prediction":
            return alpha * z_t - sigma * found
        return (z_t - sigma * found) / alpha

    @abstractmethod
    def _predict(self, z_t: Tensor, step: Tensor, c: GivenCondition) -> Tensor:
        """What the network says at a step (B,)."""


class _Unconditional(_OnSchedule):
    """A UNet on pixels."""

    def _predict(self, z_t: Tensor, step: Tensor, c: GivenCondition) -> Tensor:
        return self.network(z_t, step).sample


class _Text(_OnSchedule, _Reading):
    """A UNet on latents that attends to a text: Stable Diffusion 1 and 2."""

    def _predict(self, z_t: Tensor, step: Tensor, c: GivenCondition) -> Tensor:
        (states,) = self.texts(c)
        return self.network(z_t, step, encoder_hidden_states=states.to(z_t)).sample

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        device = next(self.parameters()).device
        return (self.pipeline.encode_prompt([text], device, 1, False)[0],)


class _Flow(_Reading):
    """A transformer that predicts the velocity on a straight path: Stable Diffusion 3."""

    path = Straight()

    def forward(self, z_t: Tensor, t: Tensor, c: GivenCondition) -> Tensor:
        states, pooled = (x.to(z_t) for x in self.texts(c))
        velocity = self.network(
            hidden_states=z_t,
            timestep=1000 * t,
            encoder_hidden_states=states,
            pooled_projections=pooled,
        ).sample
        return z_t - expand(t, z_t) * velocity

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        device = next(self.parameters()).device
        states, _, pooled, _ = self.pipeline.encode_prompt(
            text, None, None, device=device, do_classifier_free_guidance=False
        )
        return states, pooled


DENOISERS: dict[str, type[LibraryDenoiser]] = {
    "DDPMPipeline": _Unconditional,
    "DDIMPipeline": _Unconditional,
    "StableDiffusionPipeline": _Text,
    "StableDiffusion3Pipeline": _Flow,
}
"""Pipelines whose networks the diffusion family knows how to ask."""
