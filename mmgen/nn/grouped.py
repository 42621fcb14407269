"""A transformer on groups of tokens: long sequences at the price of short ones.

A large transformer reads one step for each group of k tokens, and a small one finds the tokens
within a group, given what the large one makes of the groups before:

    h_g = large(group 1 ... group g - 1, c),   log p(z_gk+j | ...) = small(h_g, z_gk+1 ... z_gk+j-1)

so a sequence of L tokens costs the large one L / k steps.

Shape letters: B batch, L tokens, G groups, J tokens in a group, D features, V outputs.

Sources: MEGABYTE (Yu et al., 2023), Sec. 2, arXiv:2305.07185; Autoregressive Image Generation using
Residual Quantization (Lee et al., 2022), Sec. 3.2, arXiv:2203.01941.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.spec import ConditionSpec
from mmgen.nn.cache import KeyValueCache, TokenCache
from mmgen.nn.tokens import TokenBackbone
from mmgen.nn.transformer import Transformer, grid_positions

__all__ = ["GroupedTokenTransformer"]


class GroupedTokenTransformer(TokenBackbone):
    """Logits at every place of a sequence of token ids, given those before it and a condition.

    Args:
        vocabulary: Number of different ids that come in.
        num_outputs: V, number of logits; `vocabulary` if not given.
        group: k, tokens in a group.
        row: Groups in a row, if the groups are the cells of a grid, row by row: places then have
            two coordinates. None for a sequence.
        dim: D, width of both transformers, or (D, width of the small one). The small one works on
            every token: half the width took a quarter off a training step.
        depth: Number of blocks of the large one; the small one has one.
        num_heads: Number of attention heads.
        condition: Widths of the condition's tokens and vector.
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        num_outputs: int | None = None,
        group: int = 4,
        row: int | None = None,
        dim: int | tuple[int, int],
        depth: int,
        num_heads: int,
        condition: ConditionSpec,
    ) -> None:
        dim, inner = (dim, dim) if isinstance(dim, int) else dim
        super().__init__(
            vocabulary,
            num_outputs=num_outputs,
            dim=dim,
            depth=depth,
            num_heads=num_heads,
            condition=condition,
            causal=True,
            axes=1 if row is None else 2,
        )
        self.group, self.row = group, row
        self.gather = nn.Linear(group * dim, dim, bias=False)
        self.norm_group = nn.LayerNorm(dim, eps=1e-6, bias=False)
        heads = max(1, inner * num_heads // dim)
        self.spread = nn.Linear(dim, group * inner)
        self.local = Transformer(inner, depth=1, num_heads=heads, causal=True)
        self.narrow = None
        if inner != dim:
            self.narrow = nn.Linear(dim, inner, bias=False)
            self.norm = nn.LayerNorm(inner, eps=1e-6, bias=False)
            self.out = nn.Linear(inner, self.num_outputs)
            nn.init.zeros_(self.out.bias)

    @classmethod
    def debug(
        cls,
        *,
        vocabulary: int = 7,
        num_outputs: int | None = None,
        row: int | None = None,
        condition: ConditionSpec | None = None,
    ) -> GroupedTokenTransformer:
        """A tiny one."""
        return cls(
            vocabulary,
            num_outputs=num_outputs,
            group=4,
            row=row,
            dim=32,
            depth=2,
            num_heads=2,
            condition=condition or ConditionSpec(),
        )

    def forward(self, ids_BL: Tensor, c: Condition) -> Tensor:
        """Ids (B, L) and their condition to logits (B, L, V)."""
        x_BGD, positions_GA = self._groups(ids_BL, 0)
        h_BGD = self.transformer(
            x_BGD,
            positions_GA,
            **self._conditioning(c),
        )
        return self._within(h_BGD, ids_BL)

    def cache(self) -> GroupCache:
        """An empty cache, for `extend`."""
        return GroupCache(len(self.transformer.blocks))

    def extend(self, ids_BL: Tensor, c: Condition, cache: GroupCache) -> Tensor:
        """Logits (B, L, V) of the ids (B, L) that follow those the cache has seen.

        Args:
            ids_BL: Ids that come next, at least one.
            c: The condition, the same in every call.
            cache: From `cache`, or from the call before. It takes these ids up.
        """
        k, start = self.group, cache.length
        cache.append(ids_BL)
        h_BGD = cache.current
        read = -(-start // k)
        if cache.length > read * k:
            x_BGD, positions_GA = self._groups(cache.ids, read)
            new_BGD = self.transformer.extend(
                x_BGD,
                positions_GA,
                cache.groups,
                **self._conditioning(c),
            )
            # The group that `start` lies within has been read before.
            h_BGD = new_BGD if start % k == 0 else torch.cat((h_BGD, new_BGD), dim=1)
        cache.current = h_BGD[:, -1:]
        first = start // k * k
        return self._within(h_BGD, cache.ids[:, first:])[:, start - first :]

    def _groups(self, ids_BL: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """What the large transformer reads from group `first` on, and where.

        Step g reads the group that ends with the id at place g k: the last that is known when the
        tokens after it are to be found.
        """
        k = self.group
        count = -(-ids_BL.shape[1] // k)
        start, stop = (first - 1) * k + 1, (count - 1) * k + 1
        e_BLD = F.pad(self.embed(ids_BL[:, max(0, start) : stop]), (0, 0, max(0, -start), 0))
        x_BGD = self.gather(rearrange(e_BLD, "b (g j) d -> b g (j d)", j=k))
        sizes = (count,) if self.row is None else (-(-count // self.row), self.row)
        place_GD = self.place(sizes)[first:count]
        positions_GA = grid_positions(*sizes, device=x_BGD.device)[first:count]
        return x_BGD + place_GD, positions_GA

    def _within(self, h_BGD: Tensor, ids_BL: Tensor) -> Tensor:
        """Logits (B, L, V) at places whose groups begin with the first."""
        k, length = self.group, ids_BL.shape[1]
        spread_BLD = rearrange(self.spread(self.norm_group(h_BGD)), "b g (j d) -> b (g j) d", j=k)
        e_BLD = self.embed(ids_BL)
        if self.narrow is not None:
            e_BLD = self.narrow(e_BLD)
        e_BLD = F.pad(e_BLD, (0, 0, 0, spread_BLD.shape[1] - length))
        x = rearrange(spread_BLD + e_BLD, "b (g j) d -> (b g) j d", j=k)
        x = self.local(x, grid_positions(k, device=x.device))
        x_BLD = rearrange(x, "(b g) j d -> b (g j) d", b=len(ids_BL))[:, :length]
        return self.out(self.norm(x_BLD))


class GroupCache(TokenCache):
    """The ids that were read, what the large transformer keeps, and its current step.

    Args:
        depth: Number of blocks of the large transformer.
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.groups = KeyValueCache(depth)
        self.current: Tensor | None = None

    def select(self, index: Tensor) -> None:
        super().select(index)
        self.groups.select(index)
        if self.current is not None:
            self.current = self.current[index.to(self.current.device)]
