r"""Line integrals of an image as an explicit sparse matrix, so that its transpose is the adjoint.

The image covers [-1, 1]^2, x to the right, y up; lengths are in halves of its side. A ray that runs
more along x than along y crosses each column once, at its centre line; there the image is
interpolated linearly between two rows, and the length of the ray within a column is 2 / (S |d_x|)
for a unit direction d. The other rays likewise, with rows for columns.

Source: An Improved Algorithm for Reprojecting Rays Through Pixel Images (Joseph, 1982),
doi:10.1109/TMI.1982.4307572
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmgen.core.errors import SpecError

__all__ = ["Rays"]


class Rays:
    """The matrix P of line integrals along rays, on images of side S.

    Args:
        points: A point on each ray (R, 2), x and y.
        directions: Its direction (R, 2), not zero.
        size: S.
    """

    def __init__(self, points: Tensor, directions: Tensor, *, size: int) -> None:
        self.size, self.num_rays = size, len(points)
        index, weights = _joseph(points.double(), directions.double(), size)
        shape = (len(points), size * size)
        self._forward = _sparse(index, weights, shape)
        self._backward = _sparse(index.flip(0), weights, shape[::-1])

    def project(self, x: Tensor) -> Tensor:
        """Images (..., S, S) to integrals (..., R)."""
        if x.ndim < 3 or x.shape[-2:] != (self.size, self.size):
            raise SpecError(
                f"These rays cross images (..., {self.size}, {self.size}), got "
                f"{tuple(x.shape[1:])}. Build the operator with the size of the images."
            )
        return _product(self._forward, x.flatten(-2))

    def spread(self, y: Tensor) -> Tensor:
        """Integrals (..., R) to images (..., S, S), by the transpose."""
        return _product(self._backward, y).unflatten(-1, (self.size, self.size))


def _sparse(index: Tensor, weights: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_coo_tensor(index, weights.float(), shape, check_invariants=True).coalesce()


def _product(matrix: Tensor, rows: Tensor) -> Tensor:
    """matrix (M, K) times each row of (..., K)."""
    flat = rows.reshape(-1, rows.shape[-1])
    product = torch.sparse.mm(matrix.to(rows.device, rows.dtype), flat.T.contiguous())
    return product.T.reshape(*rows.shape[:-1], -1)


def _joseph(points: Tensor, directions: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Ray and pixel (2, M) of each weight that is not zero, and the weights (M,)."""
    unit = directions / directions.norm(dim=1, keepdim=True)
    # Rows count downwards: with y turned round, both axes have their pixel 0 at -1.
    turn = points.new_tensor([1.0, -1.0])
    points, unit = points * turn, unit * turn
    along = torch.where(unit[:, 0].abs() >= unit[:, 1].abs(), 0, 1)[:, None]
    across = 1 - along
    centres = (torch.arange(size, dtype=torch.float64) + 0.5) * 2 / size - 1
    speed = unit.gather(1, along)
    place = (centres - points.gather(1, along)) / speed * unit.gather(1, across)
    place = (place + points.gather(1, across) + 1) * size / 2 - 0.5
    below = place.floor()
    share = place - below
    length = (2 / size / speed.abs()).expand(-1, size)
    step = torch.arange(size).expand(len(points), -1)
    ray = torch.arange(len(points))[:, None].expand(-1, size)
    entries = []
    for other, weight in ((below, 1 - share), (below + 1, share)):
        inside = (other >= 0) & (other < size) & (weight > 0)
        other = other.long()
        pixel = torch.where(along == 0, other * size + step, step * size + other)
        entries.append((ray[inside], pixel[inside], (weight * length)[inside]))
    rays, pixels, weights = (torch.cat(part) for part in zip(*entries, strict=True))
    return torch.stack((rays, pixels)), weights
