"""Labels: one of a closed set of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.errors import close_names
from mmgen.core.spec import ConditionSpec

__all__ = ["LabelEncoder", "encoder"]


class LabelEncoder(Encoder):
    """A class as one condition token, or as a vector.

    Args:
        names: Class names; a label is a name or its index.
        dim: Width of the token or vector.
        vector: Give a vector, which modulates, and not a token, which is attended to.
    """

    def __init__(self, names: Sequence[str], *, dim: int, vector: bool = False) -> None:
        super().__init__()
        self.names = tuple(names)
        self.vector = vector
        # The last row is the label that is not given.
        self.embed = nn.Embedding(len(self.names) + 1, dim)

    @classmethod
    def debug(cls) -> LabelEncoder:
        """A tiny one."""
        return cls(("cat", "dog", "fox"), dim=32)

    @property
    def spec(self) -> ConditionSpec:
        dim = self.embed.embedding_dim
        return ConditionSpec(vector_dim=dim) if self.vector else ConditionSpec(token_dim=dim)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        index = torch.tensor([self._index(v) for v in values])
        return {"label": index, "given": index >= 0}

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        device = self.embed.weight.device
        given = tensors["given"].to(device)
        label = torch.where(given, tensors["label"].to(device), len(self.names))
        x = self.embed(label)
        if self.vector:
            return Condition(len(x), vector=x)
        return Condition(len(x), x[:, None])

    def _index(self, value: Any) -> int:
        if value is None:
            return -1
        if isinstance(value, str):
            if value in self.names:
                return self.names.index(value)
            raise ValueError(f"No class {value!r}. {close_names(value, self.names)}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(
                f"Expected a class name or its index, got {type(value).__name__}: {value!r:.60}."
            )
        if not 0 <= value < len(self.names):
            raise ValueError(f"A class index lies in 0 to {len(self.names) - 1}, got {value}.")
        return value


def encoder(size: str, labels: tuple[str, ...]) -> LabelEncoder:
    """The label encoder of this size, giving one token."""
    return LabelEncoder(labels, dim={"debug": 32, "small": 128}[size])
