"""A residual perceptron on vectors that also sees condition tokens.

Without normalisation of its features, so that it can serve as a critic or an energy, whose
gradients by their input are trained as well.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.spec import ConditionSpec
from mmgen.nn.transformer import Attention

__all__ = ["Perceptron"]


class Perceptron(nn.Module):
    """Maps a vector to another, given a condition.

    The condition vector and what the embedded vector finds among the condition tokens shift and
    scale the hidden features of every block.

    Args:
        num_inputs: Size of the vector.
        num_outputs: Size of the other.
        dim: D, width; if there are tokens, a multiple of the number of heads, D / 32.
        depth: Number of blocks.
        condition: Widths of the condition's vector and tokens.
    """

    boundary = ("embed", "out")

    def __init__(
        self, num_inputs: int, num_outputs: int, *, dim: int, depth: int, condition: ConditionSpec
    ) -> None:
        super().__init__()
        self.condition = condition
        self.embed = nn.Linear(num_inputs, dim)
        self.vector = self.tokens = None
        if condition.vector_dim:
            self.vector = nn.Sequential(
                nn.Linear(condition.vector_dim, dim), nn.SiLU(), nn.Linear(dim, dim)
            )
        if condition.token_dim:
            self.tokens = Attention(dim, max(1, dim // 32), token_dim=condition.token_dim)
        modulated = condition != ConditionSpec()
        self.blocks = nn.ModuleList(_Block(dim, modulated=modulated) for _ in range(depth))
        self.out = nn.Linear(dim, num_outputs)
        nn.init.zeros_(self.out.bias)

    @classmethod
    def debug(cls, *, num_dims: int = 2, condition: ConditionSpec | None = None) -> Perceptron:
        """A tiny one, of as many outputs as inputs."""
        return cls(num_dims, num_dims, dim=32, depth=2, condition=condition or ConditionSpec())

    def forward(self, z_BD: Tensor, c: Condition) -> Tensor:
        """Vectors (B, num_inputs) and their condition to (B, num_outputs)."""
        h_BD = self.embed(z_BD)
        parts = [] if self.vector is None else [self.vector(c.vector)]
        if self.tokens is not None:
            mask = None if c.mask is None else c.mask[:, None, None, :]
            parts.append(self.tokens(h_BD[:, None], c.tokens, None, mask)[:, 0])
        modulation_BD = F.silu(sum(parts[1:], parts[0])) if parts else None
        for block in self.blocks:
            h_BD = block(h_BD, modulation_BD)
        return self.out(F.silu(h_BD))


class _Block(nn.Module):
    """h + down(silu(scale up(silu(h)) + shift)), scale and shift from the modulation."""

    def __init__(self, dim: int, *, modulated: bool) -> None:
        super().__init__()
        self.modulation = nn.Linear(dim, 2 * dim) if modulated else None
        self.up = nn.Linear(dim, dim)
        self.down = nn.Linear(dim, dim)

    def forward(self, h_BD: Tensor, modulation_BD: Tensor | None) -> Tensor:
        u_BD = self.up(F.silu(h_BD))
        if self.modulation is not None:
            shift, scale = self.modulation(modulation_BD).chunk(2, dim=-1)
            u_BD = torch.addcmul(shift, u_BD, 1 + scale)
        return h_BD + self.down(F.silu(u_BD))
