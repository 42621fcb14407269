"""The condition of P(X): none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.spec import ConditionSpec

__all__ = ["Nothing"]


class Nothing(Encoder):
    """Takes None and gives an empty condition."""

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec()

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        for value in values:
            if value is not None:
                raise TypeError(
                    f"This pipeline takes no condition, got {value!r:.60}. Call it without one."
                )
        return {"given": torch.zeros(len(values), dtype=torch.bool)}

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        return Condition(len(tensors["given"]))
