"""How well scores tell odd values from usual ones: AUROC, and FPR95.

AUROC, the area under the ROC curve: higher is better, in [0, 1], 0.5 by chance. FPR95, the share of
odd values that pass where 95 % of the usual do: lower is better, in [0, 1]; 0.95 by chance. Sample
size: scores of some hundreds of each kind, since that threshold lies at a twentieth of the usual
ones. References: all pairs, and the threshold by sorting, each counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["auroc", "fpr_at"]


def auroc(inliers: Sequence[float], outliers: Sequence[float]) -> float:
    """How often an outlier has the greater score of a pair, ties half: 0.5 is chance, 1 is best.

    Args:
        inliers: Scores of usual values, greater for what is odd; a sequence or a tensor.
        outliers: Scores of odd ones.

    Raises:
        ValueError: If one of the two is empty or holds what is not a number.
    """
    low, high = _checked(inliers, outliers)
    low = np.sort(low)
    below, up_to = (np.searchsorted(low, high, side=side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(low)))


def fpr_at(inliers: Sequence[float], outliers: Sequence[float], *, kept: float = 0.95) -> float:
    """Share of outliers that pass for usual at the least threshold at which `kept` of these do.

    Args:
        inliers: Scores of usual values, greater for what is odd.
        outliers: Scores of odd ones.
        kept: Share of usual values that have to pass.

    Raises:
        ValueError: If one of the two is empty or holds what is no number, or `kept` is no share.
    """
    low, high = _checked(inliers, outliers)
    if not 0 < kept <= 1:
        raise ValueError(f"kept is a share above 0, at most 1, got {kept}.")
    # Rounding must not ask for one more than the share means.
    threshold = np.sort(low)[max(0, math.ceil(kept * len(low) - 1e-9) - 1)]
    return float((high <= threshold).mean())


def _checked(inliers: Sequence[float], outliers: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    low, high = (np.asarray(s, np.float64).ravel() for s in (inliers, outliers))
    if not len(low) or not len(high) or np.isnan(low).any() or np.isnan(high).any():
        raise ValueError("Expected scores of one inlier and one outlier or more, all numbers.")
    return low, high
