"""Embeddings of times and places."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmgen.nn.transformer import grid_positions

__all__ = ["GridEmbedding", "TimeEmbedding"]


class TimeEmbedding(nn.Module):
    """Sinusoids of a time in [0, 1], then a small network.

    Args:
        dim: Width of the embedding.
        num_frequencies: Number of sinusoids, half of them sines.

    Source: Denoising Diffusion Probabilistic Models (Ho et al., 2020), App. B, arXiv:2006.11239
    """

    def __init__(self, dim: int, *, num_frequencies: int = 128) -> None:
        super().__init__()
        half = num_frequencies // 2
        self.half = half
        self.net = nn.Sequential(nn.Linear(2 * half, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, t_B: Tensor) -> Tensor:
        """Times (B,) in [0, 1] to (B, dim)."""
        # Computed here, since a buffer would be rounded when the module changes precision.
        steps = torch.arange(self.half, device=t_B.device) / self.half
        angles = t_B.float()[:, None] * (1000 * torch.exp(-math.log(10000) * steps))
        waves = torch.cat((angles.cos(), angles.sin()), dim=-1)
        return self.net(waves.to(self.net[0].weight.dtype))


class GridEmbedding(nn.Module):
    """Where each cell of a grid lies.

    Rotations in attention tell only how far apart two cells are; what a caption says of a place
    ("at the top left") needs the place itself. Along space it is a share of the grid's side, so
    that the grid may have any size; along time it is a number of steps, since sequences are padded.

    Args:
        dim: Width of the embedding.
        axes: "space" or "time" for each axis of the grid.
        num_octaves: Waves per axis. Along space they begin with half a wave over the side, each
            half as long as the one before; along time with four steps, each four times as long.

    Source: Fourier Features Let Networks Learn High Frequency Functions (Tancik et al., 2020),
    Sec. 4, arXiv:2006.10739
    """

    def __init__(
        self, dim: int, *, axes: Sequence[str] = ("space", "space"), num_octaves: int = 4
    ) -> None:
        super().__init__()
        self.axes = tuple(axes)
        self.num_octaves = num_octaves
        self.map = nn.Linear(2 * len(self.axes) * num_octaves, dim, bias=False)

    def forward(self, sizes: Sequence[int]) -> Tensor:
        """Sizes of the grid to (L, dim), its cells in row-major order."""
        weight = self.map.weight
        cells_LA = grid_positions(*sizes, device=weight.device)
        octaves = torch.arange(self.num_octaves, device=weight.device)
        angles = []
        for axis, size, cells_L in zip(self.axes, sizes, cells_LA.unbind(1), strict=True):
            if axis == "space":
                angles.append((cells_L[:, None] + 0.5) / size * math.pi * 2.0**octaves)
            else:
                angles.append(cells_L[:, None] * 2 * math.pi * 4.0 ** -(1 + octaves))
        angle = torch.cat(angles, dim=1)
        return self.map(torch.cat((angle.cos(), angle.sin()), dim=-1).to(weight.dtype))
