"""Computed tomography with rays from a point."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmgen.operators.operator import Operator
from mmgen.operators.radon import spread_angles
from mmgen.operators.rays import Rays, read_scan

__all__ = ["FanBeam"]


class FanBeam(Operator):
    """Fans of rays on a flat detector: (B, C, S, S) to sinograms (B, C, angles, detectors).

    The image covers [-1, 1]^2. At angle theta the source stands at D (sin theta, -cos theta), which
    for theta = 0 looks upwards, and detectors stand along (cos theta, sin theta) on a line at
    distance E beyond the centre. As D grows, the rays become those of `Radon`.

    Args:
        size: S, side of the images in pixels.
        angles: theta in rad (angles,), best over 2 pi.
        num_detectors: How many, over the whole shadow of the circle around the image. S if not
            given.
        source_distance: D, in halves of the image's side; beyond sqrt(2).
        detector_distance: E, likewise, at least 0.

    Raises:
        ValueError: If a size is below 1, there are no angles, or the source stands in the image.
    """

    def __init__(
        self,
        size: int,
        *,
        angles: Tensor,
        num_detectors: int | None = None,
        source_distance: float = 4.0,
        detector_distance: float = 2.0,
    ) -> None:
        angles, centres = read_scan(size, angles, num_detectors, by="FanBeam")
        if not source_distance > math.sqrt(2) or not detector_distance >= 0:
            raise ValueError(
                "The source stands outside of the image, beyond sqrt(2), and the detector not on "
                f"its side; got distances {source_distance} and {detector_distance}."
            )
        # Where the tangents from the source to the circle of radius sqrt(2) meet the detector.
        reach = (source_distance + detector_distance) * math.sqrt(2)
        reach /= math.sqrt(source_distance**2 - 2)
        across = torch.stack((angles.cos(), angles.sin()), dim=1)[:, None]
        ahead = torch.stack((-angles.sin(), angles.cos()), dim=1)[:, None]
        detector = detector_distance * ahead + (centres * reach)[:, None] * across
        source = (-source_distance * ahead).expand_as(detector)
        self._rays = Rays(source, detector - source, size=size)

    @classmethod
    def debug(cls) -> FanBeam:
        """Six angles on images of side 8."""
        return cls(8, angles=spread_angles(6, over=2 * math.pi))

    def apply(self, x: Tensor) -> Tensor:
        return self._rays.project(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._rays.spread(y)
