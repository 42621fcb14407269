"""Tokens that are passed over, though the network gives them some probability."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Excluded"]


@dataclass(frozen=True)
class Excluded:
    """What is neither drawn nor searched.

    Args:
        anywhere: Tokens that stand nowhere.
        first: Those that do not stand at the first place; the end may be one of them.
    """

    anywhere: tuple[int, ...] = ()
    first: tuple[int, ...] = ()

    def bar(self, logits_RV: Tensor, place: int) -> None:
        """Set the logits of what is passed over at a place to minus infinity."""
        logits_RV[:, list(self.anywhere)] = -math.inf
        if place == 0:
            logits_RV[:, list(self.first)] = -math.inf
