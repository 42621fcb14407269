"""A network on the frames of a sequence, each of which has a condition of its own.

Blocks of depthwise convolutions: what a frame of speech looks like is decided by what is said
there and just around, so nothing attends far. Time and the condition vector enter by adaptive
normalisation with one map shared by all blocks and a learned offset in each.

Sources: ConvNeXt (Liu et al., 2022), Fig. 4, arXiv:2201.03545; adaLN-single: PixArt-alpha (Chen et
al., 2023), Sec. 2.3, arXiv:2310.00426.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError
from mmgen.core.latent import within
from mmgen.core.spec import ConditionSpec
from mmgen.nn.embedding import TimeEmbedding

__all__ = ["FrameNetwork"]


class FrameNetwork(nn.Module):
    """Transforms sequences (B, T, F), given time and condition, to sequences alike.

    Args:
        num_features: F of a frame.
        dim: D, width.
        depth: Number of blocks.
        kernel: Frames that a block looks at, odd.
        condition: Widths of the frames to be made and of the vector to modulate by.

    Raises:
        SpecError: If the condition has tokens, which it has no way to look at.
    """

    boundary = ("embed", "out")

    def __init__(
        self,
        num_features: int,
        *,
        dim: int,
        depth: int,
        kernel: int = 7,
        condition: ConditionSpec,
    ) -> None:
        super().__init__()
        if condition.token_dim:
            raise SpecError(
                "FrameNetwork looks at no tokens, only at frames made of them. Wrap its model in "
                "a DurationModel."
            )
        self.condition = condition
        self.embed = nn.Linear(num_features, dim)
        self.frames = nn.Linear(condition.frame_dim, dim) if condition.frame_dim else None
        self.time = TimeEmbedding(dim)
        self.vector = nn.Linear(condition.vector_dim, dim) if condition.vector_dim else None
        self.modulation = nn.Linear(dim, 3 * dim)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.blocks = nn.ModuleList(_Block(dim, kernel) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6, bias=False)
        self.out = nn.Linear(dim, num_features)
        nn.init.zeros_(self.out.bias)

    @classmethod
    def debug(cls, *, condition: ConditionSpec | None = None) -> FrameNetwork:
        """A tiny one, of 32 features."""
        return cls(32, dim=32, depth=2, kernel=3, condition=condition or ConditionSpec())

    def forward(self, z_BLD: Tensor, t_B: Tensor, c: Condition) -> Tensor:
        """Sequences (B, T, F), times (B,) in [0, 1], and their condition.

        Returns:
            (B, T, F). Where `c.lengths` tells how far sequences go, nothing beyond is looked at.
        """
        there = None if c.lengths is None else within(c.lengths, z_BLD)
        h = self.embed(z_BLD)
        if self.frames is not None:
            h = h + self.frames(c.frames[:, : h.shape[1]])
        shared = self.time(t_B)
        if self.vector is not None:
            shared = shared + self.vector(c.vector)
        shared = self.modulation(F.silu(shared)).unflatten(-1, (3, 1, -1))
        for block in self.blocks:
            h = block(h, shared, there)
        return self.out(self.norm(h))


class _Block(nn.Module):
    """h + gate * down(gelu(up(modulated(norm(conv(h))))))."""

    def __init__(self, dim: int, kernel: int, *, ratio: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.up = nn.Linear(dim, ratio * dim)
        self.down = nn.Linear(ratio * dim, dim)
        # Offsets of shift, scale and gate. The gate starts open by a little, so that every weight
        # has a gradient from the first step.
        table = torch.zeros(3, 1, dim)
        table[2] = 0.2
        self.table = nn.Parameter(table)

    def forward(self, h_BTD: Tensor, shared: Tensor, there: Tensor | None) -> Tensor:
        seen = h_BTD if there is None else h_BTD * there
        shift, scale, gate = (shared + self.table).unbind(1)
        x = self.norm(self.conv(seen.transpose(1, 2)).transpose(1, 2)) * (1 + scale) + shift
        return h_BTD + gate * self.down(F.gelu(self.up(x)))
