"""Return: the sum of rewards of an episode, of a policy beside an expert's.

Higher is better. In the units of the environment's reward; `relative` is a share of the expert's
mean return, 1 being as good as it. Sample size: one number for each episode. The interval is the
percentile bootstrap of the mean over episodes, as `scipy.stats.bootstrap(method="percentile")`
takes it, which is the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Returns", "bootstrap_mean"]


def bootstrap_mean(
    values: Sequence[float], *, confidence: float = 0.95, num_resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Confidence interval of a mean, by drawing the values again with replacement.

    Args:
        values: One for each episode.
        confidence: How often the interval shall hold the true mean.
        num_resamples: How often they are drawn again.
        seed: Of those draws.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: If there is no value, or one that is not finite.

    Source: An Introduction to the Bootstrap (Efron & Tibshirani, 1993), Sec. 13.3 (percentiles).
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ValueError(f"Expected one finite number for each episode, got {values!r:.80}.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1, got {confidence}. Use 0.95, say.")
    places = np.random.default_rng(seed).integers(len(x), size=(num_resamples, len(x)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(x[places].mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Returns:
    """Returns of a policy's episodes beside an expert's.

    Args:
        values: Of the policy, one for each episode.
        expert: Of the expert, one for each of its episodes.

    Raises:
        ValueError: If either is empty or not finite, or the expert's mean is not above zero, so
            that a share of it means nothing.
    """

    values: tuple[float, ...]
    expert: tuple[float, ...]

    def __post_init__(self) -> None:
        bootstrap_mean(self.values, num_resamples=1)
        bootstrap_mean(self.expert, num_resamples=1)
        if not np.mean(self.expert) > 0:
            raise ValueError(
                f"A share of the expert's return needs one above 0, got {np.mean(self.expert):g}."
            )

    @property
    def relative(self) -> float:
        """Mean return as a share of the expert's."""
        return float(np.mean(self.values) / np.mean(self.expert))

    def as_dict(self) -> dict[str, float | int]:
        """Means, the share with its 95 % interval, and counts, for a record."""
        expert = float(np.mean(self.expert))
        low, high = bootstrap_mean(self.values)
        return {
            "relative": round(self.relative, 4),
            "low": round(low / expert, 4),
            "high": round(high / expert, 4),
            "mean": round(float(np.mean(self.values)), 2),
            "median": round(float(np.median(self.values)), 2),
            "least": round(min(self.values), 2),
            "greatest": round(max(self.values), 2),
            "count": len(self.values),
            "expert": round(expert, 2),
            "expert_count": len(self.expert),
        }

    def __str__(self) -> str:
        own = self.as_dict()
        return (
            f"{own['relative']:6.1%}  ({own['low']:.1%} to {own['high']:.1%}, mean "
            f"{own['mean']:.0f} of {own['count']} episodes, expert {own['expert']:.0f})"
        )
