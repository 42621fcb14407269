"""Times of several things side by side, and their spread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

__all__ = ["Spread", "interleave", "ratio"]


@dataclass(frozen=True)
class Spread:
    """The middle half of repeated measurements.

    Args:
        median: Half of them lie below.
        low: A quarter of them lies below.
        high: A quarter of them lies above.
        repeats: How many there are.
    """

    median: float
    low: float
    high: float
    repeats: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        low, median, high = np.percentile(values, (25, 50, 75)).tolist()
        return cls(*(float(f"{v:.5g}") for v in (median, low, high)), len(values))

    def as_dict(self) -> dict[str, float | int]:
        return asdict(self)


def interleave(cases: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each repeat of each case, taken in turns, so that what else the machine does
    falls on all of them. Each runs once before, untimed."""
    for case in cases.values():
        case()
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            started = time.perf_counter()
            case()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """The quotient in each repeat."""
    return [a / b for a, b in zip(over, under, strict=True)]
