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

__all__ = ["Rays", "read_scan"]


def read_scan(
    size: int, angles: Tensor, num_detectors: int | None, *, by: str
) -> tuple[Tensor, Tensor]:
    """Angles (angles,), and the centres of the bins of detectors (detectors,) over [-1, 1].

    Args:
        size: S, side of the images in pixels.
        angles: In rad (angles,).
        num_detectors: S if None.
        by: The operator, for the message.

    Raises:
        ValueError: If a size is below 1, or there are no angles.
    """
    num_detectors = size if num_detectors is None else num_detectors
    angles = torch.as_tensor(angles, dtype=torch.float64)
    if size < 1 or num_detectors < 1 or angles.ndim != 1 or not len(angles):
        raise ValueError(
            f"{by} needs a size and a number of detectors from 1 on and a list of angles, got "
            f"{size}, {num_detectors} and {tuple(angles.shape)}."
        )
    bins = (torch.arange(num_detectors, dtype=torch.float64) + 0.5) / num_detectors
    return angles, 2 * bins - 1


class Rays:
    """The matrix P of line integrals along rays, on images of side S.

    Args:
        points: A point on each ray (*rays, 2), x and y.
        directions: Its direction (*rays, 2), not zero.
        size: S.
    """

    def __init__(self, points: Tensor, directions: Tensor, *, size: int) -> None:
        self.size, self.rays = size, points.shape[:-1]
        flat = (x.double().reshape(-1, 2) for x in (points, directions))
        index, weights = _joseph(*flat, size)
        shape = (self.rays.numel(), size * size)
        self._forward = _sparse(index, weights, shape)
        self._backward = _sparse(index.flip(0), weights, shape[::-1])

    def project(self, x: Tensor) -> Tensor:
        """Images (..., S, S) to integrals (..., *rays)."""
        if x.ndim < 3 or x.shape[-2:] != (self.size, self.size):
            raise SpecError(
                f"These rays cross images (..., {self.size}, {self.size}), got "
                f"{tuple(x.shape[1:])}. Build the operator with the size of the images."
            )
        return _product(self._forward, x.flatten(-2)).unflatten(-1, self.rays)

    def spread(self, y: Tensor) -> Tensor:
        """Integrals (..., *rays) to images (..., S, S), by the transpose."""
        rows = y.flatten(-len(self.rays))
        return _product(self._backward, rows).unflatten(-1, (self.size, self.size))


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
