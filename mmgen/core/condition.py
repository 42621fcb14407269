"""What a model sees of Y."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Condition"]


@dataclass(frozen=True)
class Condition:
    """An encoded condition c for a batch of B.

    Args:
        batch: B.
        tokens: Sequence to attend to (B, L, D), or None.
        mask: Which tokens are there (B, L), boolean, or None for all of them.
        vector: One vector per example (B, D), or None.
        null: The condition that stands for "not given" in guidance, of the same batch, or None.
        lengths: How long the latent is or shall be (B,), where that varies and is known, or None.
        weighted: For guidance, (w, c without one of its parts) for each part whose influence is to
            be w times what it is.
        frames: What each step of the latent is to be (B, T, F), where a model has found that out
            of the rest, or an encoder out of y; or None.
    """

    batch: int
    tokens: Tensor | None = None
    mask: Tensor | None = None
    vector: Tensor | None = None
    null: Condition | None = None
    lengths: Tensor | None = None
    weighted: tuple[tuple[float, Condition], ...] = ()
    frames: Tensor | None = None

    def select(self, index: Tensor) -> Condition:
        """The examples of the batch that `index` (M,) names, in its order."""

        def pick(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.index_select(0, index.to(x.device))

        null = None if self.null is None else self.null.select(index)
        tokens, mask, vector = pick(self.tokens), pick(self.mask), pick(self.vector)
        weighted = tuple((w, c.select(index)) for w, c in self.weighted)
        lengths, frames = pick(self.lengths), pick(self.frames)
        return Condition(len(index), tokens, mask, vector, null, lengths, weighted, frames)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Condition:
        """The same condition on another device, its real parts in another precision."""

        def move(x: Tensor | None) -> Tensor | None:
            if x is None:
                return None
            return x.to(device, dtype if x.is_floating_point() else None)

        null = None if self.null is None else self.null.to(device, dtype)
        tokens, mask, vector = move(self.tokens), move(self.mask), move(self.vector)
        weighted = tuple((w, c.to(device, dtype)) for w, c in self.weighted)
        lengths, frames = move(self.lengths), move(self.frames)
        return Condition(self.batch, tokens, mask, vector, null, lengths, weighted, frames)

    def with_null(self, null: Condition) -> Condition:
        """The same condition, guided away from `null`."""
        return replace(self, null=null)

    def with_weighted(self, weighted: Iterable[tuple[float, Condition]]) -> Condition:
        """The same condition, some of its parts weighted in guidance."""
        return replace(self, weighted=tuple(weighted))

    def with_lengths(self, lengths: Tensor | None) -> Condition:
        """The same condition, for latents of these lengths (B,)."""
        null = None if self.null is None else self.null.with_lengths(lengths)
        weighted = tuple((w, c.with_lengths(lengths)) for w, c in self.weighted)
        return replace(self, lengths=lengths, null=null, weighted=weighted)

    @staticmethod
    def stack(conditions: Sequence[Condition]) -> Condition:
        """Join batches one after another, tokens padded to the longest. Drops nulls and weights.

        Frames are of one number of steps.
        """
        batch = sum(c.batch for c in conditions)
        vectors = [c.vector for c in conditions]
        vector = None if vectors[0] is None else torch.cat(vectors)
        known = [c.lengths for c in conditions]
        lengths = None if known[0] is None else torch.cat(known)
        steps = [c.frames for c in conditions]
        frames = None if steps[0] is None else torch.cat(steps)
        if conditions[0].tokens is None:
            return Condition(batch, vector=vector, lengths=lengths, frames=frames)
        length = max(c.tokens.shape[1] for c in conditions)
        tokens = torch.cat([_pad(c.tokens, length) for c in conditions])
        mask = torch.cat([_pad(_full_mask(c), length) for c in conditions])
        return Condition(batch, tokens, mask, vector, lengths=lengths, frames=frames)

    @staticmethod
    def join(parts: Sequence[Condition]) -> Condition:
        """One condition made of several about the same batch: tokens in a row, vectors added.

        Frames are those of the first that has some.
        """
        with_tokens = [p for p in parts if p.tokens is not None]
        vectors = [p.vector for p in parts if p.vector is not None]
        vector = sum(vectors[1:], vectors[0]) if vectors else None
        frames = next((p.frames for p in parts if p.frames is not None), None)
        if not with_tokens:
            return Condition(parts[0].batch, vector=vector, frames=frames)
        tokens = torch.cat([p.tokens for p in with_tokens], dim=1)
        mask = torch.cat([_full_mask(p) for p in with_tokens], dim=1)
        return Condition(parts[0].batch, tokens, mask, vector, frames=frames)


def _full_mask(c: Condition) -> Tensor:
    if c.mask is not None:
        return c.mask
    return torch.ones(c.tokens.shape[:2], dtype=torch.bool, device=c.tokens.device)


def _pad(x: Tensor, length: int) -> Tensor:
    missing = length - x.shape[1]
    return x if missing == 0 else F.pad(x, (0, 0, 0, missing) if x.ndim == 3 else (0, missing))
