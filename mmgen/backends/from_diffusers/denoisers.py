"""The networks of diffusers pipelines as networks of the diffusion family.

Each gives E[x_0 | z_t, y] for conditions that are not encoded yet.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.from_diffusers.autoencoder import autoencoder_kl
from mmgen.backends.from_diffusers.film_autoencoder import FilmLatents
from mmgen.backends.from_diffusers.schedule import Scheduled
from mmgen.backends.given import GivenCondition
from mmgen.backends.values import AnyImage
from mmgen.core.codec import Codec
from mmgen.core.spec import ConditionSpec
from mmgen.families.diffusion.path import GaussianPath, Straight, expand

__all__ = ["DENOISERS", "LibraryDenoiser"]

_WAN_FPS = 16.0


class LibraryDenoiser(nn.Module, ABC):
    """The network of a pipeline, and the path that it was trained on.

    Args:
        pipeline: A loaded diffusers pipeline that has a `codec`.
    """

    condition = ConditionSpec()
    path: GaussianPath

    def __init__(self, pipeline: Any) -> None:
        super().__init__()
        # A pipeline is no module; its networks are parts of the model that holds this one.
        self.__dict__["pipeline"] = pipeline

    @classmethod
    @abstractmethod
    def codec(cls, pipeline: Any) -> Codec | None:
        """Values to what the network denoises; None if it is not asked as others of its class."""

    def parameters(self, recurse: bool = True) -> Any:
        """Those of the network."""
        return self.network.parameters(recurse)

    @property
    def network(self) -> nn.Module:
        """What predicts."""
        return _network(self.pipeline)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the network. What is around it is in that of z_t."""
        return next(self.network.parameters()).dtype

    def unpacked(self, z: Tensor, options: Mapping[str, Any]) -> Tensor:
        """What the pipeline's scheduler works on (B, ...) as latents (B, *event).

        Args:
            z: Of a call of the pipeline.
            options: Of that call.
        """
        return z

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

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.parameters()).device

    @abstractmethod
    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        """What the network needs of a text, each (1, ...)."""


class _OnSchedule(LibraryDenoiser):
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
        return _square(pipeline, learns_variance=cls.learns_variance, upcast=upcast)

    def forward(self, z_t: Tensor, t: Tensor, c: GivenCondition) -> Tensor:
        found = self._predict(z_t.to(self.dtype), self.path.step(t), c).to(z_t)
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
        return (self.pipeline.encode_prompt([text], self.device, 1, False)[0],)


class _SizedText(_OnSchedule, _Reading):
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


class _MaskedText(_OnSchedule, _Reading):
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


class _Flow(_Reading):
    """A transformer that predicts the velocity on a straight path."""

    path = Straight()

    def forward(self, z_t: Tensor, t: Tensor, c: GivenCondition) -> Tensor:
        velocity = self._velocity(z_t.to(self.dtype), t, c).to(z_t)
        return z_t - expand(t, z_t) * velocity

    @abstractmethod
    def _velocity(self, z_t: Tensor, t: Tensor, c: GivenCondition) -> Tensor:
        """E[eps - x_0 | z_t, y] at times t (B,) from 0, data, to 1."""


class _JointFlow(_Flow):
    """Stable Diffusion 3."""

    @classmethod
    def codec(cls, pipeline: Any) -> Codec | None:
        return _square(pipeline)

    def _velocity(self, z_t: Tensor, t: Tensor, c: GivenCondition) -> Tensor:
        states, pooled = (x.to(z_t) for x in self.texts(c))
        return self.network(
            hidden_states=z_t,
            timestep=1000 * t,
            encoder_hidden_states=states,
            pooled_projections=pooled,
        ).sample

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        states, _, pooled, _ = self.pipeline.encode_prompt(
            text, None, None, device=self.device, do_classifier_free_guidance=False
        )
        return states, pooled


class _PackedFlow(_Flow):
    """Flux, which sees latents as a sequence of squares of two by two.

    One that was distilled is told to imitate a guidance of 1, which is none.
    """

    @classmethod
    def codec(cls, pipeline: Any) -> Codec | None:
        vae = pipeline.vae
        packed = pipeline.transformer.config.in_channels == 4 * vae.config.latent_channels
        if type(vae).__name__ != "AutoencoderKL" or not packed:
            return None
        return autoencoder_kl(vae, size=pipeline.default_sample_size * pipeline.vae_scale_factor)

    def unpacked(self, z: Tensor, options: Mapping[str, Any]) -> Tensor:
        factor = self.pipeline.vae_scale_factor
        default = self.pipeline.default_sample_size * factor
        height, width = (options.get(side) or default for side in ("height", "width"))
        return self.pipeline._unpack_latents(z, height, width, factor)

    def _velocity(self, z_t: Tensor, t: Tensor, c: GivenCondition) -> Tensor:
        states, pooled = (x.to(z_t) for x in self.texts(c))
        batch, channels, height, width = z_t.shape
        own = self.pipeline
        places = own._prepare_latent_image_ids(
            batch, height // 2, width // 2, z_t.device, z_t.dtype
        )
        guided = self.network.config.guidance_embeds
        found = self.network(
            hidden_states=own._pack_latents(z_t, batch, channels, height, width),
            timestep=t.to(z_t),
            guidance=torch.ones_like(t) if guided else None,
            pooled_projections=pooled,
            encoder_hidden_states=states,
            txt_ids=states.new_zeros(states.shape[1], 3),
            img_ids=places,
        ).sample
        factor = own.vae_scale_factor
        return own._unpack_latents(found, height * factor, width * factor, factor)

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        states, pooled, _ = self.pipeline.encode_prompt(text, None, device=self.device)
        return states, pooled


class _FilmFlow(_Flow):
    """Wan, of one network for all noise. Its latents (B, C, T, H, W) are ours (B, T, C, H, W)."""

    @classmethod
    def codec(cls, pipeline: Any) -> Codec | None:
        config = pipeline.config
        several = config.get("boundary_ratio") is not None or config.get("expand_timesteps")
        if several or type(pipeline.vae).__name__ != "AutoencoderKLWan":
            return None
        takes = inspect.signature(pipeline.__call__).parameters
        shape = tuple(takes[name].default for name in ("num_frames", "height", "width"))
        return FilmLatents(pipeline.vae, shape=shape, fps=_WAN_FPS)

    def unpacked(self, z: Tensor, options: Mapping[str, Any]) -> Tensor:
        return z.movedim(1, 2)

    def _velocity(self, z_t: Tensor, t: Tensor, c: GivenCondition) -> Tensor:
        (states,) = self.texts(c)
        found = self.network(
            hidden_states=z_t.movedim(1, 2),
            timestep=1000 * t,
            encoder_hidden_states=states.to(z_t),
        ).sample
        return found.movedim(1, 2)

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        found = self.pipeline.encode_prompt(
            text, do_classifier_free_guidance=False, device=self.device
        )
        return (found[0],)


DENOISERS: dict[str, type[LibraryDenoiser]] = {
    "DDPMPipeline": _Unconditional,
    "DDIMPipeline": _Unconditional,
    "StableDiffusionPipeline": _Text,
    "StableDiffusionXLPipeline": _SizedText,
    "PixArtAlphaPipeline": _MaskedText,
    "PixArtSigmaPipeline": _MaskedText,
    "StableDiffusion3Pipeline": _JointFlow,
    "FluxPipeline": _PackedFlow,
    "WanPipeline": _FilmFlow,
}
"""Pipelines whose networks the diffusion family knows how to ask."""


def _network(pipeline: Any) -> nn.Module:
    return getattr(pipeline, "unet", None) or pipeline.transformer


def _square(pipeline: Any, *, learns_variance: bool = False, upcast: bool = False) -> Codec | None:
    """Square images of the network's own size, if it gives what it takes."""
    config, vae = _network(pipeline).config, getattr(pipeline, "vae", None)
    size, channels = config.get("sample_size"), config.get("in_channels")
    given = 2 * channels if learns_variance else channels
    if not isinstance(size, int) or config.get("out_channels") != given:
        return None
    if vae is None:
        return AnyImage(size) if channels == 3 else None
    if type(vae).__name__ != "AutoencoderKL":
        return None
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    return autoencoder_kl(vae, size=size * factor, upcast=upcast)
