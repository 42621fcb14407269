"""Images as the tokens of a quantising autoencoder: a row of integers, and not all of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor, nn

from mmgen.core.codec import Codec
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec
from mmgen.modalities.image.files import fit_into_square, load_batch, to_pil
from mmgen.nn.vq import QuantizingAutoencoder

__all__ = ["Codes"]


class Codes(Codec):
    """z = the tokens of the places of an image, row by row from the top, block by block.

    An image does not come back exactly, so a density of z is none of x. The autoencoder is held
    frozen: train it first, by its own loss.

    Args:
        autoencoder: Module with encode(x) -> tokens (B, S / f, S / f) and decode(tokens) -> x for
            x (B, 3, S, S) in [-1, 1], `vocabulary`, and `factor` f, pixels per token on each side.
            Its parameters stop requiring gradients.
        size: Side S of the square images.
        block: Side of the blocks of places that are told row by row before the next block is; 1
            for plain rows. Places near each other are then near each other in z.

    Raises:
        SpecError: If the factor, or that of a block, does not divide the size.

    Source: Neural Discrete Representation Learning (van den Oord et al., 2017), Sec. 3,
    arXiv:1711.00937, with the quantiser of `mmgen.nn.vq`.
    """

    def __init__(self, autoencoder: nn.Module, *, size: int, block: int = 1) -> None:
        super().__init__()
        if size % (autoencoder.factor * block):
            raise SpecError(
                f"Codes expects a size that is a multiple of {autoencoder.factor * block}, the "
                f"pixels per block of tokens; got {size}. Use another size."
            )
        self.size, self.side, self.block = size, size // autoencoder.factor, block
        self.autoencoder = autoencoder.requires_grad_(False)

    @classmethod
    def debug(cls) -> Codes:
        """A tiny one, trained on nothing."""
        return cls(QuantizingAutoencoder.debug(), size=8)

    @property
    def spec(self) -> Spec:
        return Spec(
            "image",
            "tokens",
            (self.side**2,),
            low=-1.0,
            high=1.0,
            vocabulary=self.autoencoder.vocabulary,
        )

    def adapt(self, value: Any) -> Any:
        return fit_into_square(value, self.size)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        return {"pixels": load_batch(values, size=self.size)}

    @torch.no_grad()
    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        parameter = next(self.autoencoder.parameters())
        x = tensors["pixels"].to(parameter.device, torch.float32) / 127.5 - 1
        tokens = self.autoencoder.encode(x.to(parameter.dtype))
        p = self.block
        return Latent(rearrange(tokens, "b (h p) (w q) -> b (h w p q)", p=p, q=p))

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        x = self.signal(latent)
        return {"pixels": ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)}

    def signal(self, latent: Latent) -> Tensor:
        """Pixels (B, 3, S, S), those of an image in [-1, 1]. Tokens have no gradient."""
        p, rows = self.block, self.side // self.block
        tokens = rearrange(latent.z, "b (h w p q) -> b (h p) (w q)", h=rows, p=p, q=p)
        return self.autoencoder.decode(tokens).float()

    def present(self, tensors: Mapping[str, Tensor]) -> list[Image.Image]:
        return [to_pil(image) for image in tensors["pixels"].cpu()]
