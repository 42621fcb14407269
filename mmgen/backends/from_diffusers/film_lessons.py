"""Films and pictures as what networks of diffusers learn from that make a film of a picture."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from mmgen.backends.from_diffusers.beside import pictures
from mmgen.backends.from_diffusers.denoiser import network_of
from mmgen.backends.from_diffusers.lessons import Lessons, drawn, with_parts
from mmgen.backends.given import GivenCondition
from mmgen.core.latent import Latent

__all__ = [
    "FilmLessons",
    "FirstFrameLessons",
    "MaskedFilmLessons",
    "PaddedFilmLessons",
    "SeenFilmLessons",
]

# Mean and standard deviation of the logarithm of the noise on a picture.
_LOG_NOISE = (-3.0, 0.5)


class FilmLessons(Lessons):
    """Latents of films, and what a network is shown of the picture that one is made of."""

    coder: str
    """The class of the autoencoder."""

    def __call__(
        self, latent: Latent, c: GivenCondition, *, generator: torch.Generator | None
    ) -> tuple[Tensor, GivenCondition]:
        x = latent.z.movedim(1, 2)
        every, side = self.steps()
        count, height, width = x.shape[2:]
        if (count - 1) % every or height % side or width % side or count <= every:
            frames = f"{every} n + 1 frames, n at least 1," if every > 1 else "several frames"
            raise ValueError(
                f"Expected films of {frames} of sides that are multiples of {side}, got {count} "
                f"of {width} x {height}. Cut and resize them."
            )
        first = pictures([values.get("image") for values in c.values], x.shape[-2:])
        return self.taught(x, first.to(x), c, generator)

    @abstractmethod
    def steps(self) -> tuple[int, int]:
        """In what steps frames and sides of films go."""

    @abstractmethod
    def taught(
        self, x: Tensor, first: Tensor, c: GivenCondition, generator: torch.Generator | None
    ) -> tuple[Tensor, GivenCondition]:
        """As the call, of films x (B, 3, T, H, W) and pictures (B, 3, H, W), both in [-1, 1]."""

    @classmethod
    def lacking(cls, pipeline: Any) -> str | None:
        kind = type(pipeline.vae).__name__
        return None if kind == cls.coder else f"its autoencoder is of the kind {kind}"


class PaddedFilmLessons(FilmLessons):
    """The latents of a slightly noisy picture are beside those of the first frame: CogVideoX.

    Source: CogVideoX (Yang et al., 2024), App. D, arXiv:2408.06072; conventions of diffusers 0.42
    (Apache-2.0), `CogVideoXImageToVideoPipeline.prepare_latents`.
    """

    coder = "AutoencoderKLCogVideoX"

    def steps(self) -> tuple[int, int]:
        own = self.pipeline
        side = own.vae_scale_factor_spatial * network_of(own).config.patch_size
        return own.vae_scale_factor_temporal, side

    def taught(
        self, x: Tensor, first: Tensor, c: GivenCondition, generator: torch.Generator | None
    ) -> tuple[Tensor, GivenCondition]:
        vae = self.pipeline.vae
        scale = vae.config.scaling_factor
        z = scale * drawn(vae, x, generator)
        noisy, _ = _noisy(first, generator)
        e = drawn(vae, noisy[:, :, None], generator)
        seen = torch.zeros_like(z)
        # Some were trained on latents that were divided by it.
        seen[:, :, :1] = e / scale if vae.config.invert_scale_latents else e * scale
        return z.movedim(1, 2), with_parts(c, beside=seen.movedim(1, 2))


class MaskedFilmLessons(FilmLessons):
    """Beside a film are the latents of its first picture and black, and which is which: Wan.

    Source: Wan (Wan Team, 2025), arXiv:2503.20314; conventions of diffusers 0.42
    (Apache-2.0), `WanImageToVideoPipeline.prepare_latents`.
    """

    coder = "AutoencoderKLWan"

    def steps(self) -> tuple[int, int]:
        own = self.pipeline
        side = own.vae_scale_factor_spatial * network_of(own).config.patch_size[1]
        return own.vae_scale_factor_temporal, side

    def taught(
        self, x: Tensor, first: Tensor, c: GivenCondition, generator: torch.Generator | None
    ) -> tuple[Tensor, GivenCondition]:
        own = self.pipeline
        z = self._scaled(drawn(own.vae, x, generator))
        shown = torch.zeros_like(x)
        shown[:, :, 0] = first
        e = self._scaled(drawn(own.vae, shown, None))
        mask = e.new_zeros(len(e), own.vae_scale_factor_temporal, *e.shape[2:])
        mask[:, :, 0] = 1
        parts = {"beside": torch.cat((mask, e), dim=1).movedim(1, 2)}
        if network_of(own).config.image_dim is not None:
            eyes = [own.encode_image([v["image"]], z.device)[0] for v in c.values]
            parts["told"] = [{"encoder_hidden_states_image": one} for one in eyes]
        return z.movedim(1, 2), with_parts(c, **parts)

    def _scaled(self, e: Tensor) -> Tensor:
        config = self.pipeline.vae.config
        mean, std = (e.new_tensor(config[f"latents_{name}"]) for name in ("mean", "std"))
        return (e - mean[:, None, None, None]) / std[:, None, None, None]


class FirstFrameLessons(FilmLessons):
    """The latents of the picture are those of the first frame, and the others are learnt: LTX.

    Source: as that of `GoingOn`.
    """

    coder = "AutoencoderKLLTXVideo"

    def steps(self) -> tuple[int, int]:
        own = self.pipeline
        return own.vae_temporal_compression_ratio, own.vae_spatial_compression_ratio

    def taught(
        self, x: Tensor, first: Tensor, c: GivenCondition, generator: torch.Generator | None
    ) -> tuple[Tensor, GivenCondition]:
        vae = self.pipeline.vae
        z, seen = (
            self.pipeline._normalize_latents(e, vae.latents_mean, vae.latents_std)
            for e in (drawn(vae, x, generator), drawn(vae, first[:, :, None], generator))
        )
        return z[:, :, 1:], with_parts(c, beside=seen)


class SeenFilmLessons(FilmLessons):
    """Beside every frame are the latents of a slightly noisy picture: Stable Video Diffusion.

    The network is told how much noise that is, what an image encoder makes of the picture, and the
    frames per second and motion that the call tells it if nothing is said.

    Source: Stable Video Diffusion (Blattmann et al., 2023), App. D, arXiv:2311.15127; conventions
    of diffusers 0.42 (Apache-2.0), `StableVideoDiffusionPipeline.__call__`.
    """

    coder = "AutoencoderKLTemporalDecoder"

    def steps(self) -> tuple[int, int]:
        levels = len(network_of(self.pipeline).config.block_out_channels)
        return 1, self.pipeline.vae_scale_factor * 2 ** (levels - 1)

    def taught(
        self, x: Tensor, first: Tensor, c: GivenCondition, generator: torch.Generator | None
    ) -> tuple[Tensor, GivenCondition]:
        own, vae = self.pipeline, self.pipeline.vae
        frames = x.movedim(1, 2)
        e = drawn(vae, frames.flatten(0, 1), generator).unflatten(0, frames.shape[:2])
        noisy, level = _noisy(first, generator)
        seen = drawn(vae, noisy, None)[:, None].expand(-1, x.shape[2], -1, -1, -1)
        defaults = inspect.signature(own.__call__).parameters
        rate, motion = (defaults[name].default for name in ("fps", "motion_bucket_id"))
        told = [
            {
                "encoder_hidden_states": own._encode_image(values["image"], x.device, 1, False)[0],
                # That are trained with one frame per second less.
                "added_time_ids": own._get_add_time_ids(
                    rate - 1, motion, noise, x.dtype, 1, 1, False
                )[0],
            }
            for values, noise in zip(c.values, level.tolist(), strict=True)
        ]
        return vae.config.scaling_factor * e, with_parts(c, beside=seen, told=told)


def _noisy(first: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Pictures (B, 3, H, W) with a little noise, and its standard deviation of each (B,)."""
    mean, std = _LOG_NOISE
    level = (mean + std * torch.randn(len(first), generator=generator)).exp()
    eps = torch.randn(first.shape, generator=generator)
    return first + level[:, None, None, None].to(first) * eps.to(first), level
