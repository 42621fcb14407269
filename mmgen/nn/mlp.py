"""A residual network on vectors, for data without a grid or with so small a one that it is whole.

Source: Scalable Diffusion Models with Transformers (Peebles & Xie, 2022), arXiv:2212.09748, for the
adaptive normalisation; here it modulates a perceptron.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.spec import ConditionSpec
from mmgen.nn.embedding import TimeEmbedding

__all__ = ["ConditionalMLP"]


class ConditionalMLP(nn.Module):
    """Transforms a noisy event, taken whole as a vector, given time and a condition.

    Of condition tokens it sees the sum: for encoders that tell each what it is the token of.

    Args:
        shape: Event shape, of fixed sizes; a number alone is that of a vector.
        dim: D, width.
        depth: Number of blocks.
        condition: Widths of the condition's vector and tokens.
    """

    boundary = ("embed", "out")

    def __init__(
        self, shape: int | Sequence[int], *, dim: int, depth: int, condition: ConditionSpec
    ) -> None:
        super().__init__()
        self.condition = condition
        num_dims = torch.Size((shape,) if isinstance(shape, int) else shape).numel()
        self.embed = nn.Linear(num_dims, dim)
        self.time = TimeEmbedding(dim)
        self.vector = _embedding(condition.vector_dim, dim)
        self.tokens = _embedding(condition.token_dim, dim)
        self.blocks = nn.ModuleList(_Block(dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6, bias=False)
        self.out = nn.Linear(dim, num_dims)

    @classmethod
    def debug(
        cls, *, num_dims: int | Sequence[int] = 2, condition: ConditionSpec | None = None
    ) -> ConditionalMLP:
        """A tiny one."""
        return cls(num_dims, dim=16, depth=2, condition=condition or ConditionSpec())

    def forward(self, z_BD: Tensor, t_B: Tensor, c: Condition) -> Tensor:
        """Noisy events (B, *event), times (B,) in [0, 1] and condition to (B, *event)."""
        h_BD = self.embed(z_BD.flatten(1))
        modulation_BD = self.time(t_B)
        if self.vector is not None:
            modulation_BD = modulation_BD + self.vector(c.vector)
        if self.tokens is not None:
            there = 1 if c.mask is None else c.mask[..., None]
            modulation_BD = modulation_BD + self.tokens((c.tokens * there).sum(1))
        modulation_BD = F.silu(modulation_BD)
        for block in self.blocks:
            h_BD = block(h_BD, modulation_BD)
        return self.out(self.norm(h_BD)).unflatten(1, z_BD.shape[1:])


class _Block(nn.Module):
    """h + gate MLP(scale norm(h) + shift), all three from the modulation."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.modulation = nn.Linear(dim, 3 * dim)
        self.up = nn.Linear(dim, dim)
        self.down = nn.Linear(dim, dim)

    def forward(self, h_BD: Tensor, modulation_BD: Tensor) -> Tensor:
        shift, scale, gate = self.modulation(modulation_BD).chunk(3, dim=-1)
        y_BD = self.norm(h_BD) * (1 + scale) + shift
        return h_BD + (1 + gate) * self.down(F.silu(self.up(y_BD)))


def _embedding(width: int | None, dim: int) -> nn.Module | None:
    if width is None:
        return None
    return nn.Sequential(nn.Linear(width, dim), nn.SiLU(), nn.Linear(dim, dim))
