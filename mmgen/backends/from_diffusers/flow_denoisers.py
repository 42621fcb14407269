"""Networks that predict the velocity on a straight path: Stable Diffusion 3, Flux and others."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmgen.backends.from_diffusers.autoencoder import autoencoder_kl, autoencoder_qwen
from mmgen.backends.from_diffusers.beside import Beside
from mmgen.backends.from_diffusers.denoiser import Reading, square_images, told
from mmgen.backends.from_diffusers.film_autoencoder import FilmLatents
from mmgen.backends.from_diffusers.noising import StraightNoising
from mmgen.backends.given import GivenCondition
from mmgen.core.codec import Codec
from mmgen.families.diffusion.path import expand

__all__ = ["FilmFlow", "Flow", "JointFlow", "ListedFlow", "PackedFlow", "PackedFrameFlow"]

_WAN_FPS = 16.0
_Z_SIZE = 1024


class Flow(Reading):
    """A transformer that predicts the velocity eps - x_0 on a straight path."""

    noising = StraightNoising()

    def forward(self, z_t: Tensor, t: Tensor, c: GivenCondition) -> Tensor:
        velocity = self.predicted(z_t.to(self.dtype), t, c).to(z_t)
        return z_t - expand(t, z_t) * velocity


class JointFlow(Flow):
    """Stable Diffusion 3."""

    @classmethod
    def codec(cls, pipeline: Any) -> Codec | None:
        return square_images(pipeline)

    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        states, pooled = (x.to(z_t) for x in self.texts(c))
        return self.network(
            hidden_states=z_t,
            timestep=1000 * place,
            encoder_hidden_states=states,
            pooled_projections=pooled,
        ).sample

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        states, _, pooled, _ = self.pipeline.encode_prompt(
            text, None, None, device=self.device, do_classifier_free_guidance=False
        )
        return states, pooled


class PackedFlow(Flow):
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

    def packed(self, z: Tensor) -> Tensor:
        return self.pipeline._pack_latents(z, *z.shape)

    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        states, pooled = (x.to(z_t) for x in self.texts(c))
        batch, channels, height, width = z_t.shape
        own = self.pipeline
        places = own._prepare_latent_image_ids(
            batch, height // 2, width // 2, z_t.device, z_t.dtype
        )
        guided = self.network.config.guidance_embeds
        found = self.network(
            hidden_states=self.packed(z_t),
            timestep=place.to(z_t),
            guidance=torch.ones_like(place) if guided else None,
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


class FilmFlow(Flow):
    """Wan, of one network for all noise. Its latents (B, C, T, H, W) are ours (B, T, C, H, W).

    Args:
        pipeline: A loaded diffusers pipeline.
        beside: What the network sees beside z_t, if it does.
    """

    def __init__(self, pipeline: Any, *, beside: Beside | None = None) -> None:
        super().__init__(pipeline)
        self.beside = beside

    @classmethod
    def lacking(cls, pipeline: Any) -> str | None:
        if pipeline.config.get("boundary_ratio") is not None:
            return "it has two networks, each for a part of the noise"
        if pipeline.config.get("expand_timesteps"):
            return "its network is told a time of each latent"
        return None

    @classmethod
    def codec(cls, pipeline: Any) -> Codec | None:
        if cls.lacking(pipeline) or type(pipeline.vae).__name__ != "AutoencoderKLWan":
            return None
        takes = inspect.signature(pipeline.__call__).parameters
        shape = tuple(takes[name].default for name in ("num_frames", "height", "width"))
        return FilmLatents(pipeline.vae, shape=shape, fps=_WAN_FPS)

    def unpacked(self, z: Tensor, options: Mapping[str, Any]) -> Tensor:
        return z.movedim(1, 2)

    def packed(self, z: Tensor) -> Tensor:
        return z.movedim(1, 2)

    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        (states,) = self.texts(c)
        seen = [z_t] if self.beside is None else [z_t, self.beside(z_t, c).to(z_t)]
        found = self.network(
            hidden_states=torch.cat(seen, dim=2).movedim(1, 2),
            timestep=1000 * place,
            encoder_hidden_states=states.to(z_t),
            **{name: value.to(z_t) for name, value in told(c).items()},
        ).sample
        return found.movedim(1, 2)

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        found = self.pipeline.encode_prompt(
            text, do_classifier_free_guidance=False, device=self.device
        )
        return (found[0],)


class ListedFlow(Flow):
    """Z-Image, which takes lists, and whose time and velocity run from noise to data."""

    @classmethod
    def codec(cls, pipeline: Any) -> Codec | None:
        vae = pipeline.vae
        plain = pipeline.transformer.config.in_channels == vae.config.get("latent_channels")
        if type(vae).__name__ != "AutoencoderKL" or not plain:
            return None
        return autoencoder_kl(vae, size=_Z_SIZE)

    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        states = [found.to(z_t) for (found,) in self.each_text(c)]
        (found,) = self.network(list(z_t[:, :, None]), 1 - place, states, return_dict=False)
        return -torch.stack(list(found))[:, :, 0]

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        found, _ = self.pipeline.encode_prompt(
            text, device=self.device, do_classifier_free_guidance=False
        )
        return tuple(found)


class PackedFrameFlow(Flow):
    """Qwen-Image, whose latents are films of one frame, packed as those of Flux are."""

    @classmethod
    def codec(cls, pipeline: Any) -> Codec | None:
        vae = pipeline.vae
        if type(vae).__name__ != "AutoencoderKLQwenImage":
            return None
        size = pipeline.default_sample_size * pipeline.vae_scale_factor
        return autoencoder_qwen(vae, size=size)

    def unpacked(self, z: Tensor, options: Mapping[str, Any]) -> Tensor:
        factor = self.pipeline.vae_scale_factor
        default = self.pipeline.default_sample_size * factor
        height, width = (options.get(side) or default for side in ("height", "width"))
        return self.pipeline._unpack_latents(z, height, width, factor)[:, :, 0]

    def packed(self, z: Tensor) -> Tensor:
        return self.pipeline._pack_latents(z, *z.shape)

    def predicted(self, z_t: Tensor, place: Tensor, c: GivenCondition) -> Tensor:
        # Texts differ in length: none is padded to another.
        rows = zip(z_t.split(1), place.split(1), self.each_text(c), strict=True)
        return torch.cat([self._row(z, s, states.to(z)) for z, s, (states,) in rows])

    def _row(self, z_t: Tensor, t: Tensor, states: Tensor) -> Tensor:
        own, (height, width) = self.pipeline, z_t.shape[-2:]
        guided = self.network.config.guidance_embeds
        found = self.network(
            hidden_states=self.packed(z_t),
            timestep=t.to(z_t),
            guidance=torch.ones_like(t) if guided else None,
            encoder_hidden_states=states,
            img_shapes=[[(1, height // 2, width // 2)]],
        ).sample
        size = {"height": height, "width": width}
        factor = own.vae_scale_factor
        return self.unpacked(found, {side: n * factor for side, n in size.items()})

    def _encoded(self, text: str) -> tuple[Tensor, ...]:
        states, _ = self.pipeline.encode_prompt(text, device=self.device)
        return (states,)
