"""Precision and recall of samples, by their nearest neighbours among features.

Higher is better, both are shares in [0, 1]. Precision: samples that lie where the real ones are;
recall: real ones that lie where samples are. Both sets should be of equal size, thousands at best:
balls shrink with their number, and values of other counts do not compare. Reference: the
definition, point by point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmgen.evaluation.metrics.frechet import checked

__all__ = ["PrecisionRecall", "precision_recall"]


@dataclass(frozen=True)
class PrecisionRecall:
    """How much of what is drawn is real, and how much of what is real is drawn.

    Args:
        precision: Share of samples within a ball around a real one.
        recall: Share of real ones within a ball around a sample.
    """

    precision: float
    recall: float


def precision_recall(
    real: np.ndarray, samples: np.ndarray, *, num_neighbours: int = 3
) -> PrecisionRecall:
    """Shares within balls that reach to the k-th neighbour within the ball's own set.

    Args:
        real: Features (N, D), by any extractor.
        samples: Features (M, D), by the same.
        num_neighbours: k, at most one less than the smaller set holds.

    Raises:
        ValueError: If the sets do not compare, are not finite, or hold no k neighbours.

    Source: Improved Precision and Recall Metric (Kynkäänniemi et al., 2019), Eq. 1-2,
    arXiv:1904.06991
    """
    real, samples = checked(real, samples)
    if not 1 <= num_neighbours < min(len(real), len(samples)):
        raise ValueError(
            f"num_neighbours is from 1 to {min(len(real), len(samples)) - 1} for sets of "
            f"{len(real)} and {len(samples)}, got {num_neighbours}."
        )
    between = _distances(samples, real)
    # The nearest of its own set is the point itself.
    reach, own = (np.sort(_distances(s, s), axis=1)[:, num_neighbours] for s in (real, samples))
    precision = (between <= reach).any(axis=1).mean()
    recall = (between <= own[:, None]).any(axis=0).mean()
    return PrecisionRecall(float(precision), float(recall))


def _distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Euclidean distances (N, M)."""
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
    return np.sqrt(squares.clip(min=0))
