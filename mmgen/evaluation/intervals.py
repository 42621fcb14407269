"""How far a measured share may be off."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

__all__ = ["Proportion", "wilson"]


def wilson(successes: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a binomial proportion.

    With p = successes / n and z the normal quantile at (1 + confidence) / 2, it is

        (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n),

    which stays within [0, 1] and is not empty at p = 0 or 1, as p -+ z sqrt(p (1 - p) / n) is.

    Args:
        successes: How many trials succeeded.
        count: n, how many trials there were.
        confidence: How often the interval shall hold the true proportion.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: If there are no trials, more successes than trials, or no such confidence.

    Source: Probable Inference, the Law of Succession, and Statistical Inference (Wilson, 1927),
    J. Am. Stat. Assoc. 22(158); as Eq. 4 of Interval Estimation for a Binomial Proportion (Brown,
    Cai & DasGupta, 2001), doi:10.1214/ss/1009213286.
    """
    if count < 1 or not 0 <= successes <= count:
        raise ValueError(
            f"Expected at least one trial and from 0 to all of them successful, got {successes} "
            f"of {count}. Leave out what was never tried."
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1, got {confidence}. Use 0.95, say.")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = successes / count
    centre = p + z**2 / (2 * count)
    half = z * (p * (1 - p) / count + z**2 / (4 * count**2)) ** 0.5
    scale = 1 + z**2 / count
    # At p = 0 and p = 1 one end is p itself, which rounding would miss.
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == count else (centre + half) / scale
    return low, high


@dataclass(frozen=True)
class Proportion:
    """A share of trials that succeeded, with its 95 % interval.

    Args:
        successes: How many did.
        count: How many trials there were, at least one.
    """

    successes: int
    count: int

    def __post_init__(self) -> None:
        wilson(self.successes, self.count)

    def __str__(self) -> str:
        low, high = wilson(self.successes, self.count)
        return f"{self.share:6.1%}  ({low:.1%} to {high:.1%}, {self.successes} of {self.count})"

    @property
    def share(self) -> float:
        """successes / count."""
        return self.successes / self.count

    def as_dict(self) -> dict[str, float | int]:
        """The share, its interval and its counts, for a record."""
        low, high = wilson(self.successes, self.count)
        return {
            "share": round(self.share, 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "successes": self.successes,
            "count": self.count,
        }
