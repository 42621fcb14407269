"""Networks that were trained on the steps of a scheduler: Stable Diffusion and its kin."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from mmgen.backends.from_diffusers.denoiser import LibraryDenoiser, Reading, square_images
from mmgen.backends.from_diffusers.schedule import Scheduled
from mmgen.backends.given import GivenCondition
from mmgen.core.codec import Codec
from mmgen.families.diffusion.path import expand

__all__ = ["Attending", "AttendingMasked", "AttendingSized", "Unconditional"]


class OnSchedule(LibraryDenoiser):
    """A network that was trained on the steps of a scheduler."""

    learns_variance = False
    """Whether half of what the network gives is a variance."""
    upcasts = False
    """Whether its call decodes in float32 what might overflow in float16."""

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self.path = Scheduled(pipeline.scheduler.alphas_cumprod)
        self.predicts = pipeline.scheduler.config.prediction_type

    @classmethod
    def codec(cls, pipeline: Any) -> Codec | None:
        kind = pipeline.scheduler.config.get("prediction_type")
        known = kind in ("epsilon", "sample", "v_prediction")
        if not known or not hasattr(pipeline.scheduler, "alphas_cumprod"):
            return None
        vae = getattr(pipeline, "vae", None)
        upcast = cls.upcasts and bool(vae.config.get("force_upcast"))
        return square_images(pipeline, learns_variance=cls.learns_variance, upcast=upcast)

    def forward(self, z_t: Tensor, t: Tensor, c: GivenCondition) -> Tensor:
        found = self._predict(z_t.to(self.dtype), self.path.step(t), c).to(z_t)
        if self.predicts == "sample":
            return found
        # Beyond the last step there is nothing but noise to the network either way.
        t = t.double().clamp(max=self.path.last)
        alpha, sigma = expand(self.path.alpha(t), z_t), expand(self.path.sigma(t), z_t)
        if self.predicts == "v_prediction":
            return alpha * z_t - sigma * found
        return (z_t - sigma * found) / alpha

    @abstractmethod
    def _predict(self, z_t: Tensor, step: Tensor, c: GivenCondition) -> Tensor:
        """What the network says at a step (B,)."""


class Unconditional(OnSchedule):
    """A UNet on pixels."""

    def _predict(self, z_t: Tensor, step: Tensor, c: GivenCondition) -> Tensor:
        return self.network(z_t, step).sample


class Attending(OnSchedule, Reading):
    """A UNet on latents that attends to a text: Stable Diffusion 1 and 2."""

    def _predict(self, z_t: Tensor, step: Tensor, c: GivenCondition) -> Tensor:
        (states,) = self.texts(c)
        return self.network(z_t, step, encoder_hidden_states=states.to(z_t)).sample

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        return (self.pipeline.encode_prompt([text], self.device, 1, False)[0],)


class AttendingSized(OnSchedule, Reading):
    """A UNet that is also told the size of the image, here that of all of it: SDXL."""

    upcasts = True

    @classmethod
    def codec(cls, pipeline: Any) -> Codec | None:
        # One that was distilled is told how much guidance to imitate, and is no model without.
        distilled = pipeline.unet.config.get("time_cond_proj_dim") is not None
        return None if distilled else super().codec(pipeline)

    def _predict(self, z_t: Tensor, step: Tensor, c: GivenCondition) -> Tensor:
        states, pooled = (x.to(z_t) for x in self.texts(c))
        factor = self.pipeline.vae_scale_factor
        size = [factor * n for n in z_t.shape[-2:]]
        place = torch.tensor([*size, 0, 0, *size]).to(z_t).expand(len(z_t), -1)
        more = {"text_embeds": pooled, "time_ids": place}
        return self.network(z_t, step, encoder_hidden_states=states, added_cond_kwargs=more).sample

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        states, _, pooled, _ = self.pipeline.encode_prompt(
            text, device=self.device, do_classifier_free_guidance=False
        )
        return states, pooled


class AttendingMasked(OnSchedule, Reading):
    """A transformer that attends to a text with a mask: PixArt."""

    learns_variance = True

    def _predict(self, z_t: Tensor, step: Tensor, c: GivenCondition) -> Tensor:
        states, mask = self.texts(c)
        more: dict[str, Tensor | None] = {"resolution": None, "aspect_ratio": None}
        if self.network.config.sample_size == 128:
            height, width = (self.pipeline.vae_scale_factor * n for n in z_t.shape[-2:])
            size, ratio = torch.tensor([[height, width]]), torch.tensor([[height / width]])
            more = {
                "resolution": size.to(z_t).expand(len(z_t), -1),
                "aspect_ratio": ratio.to(z_t).expand(len(z_t), -1),
            }
        found = self.network(
            z_t,
            encoder_hidden_states=states.to(z_t),
            encoder_attention_mask=mask,
            timestep=step,
            added_cond_kwargs=more,
        ).sample
        return found.chunk(2, dim=1)[0]

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        # As its call reads a text if nothing is said.
        clean = inspect.signature(self.pipeline.__call__).parameters["clean_caption"].default
        return self.pipeline.encode_prompt(
            text, do_classifier_free_guidance=False, device=self.device, clean_caption=clean
        )[:2]
