"""Kernel distance of two sets of features: with Inception's it is KID.

Lower is better, 0 on average if both come from one distribution, and so below 0 as often as not.
In units of the kernel, which is a cube of products of features. Unbiased whatever the counts.
Reference: the sums of the definition, term by term; other libraries give the mean over random
subsets of 1,000, which has the same expectation.
"""

from __future__ import annotations

import numpy as np

from mmgen.evaluation.metrics.frechet import checked

__all__ = ["kernel_distance"]


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased MMD^2 for the kernel k(a, b) = (a . b / D + 1)^3.

    Args:
        x: Features of one set (N, D), by any extractor.
        y: Of the other (M, D), by the same. Memory is (N + M)^2.

    Raises:
        ValueError: If the sets do not compare, hold fewer than two rows, or are not finite.

    Source: Demystifying MMD GANs (Bińkowski et al., 2018), Sec. 4, arXiv:1801.01401
    """
    x, y = checked(x, y)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a: np.ndarray) -> float:
        values = kernel(a, a)
        return float((values.sum() - np.trace(values)) / (len(a) * (len(a) - 1)))

    return within(x) + within(y) - 2 * float(kernel(x, y).mean())
