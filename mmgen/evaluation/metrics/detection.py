"""False alarms of a detector of outliers where it finds nearly all of the usual: FPR95.

Lower is better, a share in [0, 1]; 0.95 by chance. Sample size: scores of some hundreds of each
kind, since the threshold lies at a twentieth of the usual ones. Its fellow, the area under the ROC
curve, is `mmgen.inference.auroc`. Reference: the threshold by sorting, and counting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["fpr_at"]


def fpr_at(inliers: Sequence[float], outliers: Sequence[float], *, kept: float = 0.95) -> float:
    """Share of outliers that pass for usual at the least threshold at which `kept` of these do.

    Args:
        inliers: Scores of usual values, greater for what is odd.
        outliers: Scores of odd ones.
        kept: Share of usual values that have to pass.

    Raises:
        ValueError: If one of the two is empty or holds what is no number, or `kept` is no share.
    """
    low, high = (np.asarray(s, np.float64).ravel() for s in (inliers, outliers))
    if not len(low) or not len(high) or np.isnan(low).any() or np.isnan(high).any():
        raise ValueError("Expected scores of one inlier and one outlier or more, all numbers.")
    if not 0 < kept <= 1:
        raise ValueError(f"kept is a share above 0, at most 1, got {kept}.")
    # Rounding must not ask for one more than the share means.
    threshold = np.sort(low)[max(0, math.ceil(kept * len(low) - 1e-9) - 1)]
    return float((high <= threshold).mean())
