"""Frechet distance of two sets of features: with Inception's it is FID, with ChemNet's FCD.

Lower is better, 0 if both sets have one mean and one covariance. In squares of the features' units.
Biased upwards for few samples, all the more the more features there are: compare only equal counts,
and take more samples than features. Reference: the mean and covariance in double precision and
`scipy.linalg.sqrtm`, as the authors' code has them.
"""

from __future__ import annotations

import numpy as np

__all__ = ["frechet_distance"]


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """|m_x - m_y|^2 + tr(C_x + C_y - 2 (C_x C_y)^(1/2)).

    Args:
        x: Features of one set (N, D), by any extractor.
        y: Of the other (M, D), by the same.

    Returns:
        The distance.

    Raises:
        ValueError: If the sets do not compare, hold fewer than two rows, or are not finite.

    Source: GANs Trained by a Two Time-Scale Update Rule (Heusel et al., 2017), Eq. 6,
    arXiv:1706.08500
    """
    x, y = checked(x, y)
    mean = np.square(x.mean(0) - y.mean(0)).sum()
    a, b = (np.atleast_2d(np.cov(s, rowvar=False)) for s in (x, y))
    # (A B)^(1/2) has the trace of (A^(1/2) B A^(1/2))^(1/2), which is symmetric.
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ b @ root)
    distance = mean + np.trace(a) + np.trace(b) - 2 * np.sqrt(inner.clip(min=0)).sum()
    return max(0.0, float(distance))


def checked(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets of features in double precision.

    Raises:
        ValueError: If they do not compare, hold fewer than two rows, or are not finite.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(
            "Expected features (N, D) and (M, D), N and M from 2 on, got "
            f"{x.shape} and {y.shape}. Flatten each value to one axis."
        )
    if not np.isfinite(x).all() or not np.isfinite(y).all():
        raise ValueError("Features are finite; there is NaN or infinity among these.")
    return x, y
