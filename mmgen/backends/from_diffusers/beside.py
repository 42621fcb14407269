"""What networks of diffusers see beside z_t, in channels of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from mmgen.backends.from_diffusers.precision import run
from mmgen.backends.given import GivenCondition
from mmgen.modalities import image as images

__all__ = ["Beside", "EncodedPicture", "Held", "pictures"]


class Beside(ABC):
    """Further channels of what a network sees."""

    @abstractmethod
    def __call__(self, z_t: Tensor, c: GivenCondition) -> Tensor:
        """Channels (B, C', H, W) for z_t (B, C, H, W)."""

    @staticmethod
    def channels(pipeline: Any) -> int:
        """How many."""
        return pipeline.vae.config.latent_channels

    @abstractmethod
    def forget(self) -> None:
        """Keep nothing that weights have made, for they have changed."""


class EncodedPicture(Beside):
    """The picture of the condition through the autoencoder, not scaled; zeros where there is none.

    Args:
        pipeline: A loaded diffusers pipeline with an AutoencoderKL.

    Source: InstructPix2Pix (Brooks et al., 2022), Sec. 3.2, arXiv:2211.09800; conventions of
    diffusers 0.42 (Apache-2.0), `StableDiffusionInstructPix2PixPipeline.prepare_image_latents`.
    """

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._kept: dict[Any, tuple[Any, Tensor]] = {}

    def __call__(self, z_t: Tensor, c: GivenCondition) -> Tensor:
        factor = 2 ** (len(self._pipeline.vae.config.block_out_channels) - 1)
        size = tuple(factor * side for side in z_t.shape[-2:])
        shown = {(id(values.get("image")), size): values.get("image") for values in c.values}
        before = self._kept
        # Those of the last call are kept: a denoiser is asked of the same ones at each step.
        self._kept = {
            key: before.get(key) or (picture, self._encoded(picture, size))
            for key, picture in shown.items()
        }
        return torch.cat([self._kept[id(v.get("image")), size][1].to(z_t) for v in c.values])

    def forget(self) -> None:
        self._kept = {}

    @torch.no_grad()
    def _encoded(self, picture: Any, size: tuple[int, ...]) -> Tensor:
        vae = self._pipeline.vae
        weight = next(vae.parameters())
        if picture is None:
            factor = 2 ** (len(vae.config.block_out_channels) - 1)
            sides = [side // factor for side in size]
            return weight.new_zeros(1, self.channels(self._pipeline), *sides)
        x = pictures([picture], size).to(weight)
        with torch.autocast(x.device.type, enabled=False):
            return run(vae, vae.encode, "vae.encode", x).latent_dist.mode()


class Held(Beside):
    """What values of the condition hold under this name, made when x was known."""

    def __init__(self, pipeline: Any) -> None:
        pass

    def __call__(self, z_t: Tensor, c: GivenCondition) -> Tensor:
        return torch.stack([values["beside"] for values in c.values])

    def forget(self) -> None:
        """Nothing is kept."""


def pictures(values: list[Any], size: tuple[int, ...]) -> Tensor:
    """Pictures of a condition (B, 3, H, W) in [-1, 1].

    Args:
        values: What `mmgen.modalities.image.load` takes.
        size: H and W.

    Raises:
        ValueError: If one has another size, or is missing. It is never scaled without being asked.
    """
    if any(value is None for value in values):
        raise ValueError(
            'Expected a picture in each condition, got one without. Give {"image": ..., ...}.'
        )
    found = [images.load(value) for value in values]
    for x in found:
        if tuple(x.shape[1:]) != tuple(size):
            raise ValueError(
                f"Expected the picture of a condition to be {size[1]} x {size[0]} pixels, as x "
                f"asks for, got {x.shape[2]} x {x.shape[1]}. Scale or crop both together, or "
                "let adapt do so."
            )
    return torch.stack(found).float() / 127.5 - 1
