"""Prompts whose tokens have positions of several axes, as those of pictures have in some models.

Shape letters: B batch, M prompt tokens, L tokens, A axes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from mmgen.core.condition import Condition

__all__ = ["Placed"]


@dataclass(frozen=True)
class Placed(Condition):
    """A condition whose tokens have positions of several axes.

    Args:
        positions: Those of each token (B, M, A); whatever they are where none is.
        following: That of what comes after them, on every axis (B,).
    """

    positions: Tensor | None = None
    following: Tensor | None = None

    @classmethod
    def of(cls, c: Condition, positions: Tensor, following: Tensor) -> Placed:
        """A condition and the positions of its tokens."""
        own = {f.name: getattr(c, f.name) for f in fields(Condition)}
        return cls(**own, positions=positions, following=following)

    def select(self, index: Tensor) -> Placed:
        own = index.to(self.positions.device)
        return Placed.of(super().select(index), self.positions[own], self.following[own])

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Placed:
        moved = super().to(device, dtype)
        return Placed.of(moved, self.positions.to(device), self.following.to(device))
