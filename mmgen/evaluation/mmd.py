"""How far apart two samples are in the mean of a kernel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["MMD", "mmd_test"]


@dataclass(frozen=True)
class MMD:
    """A maximum mean discrepancy.

    Args:
        squared: Unbiased estimate of MMD^2, about 0 if nothing tells the samples apart.
        p_value: Share of permutations with as much of it.
        bandwidth: h of the kernel.
    """

    squared: float
    p_value: float
    bandwidth: float


def mmd_test(
    x: Tensor,
    y: Tensor,
    *,
    seed: int,
    bandwidth: float | None = None,
    num_permutations: int = 199,
) -> MMD:
    """MMD^2 = E k(X, X') + E k(Y, Y') - 2 E k(X, Y) for k(a, b) = exp(-|a - b|^2 / 2 h^2).

    The p-value is uniform on (0, 1] if both samples come from one distribution, and small if not.
    Memory is (N + M)^2.

    Args:
        x: One sample (N, D).
        y: The other (M, D).
        seed: Of the permutations.
        bandwidth: h; the median distance of two points of both samples if None.
        num_permutations: How many; the least p-value is 1 / (num_permutations + 1).

    Raises:
        ValueError: If the samples do not compare, hold fewer than two points or are not finite, or
            all points are the same.

    Source: A Kernel Two-Sample Test (Gretton et al., 2012), Eq. 3 and Sec. 8 (median heuristic),
    jmlr.org/papers/v13/gretton12a.html
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(
            "Two samples of shape (N, D) and (M, D) with N and M from 2 on are compared, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}. Flatten each point to one axis."
        )
    points = torch.cat((x.detach().cpu(), y.detach().cpu())).double()
    if not points.isfinite().all():
        raise ValueError("Samples are finite; there is NaN or infinity among these.")
    squares = torch.cdist(points, points).square()
    if bandwidth is None:
        n = len(points)
        above = squares[tuple(torch.triu_indices(n, n, offset=1))]
        bandwidth = float(above.median().sqrt())
    if not bandwidth > 0:
        raise ValueError(
            f"The bandwidth is above 0, got {bandwidth}. If half of all distances are 0, the "
            "samples are constant: compare them directly."
        )
    kernel = torch.exp(-squares / (2 * bandwidth**2)).fill_diagonal_(0)
    first = torch.zeros(len(points), dtype=torch.float64)
    first[: len(x)] = 1
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(points), generator=generator) for _ in range(num_permutations)]
    rows = torch.stack([first, *(first[order] for order in orders)])
    others = 1 - rows
    n, m = len(x), len(y)
    within = ((rows @ kernel) * rows).sum(1) / (n * (n - 1))
    beyond = ((others @ kernel) * others).sum(1) / (m * (m - 1))
    between = ((rows @ kernel) * others).sum(1) / (n * m)
    found = within + beyond - 2 * between
    # Equal statistics may differ in their last digits.
    p_value = float((found >= found[0] - 1e-12).double().mean())
    return MMD(float(found[0]), p_value, bandwidth)
