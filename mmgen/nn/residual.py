"""The convolutional residual block, and the steps between resolutions, that image networks share.

Sources: Denoising Diffusion Probabilistic Models (Ho et al., 2020), App. B, arXiv:2006.11239;
Diffusion Models Beat GANs (Dhariwal & Nichol, 2021), Sec. 3, arXiv:2105.05233 (adaptive group
normalisation, Sec. 3.1).
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Downsample", "ResidualBlock", "Upsample", "group_norm"]


def group_norm(width: int) -> nn.GroupNorm:
    """Group normalisation with at most 32 groups of at least four channels.

    Raises:
        ValueError: If `width` is not a multiple of four.
    """
    if width % 4:
        raise ValueError(f"A width is a multiple of 4, got {width}. Use {width + 4 - width % 4}.")
    return nn.GroupNorm(math.gcd(32, width // 4), width, eps=1e-6)


class ResidualBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), the second norm modulated by an embedding.

    Args:
        width_in: Channels in.
        width_out: Channels out; the skip is a 1x1 convolution where they differ.
        embedding_dim: Width D of the embedding to modulate by, or None for no modulation.
    """

    def __init__(self, width_in: int, width_out: int, *, embedding_dim: int | None = None) -> None:
        super().__init__()
        self.norm_in = group_norm(width_in)
        self.conv_in = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.modulation = nn.Linear(embedding_dim, 2 * width_out) if embedding_dim else None
        self.norm_out = group_norm(width_out)
        self.conv_out = nn.Conv2d(width_out, width_out, 3, padding=1)
        self.skip = nn.Identity() if width_in == width_out else nn.Conv2d(width_in, width_out, 1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, x_BCHW: Tensor, embedding_BD: Tensor | None = None) -> Tensor:
        """Features (B, width_in, H, W) to (B, width_out, H, W)."""
        h = self.norm_out(self.conv_in(F.silu(self.norm_in(x_BCHW))))
        if self.modulation is not None:
            scale, shift = self.modulation(F.silu(embedding_BD))[:, :, None, None].chunk(2, dim=1)
            h = h * (1 + scale) + shift
        return self.skip(x_BCHW) + self.conv_out(F.silu(h))


class Downsample(nn.Module):
    """Halves height and width, both even, by a convolution of stride two."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H / 2, W / 2)."""
        return self.conv(x_BCHW)


class Upsample(nn.Module):
    """Doubles height and width by repeating pixels, then a convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, 2 H, 2 W)."""
        return self.conv(F.interpolate(x_BCHW, scale_factor=2.0, mode="nearest"))
