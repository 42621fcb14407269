"""Bits for each dimension of held-out values: how well a model of P(X | Y) compresses them.

Lower is better; 8 for bytes that are all alike likely, and it is below zero where a density of
continuous values is above 1. Sample size: a hundred values or more; the interval is over values.
Bounds and exact numbers do not compare, so the kind is told. Reference: the log2 of how many values
a dimension has, if all are alike likely.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmgen.core.conditional import LogProb

__all__ = ["bits_per_dim"]


def bits_per_dim(found: Sequence[LogProb]) -> dict[str, Any]:
    """-sum log2 p(x | y) / sum of dimensions, over all values.

    Args:
        found: What `log_prob` gave, a batch each, all of one kind.

    Returns:
        {"mean", "low", "high", "count", "kind"}, a 95 % interval over values.

    Raises:
        ValueError: If there are fewer than two values, they are of several kinds, or not finite.

    Source: Density estimation using Real NVP (Dinh et al., 2016), Sec. 4.1, arXiv:1605.08803
    """
    kinds = {one.kind for one in found}
    if len(kinds) != 1:
        raise ValueError(f"Expected log p of one kind, got {', '.join(sorted(kinds)) or 'none'}.")
    nats = np.concatenate([one.nats.double().cpu().numpy().ravel() for one in found])
    dims = np.concatenate([one.num_dims.double().cpu().numpy().ravel() for one in found])
    if len(nats) < 2 or not np.isfinite(nats).all():
        raise ValueError(f"Expected two finite log p or more, got {len(nats)}: {nats[:4]}...")
    bits = -nats / math.log(2)
    mean = bits.sum() / dims.sum()
    # Of a ratio of sums, by the delta method.
    spread = (bits - mean * dims).std(ddof=1) / dims.mean() / len(bits) ** 0.5
    low, high = mean - 1.96 * spread, mean + 1.96 * spread
    rounded = {k: round(float(v), 5) for k, v in {"mean": mean, "low": low, "high": high}.items()}
    return rounded | {"count": len(bits), "kind": kinds.pop()}
