"""Images as the levels of their pixels, told one by one: nothing is lost, and nothing is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from mmgen.core.codec import Lossless
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec
from mmgen.modalities.image.files import fit_into_square, load_batch, to_pil

__all__ = ["PixelTokens"]


class PixelTokens(Lossless):
    """z = the 8-bit levels of an image, row by row, the channels of a pixel one after another.

    So a family of tokens gives an exact probability of an image, and known pixels are kept.

    Args:
        size: Side S of the square images.
        channels: 3, or 1 for images of greys, whose red, green and blue are equal.

    Raises:
        SpecError: If there are other numbers of channels.

    Source: Pixel Recurrent Neural Networks (van den Oord et al., 2016), Sec. 2, arXiv:1601.06759.
    """

    elementwise = True

    def __init__(self, size: int, *, channels: int = 3) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise SpecError(f"PixelTokens has 1 channel, of greys, or 3, got {channels}.")
        self.size, self.channels = size, channels

    @classmethod
    def debug(cls) -> PixelTokens:
        """A tiny one."""
        return cls(4, channels=1)

    @property
    def row(self) -> int:
        """Tokens in a row of the image."""
        return self.size * self.channels

    @property
    def spec(self) -> Spec:
        return Spec("image", "tokens", (self.size * self.row,), low=-1.0, high=1.0, vocabulary=256)

    def adapt(self, value: Any) -> Any:
        return fit_into_square(value, self.size)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        pixels = load_batch(values, size=self.size)
        if self.channels == 1 and len(pixels):
            coloured = (pixels != pixels[:, :1]).flatten(1).any(1).nonzero().flatten().tolist()
            if coloured:
                raise ValueError(
                    f"Expected images of greys, and image {coloured[0]} of {len(pixels)} has "
                    "colours. Take image.convert('L'), or a codec of three channels."
                )
        return {"pixels": pixels[:, : self.channels]}

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        return Latent(_in_a_row(tensors["pixels"]).long())

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        z = latent.z.to(torch.uint8)
        return {"pixels": rearrange(z, "b (h w c) -> b c h w", h=self.size, c=self.channels)}

    def present(self, tensors: Mapping[str, Tensor]) -> list[Image.Image]:
        return [to_pil(image.expand(3, -1, -1)) for image in tensors["pixels"].cpu()]

    def log_volume(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Zeros (B,): levels are counted, not measured."""
        return torch.zeros(len(tensors["pixels"]))

    def latent_mask(self, latent: Latent, masks: Sequence[Tensor]) -> Tensor:
        shape = (self.channels, self.size, self.size)
        for mask in masks:
            if not 0 < mask.ndim <= 3 or tuple(mask.shape) != shape[3 - mask.ndim :]:
                raise SpecError(
                    f"Expected a mask of shape {shape}, or of its last axes; got "
                    f"{tuple(mask.shape)}. Give one entry for each pixel."
                )
        return torch.stack([_in_a_row(mask.expand(1, *shape))[0] for mask in masks])

    def paste(
        self, tensors: Mapping[str, Tensor], known: Mapping[str, Tensor], mask: Tensor
    ) -> dict[str, Tensor]:
        there = self.decode(Latent(mask))["pixels"].bool()
        own = tensors["pixels"]
        return {"pixels": torch.where(there.to(own.device), known["pixels"].to(own), own)}


def _in_a_row(pixels: Tensor) -> Tensor:
    return rearrange(pixels, "b c h w -> b (h w c)")
