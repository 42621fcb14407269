"""Linear systems that are known by their products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["conjugate_gradient"]


def conjugate_gradient(
    product: Callable[[Tensor], Tensor],
    b: Tensor,
    *,
    num_iterations: int,
    tolerance: float = 1e-5,
) -> Tensor:
    """About S^-1 b for each row, S symmetric with no negative eigenvalue.

    A row stops when its residual is below `tolerance` |b|, or where S turns out not to curve
    upwards, and never depends on the others. If S is singular and b in its range, it is the
    solution of least norm.

    Args:
        product: v (B, *event) to S v (B, *event).
        b: (B, *event).
        num_iterations: Most products.
        tolerance: See above.

    Source: Methods of Conjugate Gradients for Solving Linear Systems (Hestenes & Stiefel, 1952),
    Eq. 3:1, doi:10.6028/jres.049.044
    """
    x, r, p = torch.zeros_like(b), b, b
    squares = _dot(r, r)
    least = tolerance**2 * squares
    running = squares > least
    for _ in range(num_iterations):
        if not running.any():
            break
        s_p = product(p)
        curvature = _dot(p, s_p)
        running = running & (curvature > 0)
        step = torch.where(running, squares / curvature, torch.zeros_like(squares))
        x, r = x + step * p, r - step * s_p
        after = _dot(r, r)
        p = r + torch.where(running, after / squares, torch.zeros_like(after)) * p
        squares = torch.where(running, after, squares)
        running = running & (squares > least)
    return x


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each row, (B, 1, ...)."""
    return (a * b).flatten(1).sum(1).reshape(-1, *(1,) * (a.ndim - 1))
