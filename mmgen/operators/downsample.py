"""Images and films of lower resolution."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgen.core.errors import SpecError
from mmgen.operators.operator import Operator

__all__ = ["FILTERS", "Downsample"]

FILTERS = ("average", "bicubic")


class Downsample(Operator):
    """The last two axes smaller by a factor: y = R x R'^T, with R and R' as explicit matrices.

    Args:
        factor: Pixels per pixel on each side. It divides both sides.
        filter: "average" for the mean of each block, "bicubic" for the cubic kernel stretched by
            the factor, so that it takes away what would alias, with weights of pixels beyond the
            edge given to the others.

    Raises:
        ValueError: If the factor is below 1 or the filter unknown.

    Source: Cubic Convolution Interpolation for Digital Image Processing (Keys, 1981), Eq. 4 with
    a = -1/2, doi:10.1109/TASSP.1981.1163711
    """

    def __init__(self, factor: int, *, filter: str = "average") -> None:
        if isinstance(factor, bool) or not isinstance(factor, int) or factor < 1:
            raise ValueError(f"factor is an integer from 1 on, got {factor!r}.")
        if filter not in FILTERS:
            raise ValueError(f"filter is one of {', '.join(FILTERS)}; got {filter!r}.")
        self.factor, self.filter = factor, filter

    @classmethod
    def debug(cls) -> Downsample:
        """By two, bicubic."""
        return cls(2, filter="bicubic")

    def apply(self, x: Tensor) -> Tensor:
        if x.ndim < 3 or x.shape[-1] % self.factor or x.shape[-2] % self.factor:
            raise SpecError(
                f"Downsample by {self.factor} takes values (..., H, W) with sides that are "
                f"multiples of it, got {tuple(x.shape[1:])}."
            )
        rows, columns = self._matrix(x.shape[-2], x), self._matrix(x.shape[-1], x)
        return rows @ x @ columns.T

    def adjoint(self, y: Tensor) -> Tensor:
        rows = self._matrix(y.shape[-2] * self.factor, y)
        columns = self._matrix(y.shape[-1] * self.factor, y)
        return rows.T @ y @ columns

    def _matrix(self, size: int, like: Tensor) -> Tensor:
        """(size / factor, size), in the precision and on the device of `like`."""
        centres = (torch.arange(size // self.factor, dtype=torch.float64) + 0.5) * self.factor
        pixels = torch.arange(size, dtype=torch.float64) + 0.5
        distance = (pixels - centres[:, None]).abs() / self.factor
        weights = (distance < 0.5).double() if self.filter == "average" else _cubic(distance)
        return (weights / weights.sum(1, keepdim=True)).to(like.device, like.dtype)


def _cubic(d: Tensor) -> Tensor:
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return torch.where(d < 1, near, torch.where(d < 2, far, torch.zeros_like(d)))
