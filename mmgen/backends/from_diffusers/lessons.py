"""Values of X as what networks of diffusers learn from, for pipelines that are only called.

The call of such a pipeline gives values, and nobody asks its network anything else. In training a
lesson takes the values to latents as the network was trained on them, and adds to the condition
what the network is told of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.backends.from_diffusers.autoencoder import statistics
from mmgen.backends.from_diffusers.beside import pictures
from mmgen.backends.from_diffusers.denoiser import network_of
from mmgen.backends.from_diffusers.precision import run
from mmgen.backends.given import GivenCondition
from mmgen.core.latent import Latent
from mmgen.nn.mel import MelSpec, MelTransform

__all__ = [
    "CodeLessons",
    "ControlLessons",
    "Lessons",
    "MelLessons",
    "PaintedLessons",
    "PictureLessons",
    "SquareLessons",
    "UpscalingLessons",
    "WaveLessons",
    "drawn",
    "with_parts",
]

_MEL_FFT = 1024


class Lessons(ABC):
    """From values to what a denoiser learns.

    Args:
        pipeline: A loaded diffusers pipeline.
    """

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline

    def sides(self) -> tuple[int | None, int | None]:
        """Of the squares that the network was trained on, of those beside them in the condition.

        None where any size will do, or they are no pictures.
        """
        return None, None

    @abstractmethod
    def __call__(
        self, latent: Latent, c: GivenCondition, *, generator: torch.Generator | None
    ) -> tuple[Tensor, GivenCondition]:
        """Latents (B, *event) of values, and the condition with what is told of these.

        Args:
            latent: Values: images (B, 3, H, W) or samples (B, N, channels), in [-1, 1].
            c: Of each.
            generator: For every draw; the centre of what autoencoders give without one.

        Raises:
            ValueError: If the network could not learn from such values.
        """

    @classmethod
    def lacking(cls, pipeline: Any) -> str | None:
        """Why a pipeline of this class cannot learn so; None if it can."""
        kind = type(getattr(pipeline, "vae", None)).__name__
        return None if kind == "AutoencoderKL" else f"its autoencoder is of the kind {kind}"


class PictureLessons(Lessons):
    """Latents of pictures by an AutoencoderKL; the network is told what it is told at any time."""

    def sides(self) -> tuple[int | None, int | None]:
        size = network_of(self.pipeline).config.get("sample_size")
        return (size * self.factor if isinstance(size, int) else None), None

    @property
    def factor(self) -> int:
        """Pixels of a latent, on each side."""
        return 2 ** (len(self.pipeline.vae.config.block_out_channels) - 1)

    def __call__(
        self, latent: Latent, c: GivenCondition, *, generator: torch.Generator | None
    ) -> tuple[Tensor, GivenCondition]:
        return self.latents(latent.z, generator), c

    def latents(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Those of pictures (B, 3, H, W) in [-1, 1]."""
        vae, factor = self.pipeline.vae, self.factor
        if x.shape[-1] % factor or x.shape[-2] % factor:
            raise ValueError(
                f"Expected images with sides that are multiples of {factor}, got {x.shape[-1]} x "
                f"{x.shape[-2]}. Scale or crop them first."
            )
        e = drawn(vae, x, generator)
        mean, std = (number.to(e) for number in statistics(vae.config))
        return (e - mean) / std


class ControlLessons(PictureLessons):
    """The same; a ControlNet is told a picture of the same size, in [0, 1]."""

    def sides(self) -> tuple[int | None, int | None]:
        side, _ = super().sides()
        return side, side

    def __call__(
        self, latent: Latent, c: GivenCondition, *, generator: torch.Generator | None
    ) -> tuple[Tensor, GivenCondition]:
        z = self.latents(latent.z, generator)
        shown = pictures([values.get("image") for values in c.values], latent.z.shape[-2:])
        levels = (shown.to(z) + 1) / 2
        return z, with_parts(c, told=[{"controlnet_cond": one} for one in levels])


class SquareLessons(PictureLessons):
    """The same of squares of the network's own size, the only ones that its call makes."""

    def __call__(
        self, latent: Latent, c: GivenCondition, *, generator: torch.Generator | None
    ) -> tuple[Tensor, GivenCondition]:
        (side, _), (height, width) = self.sides(), latent.z.shape[-2:]
        if {height, width} != {side}:
            raise ValueError(
                f"Expected images of {side} x {side} pixels, got {width} x {height}. Scale or crop "
                "them first, or let adapt do so."
            )
        return super().__call__(latent, c, generator=generator)


class PaintedLessons(PictureLessons):
    """The same with a box of the picture hidden, if the network sees what is hidden.

    Height and width of a box are uniform, and so is its place. The network sees the mask, each
    latent's that of its first pixel, and the latents of the picture with the box grey.

    Source: conventions of diffusers 0.42 (Apache-2.0),
    `StableDiffusionInpaintPipeline.prepare_mask_latents`.
    """

    def __call__(
        self, latent: Latent, c: GivenCondition, *, generator: torch.Generator | None
    ) -> tuple[Tensor, GivenCondition]:
        x = latent.z
        z = self.latents(x, generator)
        if network_of(self.pipeline).config.in_channels == z.shape[1]:
            return z, c
        hidden = _boxes(len(x), *x.shape[-2:], generator).to(x)
        masked = self.latents(x * (hidden < 0.5), generator)
        seen = torch.cat((F.interpolate(hidden, size=z.shape[-2:]), masked), dim=1)
        return z, with_parts(c, beside=seen)

    @classmethod
    def lacking(cls, pipeline: Any) -> str | None:
        latents = pipeline.vae.config.get("latent_channels")
        channels = network_of(pipeline).config.in_channels
        if channels not in (latents, 2 * latents + 1):
            return f"its network sees {channels} channels, and not {latents} or {2 * latents + 1}"
        return super().lacking(pipeline)


class UpscalingLessons(PictureLessons):
    """The same beside a small picture, on which noise is put; the network is told how much.

    Source: conventions of diffusers 0.42 (Apache-2.0), `StableDiffusionUpscalePipeline.__call__`.
    """

    def sides(self) -> tuple[int | None, int | None]:
        size = network_of(self.pipeline).config.get("sample_size")
        return super().sides()[0], size if isinstance(size, int) else None

    def __call__(
        self, latent: Latent, c: GivenCondition, *, generator: torch.Generator | None
    ) -> tuple[Tensor, GivenCondition]:
        z = self.latents(latent.z, generator)
        small = pictures([values.get("image") for values in c.values], z.shape[-2:])
        most = self.pipeline.config.max_noise_level
        level = torch.randint(most + 1, (len(z),), generator=generator)
        eps = torch.randn(small.shape, generator=generator)
        seen = self.pipeline.low_res_scheduler.add_noise(small, eps, level).to(z)
        return z, with_parts(
            c, beside=seen, told=[{"class_labels": one} for one in level.to(z.device)]
        )


class CodeLessons(Lessons):
    """Latents of pictures by a VQModel, as they are before they are rounded to codes."""

    def sides(self) -> tuple[int | None, int | None]:
        size = network_of(self.pipeline).config.sample_size
        factor = 2 ** (len(self.pipeline.vqvae.config.block_out_channels) - 1)
        return size * factor, size

    def __call__(
        self, latent: Latent, c: GivenCondition, *, generator: torch.Generator | None
    ) -> tuple[Tensor, GivenCondition]:
        coder = self.pipeline.vqvae
        x = latent.z.to(next(coder.parameters()))
        z = run(coder, coder.encode, "vqvae.encode", x).latents.float()
        small = pictures([values.get("image") for values in c.values], z.shape[-2:])
        return z, with_parts(c, beside=small.to(z))

    @classmethod
    def lacking(cls, pipeline: Any) -> str | None:
        kind = type(pipeline.vqvae).__name__
        return None if kind == "VQModel" else f"its autoencoder is of the kind {kind}"


class MelLessons(Lessons):
    """Latents of the mel frames that the pipeline's vocoder reads, of sounds of its usual length.

    Bands, hop and rate are the vocoder's. The window, which no checkpoint tells, is the least power
    of two of at least four hops, and of 1024 samples or more: 1024 at 16 kHz and 2048 at 48 kHz, as
    such models were trained. Shorter sounds are followed by silence.

    Source: AudioLDM 2 (Liu et al., 2023), Sec. IV, arXiv:2308.05734.
    """

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        vocoder = pipeline.vocoder.config
        hop = 1
        for rate in vocoder.upsample_rates:
            hop *= rate
        window = max(_MEL_FFT, 1 << (4 * hop - 1).bit_length())
        self.mel = MelTransform(
            MelSpec(
                vocoder.sampling_rate,
                fft=window,
                hop=hop,
                window=window,
                num_mels=vocoder.model_in_dim,
                fmin=0.0,
                fmax=vocoder.sampling_rate / 2,
            )
        )
        self.length = pipeline.unet.config.sample_size * pipeline.vae_scale_factor * hop

    def __call__(
        self, latent: Latent, c: GivenCondition, *, generator: torch.Generator | None
    ) -> tuple[Tensor, GivenCondition]:
        x = _of_length(latent, self.length, self.mel.spec.sampling_rate)
        if x.shape[2] != 1:
            raise ValueError(f"Expected sounds of one channel, got {x.shape[2]}. Mix them first.")
        frames = self.mel.to(x.device)(x[:, :, 0])
        vae = self.pipeline.vae
        return drawn(vae, frames[:, None], generator) * vae.config.scaling_factor, c


class WaveLessons(Lessons):
    """Latents of samples by an AutoencoderOobleck, of sounds followed by silence to one length.

    The network is told how long they are without it. A sound of one channel is in all of them, as
    in the pipeline's own call.

    Source: Stable Audio Open (Evans et al., 2024), Sec. 2, arXiv:2407.14358; conventions of
    diffusers 0.42 (Apache-2.0), `StableAudioPipeline.__call__`.
    """

    def __call__(
        self, latent: Latent, c: GivenCondition, *, generator: torch.Generator | None
    ) -> tuple[Tensor, GivenCondition]:
        vae = self.pipeline.vae
        rate, channels = vae.config.sampling_rate, vae.config.audio_channels
        length = self.pipeline.transformer.config.sample_size * vae.hop_length
        x = _of_length(latent, length, rate)
        if x.shape[2] not in (1, channels):
            raise ValueError(f"Expected sounds of {channels} channels or of one, got {x.shape[2]}.")
        z = drawn(vae, x.expand(-1, -1, channels).mT.contiguous(), generator)
        return z, with_parts(c, seconds=[int(n) / rate for n in latent.lengths])

    @classmethod
    def lacking(cls, pipeline: Any) -> str | None:
        kind = type(pipeline.vae).__name__
        return None if kind == "AutoencoderOobleck" else f"its autoencoder is of the kind {kind}"


def drawn(vae: nn.Module, x: Tensor, generator: torch.Generator | None) -> Tensor:
    """What an autoencoder makes of values, drawn from what it gives if there is a generator."""
    posterior = run(vae, vae.encode, "vae.encode", x.to(next(vae.parameters()))).latent_dist
    mean = posterior.mean.float()
    if generator is None:
        return mean
    return mean + posterior.std.float() * torch.randn(mean.shape, generator=generator).to(mean)


def _boxes(count: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
    """Masks (count, 1, H, W), 1 within a box."""
    u = torch.rand(count, 4, generator=generator)
    found = torch.zeros(count, 1, height, width)
    for row, (h, w, top, left) in zip(found, u.tolist(), strict=True):
        own = round(h * height), round(w * width)
        y, x = round(top * (height - own[0])), round(left * (width - own[1]))
        row[:, y : y + own[0], x : x + own[1]] = 1
    return found


def _of_length(latent: Latent, length: int, rate: int) -> Tensor:
    """Samples (B, length, channels), silence after those there are."""
    longest = int(latent.lengths.max())
    if longest > length:
        raise ValueError(
            f"The network learns sounds of at most {length / rate:g} s, got one of "
            f"{longest / rate:g} s. Cut it first."
        )
    return F.pad(latent.z[:, :longest], (0, 0, 0, length - longest))


def with_parts(c: GivenCondition, **more: Sequence[Any]) -> GivenCondition:
    """The condition with further parts, one of each for each of the batch."""
    rows = [dict(zip(more, parts, strict=True)) for parts in zip(*more.values(), strict=True)]
    values = tuple({**row, **own} for row, own in zip(c.values, rows, strict=True))
    return GivenCondition(c.batch, values=values)
