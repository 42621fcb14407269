"""A transformer on tokens: ids to logits.

Shape letters: B batch, L tokens, D features, V outputs.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.spec import ConditionSpec
from mmgen.nn.cache import KeyValueCache
from mmgen.nn.embedding import GridEmbedding
from mmgen.nn.transformer import Transformer

__all__ = ["CausalNetwork", "TokenBackbone", "TokenNetwork", "TokenTransformer", "token_losses"]

# Waves of 4 to 4096 tokens: where a token stands, for networks that are given no token to tell.
_NUM_OCTAVES = 6


def token_losses(logits_BLV: Tensor, ids_BL: Tensor) -> Tensor:
    """-log p of each token (B, L) in nats, zero where the id is -100."""
    # In rows, since torch copies all logits if their axis is not the last: on a CPU, a seventh of
    # the step of a small model.
    losses = F.cross_entropy(logits_BLV.flatten(0, 1), ids_BL.flatten(), reduction="none")
    return losses.unflatten(0, ids_BL.shape)


class TokenNetwork(Protocol):
    """What families of tokens need of a network."""

    def __call__(self, ids_BL: Tensor, c: Condition) -> Tensor:
        """Ids (B, L) and their condition to logits (B, L, V)."""


class CausalNetwork(TokenNetwork, Protocol):
    """One that can read on where it stopped. Caches have a `length` and `select(index)`."""

    def losses(self, ids_BL: Tensor, targets_BL: Tensor, c: Condition) -> Tensor:
        """-log p of what follows each id (B, L) in nats, zero where the target is -100."""

    def cache(self) -> Any:
        """An empty cache, for `extend`."""

    def extend(self, ids_BL: Tensor, c: Condition, cache: Any) -> Tensor:
        """Logits (B, L, V) of the ids (B, L) that follow those the cache has seen."""

    def room(self, c: Condition) -> Tensor | None:
        """Most tokens that it can read after each condition (B,); None if any number."""


class TokenBackbone(nn.Module):
    """Ids to features and features to logits, with a transformer between that is conditioned.

    Args:
        vocabulary: Number of different ids that come in.
        num_outputs: V, number of logits; `vocabulary` if None.
        dim: D, width.
        depth: Number of blocks.
        num_heads: Number of attention heads.
        condition: Widths of the condition's tokens and vector.
        causal: Whether a place sees only itself and those before it.
        axes: Axes of the places.
    """

    boundary = ("embed", "out")

    def __init__(
        self,
        vocabulary: int,
        *,
        num_outputs: int | None,
        dim: int,
        depth: int,
        num_heads: int,
        condition: ConditionSpec,
        causal: bool,
        axes: int = 1,
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.num_outputs = vocabulary if num_outputs is None else num_outputs
        self.condition = condition
        self.causal = causal
        self.embed = nn.Embedding(vocabulary, dim)
        self.place = GridEmbedding(dim, axes=("time",) * axes, num_octaves=_NUM_OCTAVES // axes)
        self.vector = nn.Linear(condition.vector_dim, dim) if condition.vector_dim else None
        self.transformer = Transformer(
            dim,
            depth=depth,
            num_heads=num_heads,
            num_axes=axes,
            token_dim=condition.token_dim,
            modulated=self.vector is not None,
            causal=causal,
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6, bias=False)
        self.out = nn.Linear(dim, self.num_outputs)
        nn.init.normal_(self.embed.weight, std=dim**-0.5)
        nn.init.zeros_(self.out.bias)

    def room(self, c: Condition) -> Tensor | None:
        """None: positions are coordinates, so it reads on and on."""

    def _conditioning(self, c: Condition) -> dict[str, Tensor | None]:
        """What the transformer takes of a condition."""
        vector = None if self.vector is None else self.vector(c.vector)
        return {"modulation_BD": vector, "tokens_BMD": c.tokens, "tokens_mask_BM": c.mask}

    def losses(self, ids_BL: Tensor, targets_BL: Tensor, c: Condition) -> Tensor:
        """-log p of what follows each id (B, L) in nats, zero where the target is -100."""
        return token_losses(self(ids_BL, c).float(), targets_BL)


class TokenTransformer(TokenBackbone):
    """Logits at every place of a sequence of token ids, given a condition.

    Condition tokens are attended to, a condition vector modulates. Nothing in the weights fixes a
    length.

    Args:
        vocabulary: Number of different ids that come in.
        num_outputs: V, number of logits; `vocabulary` if not given.
        dim: D, width.
        depth: Number of blocks.
        num_heads: Number of attention heads.
        condition: Widths of the condition's tokens and vector.
        causal: Whether a place sees only itself and those before it.
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        num_outputs: int | None = None,
        dim: int,
        depth: int,
        num_heads: int,
        condition: ConditionSpec,
        causal: bool,
    ) -> None:
        super().__init__(
            vocabulary,
            num_outputs=num_outputs,
            dim=dim,
            depth=depth,
            num_heads=num_heads,
            condition=condition,
            causal=causal,
        )

    @classmethod
    def of_size(cls, size: str, vocabulary: int, **others: Any) -> TokenTransformer:
        """One of the widths that families have in this size, "debug" or "small".

        Args:
            size: Which.
            vocabulary: Number of different ids that come in.
            others: num_outputs, condition and causal, of the class itself.
        """
        dim, depth, num_heads = {"debug": (32, 2, 2), "small": (192, 4, 4)}[size]
        return cls(vocabulary, dim=dim, depth=depth, num_heads=num_heads, **others)

    @classmethod
    def debug(
        cls,
        *,
        vocabulary: int = 7,
        num_outputs: int | None = None,
        condition: ConditionSpec | None = None,
        causal: bool = True,
    ) -> TokenTransformer:
        """A tiny one."""
        return cls.of_size(
            "debug",
            vocabulary,
            num_outputs=num_outputs,
            condition=condition or ConditionSpec(),
            causal=causal,
        )

    def forward(self, ids_BL: Tensor, c: Condition) -> Tensor:
        """Ids (B, L) and their condition to logits (B, L, V)."""
        x_BLD, positions_LA = self._embedded(ids_BL, 0)
        x_BLD = self.transformer(
            x_BLD,
            positions_LA,
            **self._conditioning(c),
        )
        return self.out(self.norm(x_BLD))

    def cache(self) -> KeyValueCache:
        """An empty cache, for `extend`."""
        return KeyValueCache(len(self.transformer.blocks))

    def extend(self, ids_BL: Tensor, c: Condition, cache: KeyValueCache) -> Tensor:
        """Logits (B, L, V) of the ids (B, L) that follow those the cache has seen.

        Args:
            ids_BL: Ids that come next.
            c: The condition, the same in every call.
            cache: From `cache`, or from the call before. It takes these ids up.

        Raises:
            ValueError: If the network is not causal.
        """
        x_BLD, positions_LA = self._embedded(ids_BL, cache.length)
        x_BLD = self.transformer.extend(
            x_BLD,
            positions_LA,
            cache,
            **self._conditioning(c),
        )
        return self.out(self.norm(x_BLD))

    def _embedded(self, ids_BL: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """Embeddings of ids whose first is at place `start`, and their coordinates."""
        end = start + ids_BL.shape[1]
        places_L = torch.arange(start, end, device=ids_BL.device, dtype=torch.float32)
        return self.embed(ids_BL) + self.place((end,))[start:], places_L[:, None]
