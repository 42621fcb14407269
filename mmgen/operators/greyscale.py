"""Images without their colours."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgen.core.errors import SpecError
from mmgen.operators.operator import Operator

__all__ = ["Greyscale"]


class Greyscale(Operator):
    """Luma 0.299 R + 0.587 G + 0.114 B: (B, ..., 3, H, W) to (B, ..., 1, H, W).

    Source: Recommendation ITU-R BT.601-7 (2011), Sec. 2.5.1
    """

    @classmethod
    def debug(cls) -> Greyscale:
        """There is only one."""
        return cls()

    def apply(self, x: Tensor) -> Tensor:
        if x.ndim < 4 or x.shape[-3] != 3:
            raise SpecError(f"Greyscale takes values (..., 3, H, W), got {tuple(x.shape[1:])}.")
        return (x * _weights(x)).sum(-3, keepdim=True)

    def adjoint(self, y: Tensor) -> Tensor:
        return y * _weights(y)


def _weights(like: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114], device=like.device, dtype=like.dtype)
    return weights[:, None, None]
