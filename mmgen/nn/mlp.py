"""A residual network on vectors, for data without a grid.

Source: Scalable Diffusion Models with Transformers (Peebles & Xie, 2022), arXiv:2212.09748, for the
adaptive normalisation; here it modulates a perceptron.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError
from mmgen.core.spec import ConditionSpec
from mmgen.nn.embedding import TimeEmbedding

__all__ = ["ConditionalMLP"]


class ConditionalMLP(nn.Module):
    """Transforms a noisy vector, given time and a condition vector.

    Args:
        num_dims: Size of the vector.
        dim: D, width.
        depth: Number of blocks.
        condition: Width of the condition vector, if there is one.

    Raises:
        SpecError: If the condition has tokens, which there is nothing here to attend with.
    """

    def __init__(self, num_dims: int, *, dim: int, depth: int, condition: ConditionSpec) -> None:
        super().__init__()
        if condition.token_dim is not None:
            raise SpecError(
                "ConditionalMLP takes a condition vector; this condition has tokens of width "
                f"{condition.token_dim}. Use a transformer, or an encoder that gives a vector."
            )
        self.condition = condition
        self.embed = nn.Linear(num_dims, dim)
        self.time = TimeEmbedding(dim)
        self.vector = _vector_embedding(condition.vector_dim, dim)
        self.blocks = nn.ModuleList(_Block(dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6, bias=False)
        self.out = nn.Linear(dim, num_dims)

    @classmethod
    def debug(cls, *, num_dims: int = 2, condition: ConditionSpec | None = None) -> ConditionalMLP:
        """A tiny one."""
        return cls(num_dims, dim=16, depth=2, condition=condition or ConditionSpec())

    def forward(self, z_BD: Tensor, t_B: Tensor, c: Condition) -> Tensor:
        """Noisy vectors (B, num_dims), times (B,) in [0, 1] and condition to (B, num_dims)."""
        h_BD = self.embed(z_BD)
        modulation_BD = self.time(t_B)
        if self.vector is not None:
            modulation_BD = modulation_BD + self.vector(c.vector)
        modulation_BD = F.silu(modulation_BD)
        for block in self.blocks:
            h_BD = block(h_BD, modulation_BD)
        return self.out(self.norm(h_BD))


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


def _vector_embedding(vector_dim: int | None, dim: int) -> nn.Module | None:
    if vector_dim is None:
        return None
    return nn.Sequential(nn.Linear(vector_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
