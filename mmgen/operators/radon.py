"""Computed tomography with parallel rays."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmgen.operators.operator import Operator
from mmgen.operators.rays import Rays, read_scan

__all__ = ["Radon", "spread_angles"]


class Radon(Operator):
    """The Radon transform: (B, C, S, S) to sinograms (B, C, angles, detectors).

        p(theta, s) = int f(s cos theta - l sin theta, s sin theta + l cos theta) dl

    The image covers [-1, 1]^2, so a disc of radius r and value 1 has integrals up to 2 r.

    Args:
        size: S, side of the images in pixels.
        angles: theta in rad (angles,); see `spread_angles`.
        num_detectors: How many s, evenly from -sqrt(2) to sqrt(2), at the centres of as many bins.
            S if not given; rays beyond the image measure zero.

    Raises:
        ValueError: If a size is below 1, or there are no angles.
    """

    def __init__(self, size: int, *, angles: Tensor, num_detectors: int | None = None) -> None:
        angles, centres = read_scan(size, angles, num_detectors, by="Radon")
        offset = (centres * math.sqrt(2))[:, None]
        normal = torch.stack((angles.cos(), angles.sin()), dim=1)[:, None]
        along = torch.stack((-angles.sin(), angles.cos()), dim=1)[:, None]
        points = offset * normal
        self._rays = Rays(points, along.expand_as(points), size=size)

    @classmethod
    def debug(cls) -> Radon:
        """Five angles on images of side 8."""
        return cls(8, angles=spread_angles(5))

    def apply(self, x: Tensor) -> Tensor:
        return self._rays.project(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._rays.spread(y)


def spread_angles(num_angles: int, *, over: float = math.pi) -> Tensor:
    """Angles from 0 to short of `over` in equal steps, rad: pi for parallel rays, 2 pi for fans.

    Raises:
        ValueError: If there is less than one.
    """
    if num_angles < 1:
        raise ValueError(f"num_angles is at least 1, got {num_angles}.")
    return torch.arange(num_angles, dtype=torch.float64) * (over / num_angles)
