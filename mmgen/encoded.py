"""Conditions that were encoded before, in the place of what an encoder takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmgen.core.condition import Condition

__all__ = ["Encoded"]


@dataclass(frozen=True)
class Encoded:
    """What a frozen encoder gave for a batch of B.

    Args:
        condition: Of each value.
        null: What it gives for None, of a batch of one; None if no condition is withheld.
        given: The entries `given` (B,) of the prepared tensors, nested as those are, for
            `Encoder.drop`.
    """

    condition: Condition
    null: Condition | None
    given: Mapping[str, Any]

    def to(self, device: torch.device | str) -> Encoded:
        """The same on another device; `given` stays."""
        null = None if self.null is None else self.null.to(device)
        return Encoded(self.condition.to(device), null, self.given)

    def where(self, given: Tensor) -> Condition:
        """The conditions of which `given` (B,) is true, and the null in place of the others."""
        if bool(given.all()) or self.null is None:
            return self.condition
        batch = self.condition.batch
        own = torch.arange(batch)
        chosen = torch.where(given.cpu(), own, torch.full_like(own, batch))
        return Condition.stack([self.condition, self.null]).select(chosen)
