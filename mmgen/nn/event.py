"""One network for events of any layout: a perceptron on numbers, a transformer on grids."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.spec import ConditionSpec
from mmgen.nn.grid import GridTransformer
from mmgen.nn.perceptron import Perceptron

__all__ = ["EventNetwork"]


class EventNetwork(nn.Module):
    """Maps events to events of the same layout, or to vectors, given a condition.

    Several tensors of one event go in and come out side by side along the features: the last axis
    of numbers and sequences, the channels of images and films.

    Args:
        shape: Event shape.
        copies: How many events go in and how many come out.
        num_outputs: Give a vector of so many numbers instead.
        dim: Width.
        depth: Number of blocks.
        condition: Widths of the condition.
    """

    def __init__(
        self,
        shape: Sequence[int | str],
        *,
        copies: tuple[int, int] = (1, 1),
        num_outputs: int | None = None,
        dim: int,
        depth: int,
        condition: ConditionSpec,
    ) -> None:
        super().__init__()
        self.axis = -1 if len(shape) <= 2 else -3
        features = int(shape[self.axis])
        self.features_in, features_out = (features * count for count in copies)
        self.features_out = None if num_outputs else features_out
        if len(shape) == 1:
            outputs = num_outputs or features_out
            self.net: nn.Module = Perceptron(
                self.features_in, outputs, dim=dim, depth=depth, condition=condition
            )
            return
        wide = list(shape)
        wide[self.axis] = max(self.features_in, self.features_out or 0)
        self.missing = wide[self.axis] - self.features_in
        sides = shape[-2:] if len(shape) > 2 else ()
        self.net = GridTransformer(
            wide,
            patch_size=next(p for p in (4, 2, 1) if all(int(side) % p == 0 for side in sides)),
            dim=dim,
            depth=depth,
            num_heads=max(2, dim // 48),
            condition=condition,
            timed=False,
            num_outputs=num_outputs,
        )

    @classmethod
    def debug(
        cls, *, shape: Sequence[int] = (3, 16, 16), condition: ConditionSpec | None = None
    ) -> EventNetwork:
        """A tiny one, from events to events."""
        return cls(shape, dim=32, depth=1, condition=condition or ConditionSpec())

    def quieten(self, std: float = 1e-2) -> EventNetwork:
        """Start with small outputs. Returns itself."""
        nn.init.normal_(self.net.out.weight, std=std)
        return self

    def forward(self, z_BCHW: Tensor, c: Condition) -> Tensor:
        """Events (B, *event), copies side by side along the features, and their condition.

        Returns:
            (B, *event) with the copies that come out, or (B, num_outputs). Where `c.lengths` tells
            how far sequences go, nothing beyond is looked at.
        """
        z_BCHW = z_BCHW.to(self.net.out.weight.dtype)
        if isinstance(self.net, Perceptron):
            return self.net(z_BCHW, c)
        if self.missing:
            z_BCHW = F.pad(z_BCHW, (0, 0) * (-1 - self.axis) + (0, self.missing))
        y_BCHW = self.net(z_BCHW, None, c)
        if self.features_out is None:
            return y_BCHW
        return torch.narrow(y_BCHW, self.axis, 0, self.features_out)
