"""Images as standardised pixels: nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from mmgen.core.codec import Lossless
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec
from mmgen.modalities.image.files import fit_into_square, load_batch, to_pil
from mmgen.modalities.image.levels import to_levels, to_signal

__all__ = ["Pixels"]


class Pixels(Lossless):
    """z = ((k + u) / 128 - 1 - mean) / std for 8-bit pixels k.

    u is uniform on [0, 1) when a generator is given (uniform dequantisation) and 1/2 otherwise, so
    densities are those of the 8-bit values, and bits per dimension compare with published ones.

    Args:
        size: Side S of the square images.

    Source: A note on the evaluation of generative models (Theis et al., 2015), Sec. 3.1,
    arXiv:1511.01844.
    """

    elementwise = True
    scales = True

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("mean", torch.full((3, 1, 1), torch.nan))
        self.register_buffer("std", torch.full((3, 1, 1), torch.nan))

    @classmethod
    def debug(cls) -> Pixels:
        """A tiny one, fitted to nothing in particular."""
        codec = cls(8)
        codec.mean.zero_()
        codec.std.fill_(0.5)
        return codec

    @property
    def spec(self) -> Spec:
        return Spec("image", "continuous", (3, self.size, self.size), low=-1.0, high=1.0)

    def fit(self, values: Sequence[Any]) -> None:
        x = self.prepare(values)["pixels"].double() / 128 - 1
        self.mean.copy_(x.mean((0, 2, 3))[:, None, None])
        # One scale for all channels keeps the colours' directions.
        spread = float((x - self.mean).square().mean().sqrt())
        # One grey value of 256 where all images are one colour, which nothing could be divided by.
        self.std.fill_(max(spread, 1 / 128))

    def adapt(self, value: Any) -> Any:
        return fit_into_square(value, self.size)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        return {"pixels": load_batch(values, size=self.size)}

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        x = to_signal(tensors["pixels"], device=self.mean.device, generator=generator)
        return Latent((x - self.mean) / self.std)

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        return {"pixels": to_levels(self.signal(latent))}

    def signal(self, latent: Latent) -> Tensor:
        """Pixels (B, 3, S, S), those of an image in [-1, 1]."""
        return latent.z.float() * self.std + self.mean

    def present(self, tensors: Mapping[str, Tensor]) -> list[Image.Image]:
        return [to_pil(image) for image in tensors["pixels"].cpu()]

    def log_volume(self, tensors: Mapping[str, Tensor]) -> Tensor:
        per_pixel = -(128 * self.std.double()).log().expand(3, 1, 1).sum() * self.size**2
        return per_pixel.float().expand(len(tensors["pixels"]))
