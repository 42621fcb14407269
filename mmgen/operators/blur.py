"""Images and films out of focus, or moved while they were taken."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgen.core.errors import SpecError
from mmgen.operators.operator import Operator

__all__ = ["BOUNDARIES", "Blur"]

BOUNDARIES = ("reflect", "circular", "zero")


class Blur(Operator):
    """Correlation of the last two axes with a kernel, of the same size.

        y[i, j] = sum_kl kernel[k, l] x[i + k - k_0, j + l - l_0],   (k_0, l_0) its centre.

    Args:
        kernel: (K, L), both odd.
        boundary: What lies beyond the edge: the image mirrored at its outermost pixels, the image
            again, or zero.

    Raises:
        ValueError: If a side of the kernel is even, a weight is not finite, or there is no such
            boundary.
    """

    def __init__(self, kernel: Tensor, *, boundary: str = "reflect") -> None:
        kernel = torch.as_tensor(kernel, dtype=torch.float32)
        if kernel.ndim != 2 or kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
            raise ValueError(
                f"A kernel has two axes of odd size, got {tuple(kernel.shape)}. Pad it with zeros."
            )
        if not kernel.isfinite().all():
            raise ValueError("A kernel holds finite numbers; this one has NaN or infinity.")
        if boundary not in BOUNDARIES:
            raise ValueError(f"boundary is one of {', '.join(BOUNDARIES)}; got {boundary!r}.")
        self.kernel, self.boundary = kernel, boundary

    @classmethod
    def gaussian(cls, std: float, *, boundary: str = "reflect") -> Blur:
        """A Gaussian kernel that sums to one, cut off at four standard deviations.

        Args:
            std: In pixels, above 0.
            boundary: As of the class.
        """
        if not 0 < std < float("inf"):
            raise ValueError(f"std is a number of pixels above 0, got {std}.")
        reach = max(1, round(4 * std))
        line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).double() / std) ** 2)
        line = line / line.sum()
        return cls(torch.outer(line, line), boundary=boundary)

    @classmethod
    def debug(cls) -> Blur:
        """One that is not symmetric."""
        return cls(torch.tensor([[0.1, 0.2, 0.3], [0.0, 0.5, 0.0], [0.0, 0.0, -0.1]]))

    def apply(self, x: Tensor) -> Tensor:
        rows, columns = (size // 2 for size in self.kernel.shape)
        short = self.boundary != "zero" and (x.shape[-2] <= rows or x.shape[-1] <= columns)
        if x.ndim < 3 or short:
            raise SpecError(
                f"Blur with a kernel {tuple(self.kernel.shape)} takes values (..., H, W) of more "
                f"than half its size, got {tuple(x.shape[1:])}."
            )
        planes = x.reshape(-1, 1, *x.shape[-2:])
        if self.boundary == "zero":
            padded = F.pad(planes, (columns, columns, rows, rows))
        else:
            planes = planes.index_select(2, self._index(x.shape[-2], rows, x.device))
            padded = planes.index_select(3, self._index(x.shape[-1], columns, x.device))
        return F.conv2d(padded, self._weight(x)).reshape(x.shape)

    def adjoint(self, y: Tensor) -> Tensor:
        rows, columns = (size // 2 for size in self.kernel.shape)
        height, width = y.shape[-2:]
        planes = F.conv_transpose2d(y.reshape(-1, 1, height, width), self._weight(y))
        if self.boundary == "zero":
            planes = planes[:, :, rows : rows + height, columns : columns + width]
        else:
            planes = _gather(planes, 2, self._index(height, rows, y.device), height)
            planes = _gather(planes, 3, self._index(width, columns, y.device), width)
        return planes.reshape(y.shape)

    def _weight(self, like: Tensor) -> Tensor:
        return self.kernel[None, None].to(like.device, like.dtype)

    def _index(self, size: int, reach: int, device: torch.device) -> Tensor:
        """Which of `size` pixels stands at each place of the padded line."""
        place = torch.arange(-reach, size + reach, device=device)
        if self.boundary == "circular":
            return place % size
        return size - 1 - (size - 1 - place.abs()).abs()


def _gather(planes: Tensor, dim: int, index: Tensor, size: int) -> Tensor:
    """The adjoint of index_select(dim, index) from lines of this size."""
    shape = list(planes.shape)
    shape[dim] = size
    return planes.new_zeros(shape).index_add(dim, index, planes)
