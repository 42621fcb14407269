"""Seeing some entries and not others."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgen.core.errors import SpecError
from mmgen.operators.operator import Operator

__all__ = ["Mask"]


class Mask(Operator):
    """x where it is seen, zero elsewhere. Its own adjoint.

    Args:
        mask: Boolean, true where x is seen. Its shape is that of the last axes of a value: (H, W)
            for all channels of an image, say.
        rows: Whether the first axis of the mask is the batch, so that each row has its own.

    Raises:
        TypeError: If the mask is not boolean.
    """

    def __init__(self, mask: Tensor, *, rows: bool = False) -> None:
        mask = torch.as_tensor(mask)
        if mask.dtype != torch.bool:
            raise TypeError(
                f"A mask is boolean, true where x is seen; got {mask.dtype}. Compare it first: "
                "mask > 0.5, say."
            )
        self.mask, self.rows = mask, rows

    @classmethod
    def debug(cls) -> Mask:
        """The left half of an image of side 8."""
        return cls(torch.arange(8).expand(8, 8) < 4)

    def apply(self, x: Tensor) -> Tensor:
        axes = x.ndim if self.rows else x.ndim - 1
        if self.mask.ndim > axes or x.shape[x.ndim - self.mask.ndim :] != self.mask.shape:
            raise SpecError(
                f"This mask of shape {tuple(self.mask.shape)} does not fit values "
                f"{tuple(x.shape[1:])}. Its axes are the last axes of a value."
            )
        return torch.where(self.mask.to(x.device), x, x.new_zeros(()))

    def adjoint(self, y: Tensor) -> Tensor:
        return self.apply(y)

    def select(self, index: Tensor) -> Mask:
        return Mask(self.mask[index.to(self.mask.device)], rows=True) if self.rows else self
