"""Monotonic splines: bijections of the line with a shape that a network decides."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["rational_quadratic"]

_LEAST = 1e-3
_UNIT = math.log(math.e - 1)  # softplus of it is 1


def rational_quadratic(
    x: Tensor, raw: Tensor, *, bound: float, inverse: bool = False
) -> tuple[Tensor, Tensor]:
    """A rational-quadratic spline with K bins on [-bound, bound], the identity outside.

    Args:
        x: Where (...).
        raw: Free parameters (..., 3 K - 1): K widths, K heights, K - 1 slopes between bins. All
            zeros give the identity.
        bound: Half the side of the square that the spline lies in.
        inverse: Map values back.

    Returns:
        y, and log dy/dx, both of the shape of x.

    Source: Neural Spline Flows (Durkan et al., 2019), Eq. 4-8, arXiv:1906.04032
    """
    bins = (raw.shape[-1] + 1) // 3
    widths, heights, slopes = raw.split((bins, bins, bins - 1), dim=-1)
    widths, x_knots = _partition(widths, bound)
    heights, y_knots = _partition(heights, bound)
    slopes = F.pad(_LEAST + (1 - _LEAST) * F.softplus(slopes + _UNIT), (1, 1), value=1.0)
    inside = x.abs() < bound
    at = torch.where(inside, x, 0.0)[..., None]
    knots = y_knots if inverse else x_knots
    index = (torch.searchsorted(knots.detach().contiguous(), at.detach(), right=True) - 1).clamp(
        0, bins - 1
    )
    x_0, y_0, w, h = (v.gather(-1, index) for v in (x_knots, y_knots, widths, heights))
    left, right = slopes.gather(-1, index), slopes.gather(-1, index + 1)
    mean = h / w
    curve = left + right - 2 * mean
    if inverse:
        rise = at - y_0
        a = h * (mean - left) + rise * curve
        b = h * left - rise * curve
        root = (b.square() + 4 * a * mean * rise).clamp(min=0).sqrt()
        share = 2 * mean * rise / (b + root)
        y = x_0 + share * w
    else:
        share = (at - x_0) / w
    mixed = share * (1 - share)
    below = mean + curve * mixed
    if not inverse:
        y = y_0 + h * (mean * share.square() + left * mixed) / below
    top = right * share.square() + 2 * mean * mixed + left * (1 - share).square()
    log_slope = 2 * mean.log() + top.log() - 2 * below.log()
    log_slope = -log_slope if inverse else log_slope
    return torch.where(inside, y[..., 0], x), torch.where(inside, log_slope[..., 0], 0.0)


def _partition(raw: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Sizes of bins (..., K) that fill [-bound, bound], and the knots between (..., K + 1)."""
    bins = raw.shape[-1]
    sizes = 2 * bound * (_LEAST + (1 - _LEAST * bins) * raw.softmax(-1))
    return sizes, F.pad(sizes.cumsum(-1), (1, 0)) - bound
