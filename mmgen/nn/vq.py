"""An autoencoder whose latents are integers: images as short rows of tokens.

Each of c features e of a place is bent into a range and rounded to one of L_i values, so a place
takes one of prod(L_i) codes, and its number is the token. No codebook is learnt, so none can
collapse, and no loss is needed beside the reconstruction's. Rounding passes gradients through as
if it were not there:

    q_i = round(h_i tanh(e_i + s_i) - o_i) / floor(L_i / 2)

with h_i = (L_i - 1) / 2, a little widened; o_i = 1/2 for even L_i, 0 for odd ones; and s_i such
that e_i = 0 gives 0. The paper's own code narrows h_i and takes s_i as a tangent, which is not
quite that, and leaves no range for L_i = 2.

Source: Finite Scalar Quantization: VQ-VAE Made Simple (Mentzer et al., 2023), Sec. 3.1 and App. A,
arXiv:2309.15505.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.errors import SpecError
from mmgen.nn.autoencoder import decoder_layers, encoder_layers, reconstruction_error

__all__ = ["FiniteScalarQuantizer", "QuantizingAutoencoder"]

# How far the range goes beyond the outermost values, as a share of it.
MARGIN = 1e-3


class FiniteScalarQuantizer(nn.Module):
    """Features to codes on a fixed grid, and codes to tokens and back.

    Args:
        levels: L_i, number of values of each feature, at least 2.

    Raises:
        ValueError: If there are no levels, or one is below 2.
    """

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        if not levels or min(levels) < 2:
            raise ValueError(f"Expected levels of at least 2 values each, got {tuple(levels)}.")
        self.levels = tuple(levels)
        self.vocabulary = math.prod(levels)
        places = [math.prod(levels[:i]) for i in range(len(levels))]
        column = (1, -1, 1, 1)
        for name, values in (("size", levels), ("place", places)):
            numbers = torch.tensor(values).reshape(column)
            self.register_buffer(name, numbers, persistent=False)

    def forward(self, e_BCHW: Tensor) -> Tensor:
        """Features (B, c, h, w) to codes in [-1, 1], with the gradient of what is rounded."""
        bent = self._bend(e_BCHW)
        rounded = bent + (bent.round() - bent).detach()
        return (rounded / (self.size // 2)).to(e_BCHW.dtype)

    def tokens(self, e_BCHW: Tensor) -> Tensor:
        """Features (B, c, h, w) to tokens (B, h, w), 0 to prod(L_i) - 1."""
        digits = self._bend(e_BCHW).round().long() + self.size // 2
        return (digits * self.place).sum(1)

    def codes(self, tokens_BHW: Tensor) -> Tensor:
        """Tokens (B, h, w) to codes (B, c, h, w)."""
        digits = (tokens_BHW[:, None] // self.place) % self.size
        half = self.size // 2
        return (digits - half) / half

    def _bend(self, e_BCHW: Tensor) -> Tensor:
        """Features to a range in which rounding gives L values, in float32."""
        half = (self.size - 1) * (1 + MARGIN) / 2
        offset = (self.size % 2 == 0) / 2
        shift = torch.atanh(offset / half)
        return torch.tanh(e_BCHW.float() + shift) * half - offset


class QuantizingAutoencoder(nn.Module):
    """Images to tokens, and tokens to images.

    Args:
        channels: C of the images.
        levels: L_i, values of each feature of a place; their product is the vocabulary.
        widths: Channels at each level, finest first; each level halves the one before.
        factor: Pixels per token on each side.
        blocks: Residual blocks per level.
        gradient_weight: Weight of the error of neighbour differences.
        scales: Number of sizes at which errors are taken, each half of the one before.
        local: Let a token see its own square of pixels and the eight around it alone. Far from
            anything of interest tokens are then always the same, which makes them easy to model:
            on drawn scenes, an encoder of convolutions and normalisation over the whole image put
            two thirds of the nats that a model could not predict into plain background. For one
            level.

    Raises:
        ValueError: If the factor is not a multiple of what the levels give, or there are too few
            values, or several levels are local.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        levels: Sequence[int] = (8, 5, 5, 5),
        widths: Sequence[int] = (64, 128, 192),
        factor: int = 4,
        blocks: int = 2,
        gradient_weight: float = 1.0,
        scales: int = 3,
        local: bool = False,
    ) -> None:
        super().__init__()
        if local and len(widths) != 1:
            raise ValueError(f"A local encoder has one width, got {tuple(widths)}.")
        self.channels, self.factor = channels, factor
        self.gradient_weight, self.scales = gradient_weight, scales
        self.quantizer = FiniteScalarQuantizer(levels)
        shape = {"widths": widths, "factor": factor, "blocks": blocks}
        if local:
            self.encoder = _local_layers(channels, len(levels), widths[0], factor, blocks)
        else:
            self.encoder = encoder_layers(channels, len(levels), **shape)
        self.decoder = decoder_layers(len(levels), channels, **shape)

    @classmethod
    def debug(cls, *, channels: int = 3) -> QuantizingAutoencoder:
        """A tiny one."""
        return cls(channels, levels=(5, 5, 3, 3), widths=(16, 32), factor=4, blocks=1)

    @property
    def vocabulary(self) -> int:
        """Number of tokens there are."""
        return self.quantizer.vocabulary

    def encode(self, x_BCHW: Tensor) -> Tensor:
        """Images (B, C, H, W) to tokens (B, H / f, W / f).

        Raises:
            SpecError: If the factor f does not divide H and W.
        """
        return self.quantizer.tokens(self._features(x_BCHW))

    def decode(self, tokens_BHW: Tensor) -> Tensor:
        """Tokens (B, H / f, W / f) to images (B, C, H, W), not clipped to any range."""
        codes = self.quantizer.codes(tokens_BHW)
        return self.decoder(codes.to(next(self.parameters()).dtype))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Images (B, C, H, W) as they come back."""
        return self.decoder(self.quantizer(self._features(x_BCHW)))

    def loss(self, x_BCHW: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Error of each image, per value, as in `mmgen.nn.autoencoder`.

        Args:
            x_BCHW: Images (B, C, H, W).
            generator: Not used: nothing is drawn.

        Returns:
            Losses (B,).
        """
        return reconstruction_error(
            x_BCHW, self(x_BCHW), gradient_weight=self.gradient_weight, scales=self.scales
        )

    def _features(self, x_BCHW: Tensor) -> Tensor:
        if x_BCHW.shape[-2] % self.factor or x_BCHW.shape[-1] % self.factor:
            raise SpecError(
                f"QuantizingAutoencoder expects height and width to be multiples of {self.factor}; "
                f"got {x_BCHW.shape[-2]} x {x_BCHW.shape[-1]}. Resize the images."
            )
        return self.encoder(x_BCHW)


def _local_layers(channels: int, out: int, width: int, factor: int, blocks: int) -> nn.Sequential:
    """Images (B, C, H, W) to features (B, out, H / f, W / f) of each square and those around it."""
    return nn.Sequential(
        nn.PixelUnshuffle(factor),
        nn.Conv2d(channels * factor**2, width, 3, padding=1),
        *(_PlaceBlock(width) for _ in range(blocks)),
        nn.Conv2d(width, out, 1),
    )


class _PlaceBlock(nn.Module):
    """A residual block at each place by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Conv2d(width, 2 * width, 1)
        self.down = nn.Conv2d(2 * width, width, 1)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Features (B, C, H, W) to the same shape."""
        h = self.norm(x_BCHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x_BCHW + self.down(F.silu(self.up(h)))
