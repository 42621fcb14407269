"""Embeddings of scalars."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["TimeEmbedding"]


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
