"""Convolutions that are causal in the order of reading: the network of pixels as tokens.

Two stacks of features are kept for every place of a grid. The vertical one sees all rows above, the
horizontal one what came before in the row and, through the vertical one, the rows above, so that
together they see everything before a place and nothing else.

Shape letters: B batch, L tokens, R rows, W places in a row, D features, V outputs.

Source: Conditional Image Generation with PixelCNN Decoders (van den Oord et al., 2016), Sec. 2,
arXiv:1606.05328.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.spec import ConditionSpec
from mmgen.nn.cache import TokenCache
from mmgen.nn.tokens import token_losses

__all__ = ["CausalGridNetwork"]


class CausalGridNetwork(nn.Module):
    """Logits at every place of a grid of token ids, told row by row, given those before it.

    A condition modulates every place alike: its vector, and the mean of its tokens.

    Args:
        vocabulary: Number of different ids that come in.
        num_outputs: V, number of logits; `vocabulary` if None.
        row: W, places in a row.
        dim: D, width.
        depth: Number of blocks.
        condition: Widths of the condition's tokens and vector.
        dilations: Places between those that a block looks at, of one block after another and then
            from the first again. Larger ones see farther: what a digit is, not only its strokes.
    """

    boundary = ("embed", "out")
    causal = True

    def __init__(
        self,
        vocabulary: int,
        *,
        num_outputs: int | None = None,
        row: int,
        dim: int,
        depth: int,
        condition: ConditionSpec,
        dilations: Sequence[int] = (1, 2, 4),
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.num_outputs = vocabulary if num_outputs is None else num_outputs
        self.row, self.condition = row, condition
        self.embed = nn.Embedding(vocabulary, dim)
        self.tokens = nn.Linear(condition.token_dim, dim) if condition.token_dim else None
        self.vector = nn.Linear(condition.vector_dim, dim) if condition.vector_dim else None
        conditioned = bool(condition.token_dim or condition.vector_dim)
        self.blocks = nn.ModuleList(
            CausalGridBlock(dim, conditioned=conditioned, dilation=dilation)
            for dilation in islice(cycle(dilations), depth)
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6, bias=False)
        self.out = nn.Linear(dim, self.num_outputs)
        nn.init.normal_(self.embed.weight, std=dim**-0.5)
        nn.init.zeros_(self.out.bias)

    @classmethod
    def debug(
        cls,
        *,
        vocabulary: int = 7,
        num_outputs: int | None = None,
        condition: ConditionSpec | None = None,
    ) -> CausalGridNetwork:
        """A tiny one."""
        return cls(
            vocabulary,
            num_outputs=num_outputs,
            row=4,
            dim=16,
            depth=3,
            condition=condition or ConditionSpec(),
        )

    def forward(self, ids_BL: Tensor, c: Condition) -> Tensor:
        """Ids (B, L) and their condition to logits (B, L, V). Rows need not be full."""
        length = ids_BL.shape[1]
        rows = -(-length // self.row)
        # The ids are those before each place, so the next id along is that of the place itself.
        e_BLD = F.pad(self.embed(ids_BL), (0, 0, 0, rows * self.row + 1 - length))
        before_BDRW, own_BDRW = (
            rearrange(e, "b (r w) d -> b d r w", w=self.row) for e in (e_BLD[:, :-1], e_BLD[:, 1:])
        )
        above_BDRW = F.pad(own_BDRW, (0, 0, 1, 0))[:, :, :-1]
        given_BD = self._given(c)
        for block in self.blocks:
            above_BDRW, before_BDRW = block(above_BDRW, before_BDRW, given_BD)
        h_BLD = rearrange(before_BDRW, "b d r w -> b (r w) d")[:, :length]
        return self.out(self.norm(h_BLD))

    def losses(self, ids_BL: Tensor, targets_BL: Tensor, c: Condition) -> Tensor:
        """-log p of what follows each id (B, L) in nats, zero where the target is -100."""
        return token_losses(self(ids_BL, c).float(), targets_BL)

    def cache(self) -> TokenCache:
        """An empty cache, for `extend`."""
        return TokenCache()

    def extend(self, ids_BL: Tensor, c: Condition, cache: TokenCache) -> Tensor:
        """Logits (B, L, V) of the ids (B, L) that follow those the cache has seen.

        What lies far above is out of sight, so only as many rows are read again as can be seen.

        Args:
            ids_BL: Ids that come next, at least one.
            c: The condition, the same in every call.
            cache: From `cache`, or from the call before. It takes these ids up.
        """
        start = cache.length
        cache.append(ids_BL)
        # What a block looks at is so many rows above, and the embedding above is one more.
        reach = 1 + sum(block.dilation for block in self.blocks)
        first = max(0, start // self.row - reach) * self.row
        return self(cache.ids[:, first:], c)[:, start - first :]

    def room(self, c: Condition) -> Tensor | None:
        """None: rows go on and on."""

    def _given(self, c: Condition) -> Tensor | None:
        parts = []
        if self.vector is not None:
            parts.append(self.vector(c.vector))
        if self.tokens is not None:
            there = torch.ones(c.tokens.shape[:2]) if c.mask is None else c.mask
            there_BM1 = there.to(c.tokens)[..., None]
            mean_BD = (c.tokens * there_BM1).sum(1) / there_BM1.sum(1).clamp(min=1)
            parts.append(self.tokens(mean_BD))
        return sum(parts) if parts else None


class CausalGridBlock(nn.Module):
    """A residual step of both stacks, each through a gate.

    Args:
        dim: D, width.
        conditioned: Whether a vector (B, D) is added before the gates.
        dilation: Places between those that are looked at.
    """

    def __init__(self, dim: int, *, conditioned: bool, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.above = nn.Conv2d(dim, 2 * dim, (2, 5), dilation=dilation)
        self.above_out = nn.Conv2d(dim, dim, 1)
        self.before = nn.Conv2d(dim, 2 * dim, (1, 4), dilation=dilation)
        self.before_out = nn.Conv2d(dim, dim, 1)
        self.across = nn.Conv2d(dim, 2 * dim, 1, bias=False)
        self.given = nn.Linear(dim, 4 * dim) if conditioned else None
        for last in (self.above_out, self.before_out):
            nn.init.zeros_(last.bias)

    def forward(
        self, above_BDRW: Tensor, before_BDRW: Tensor, given_BD: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Both stacks (B, D, R, W) to both."""
        shifts = (0.0, 0.0)
        if self.given is not None:
            shifts = self.given(F.silu(given_BD))[:, :, None, None].chunk(2, dim=1)
        d = self.dilation
        seen = self.above(F.pad(_normed(above_BDRW), (2 * d, 2 * d, d, 0)))
        above = above_BDRW + self.above_out(F.glu(seen + shifts[0], dim=1))
        seen = self.before(F.pad(_normed(before_BDRW), (3 * d, 0))) + self.across(_normed(above))
        return above, before_BDRW + self.before_out(F.glu(seen + shifts[1], dim=1))


def _normed(x_BDRW: Tensor) -> Tensor:
    """Each place's features at a mean square of one."""
    return x_BDRW * torch.rsqrt(x_BDRW.square().mean(1, keepdim=True) + 1e-6)
