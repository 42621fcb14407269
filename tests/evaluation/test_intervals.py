"""Intervals of proportions against published numbers and against their definition."""

from __future__ import annotations

import pytest

from mmgen.evaluation.intervals import Proportion, wilson


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [
        # Newcombe (1998), Statist. Med. 17, 857-872, Table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_numbers(
    successes: int, count: int, low: float, high: float
) -> None:
    found = wilson(successes, count)
    assert found == pytest.approx((low, high), abs=5.1e-5)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize(("successes", "count"), [(0, 1), (1, 1), (0, 500), (500, 500), (3, 17)])
def test_wilson_holds_the_share_and_mirrors(successes: int, count: int, confidence: float) -> None:
    low, high = wilson(successes, count, confidence)
    assert 0 <= low <= successes / count <= high <= 1
    assert low < high
    mirrored = wilson(count - successes, count, confidence)
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-12)


def test_wilson_narrows_with_trials_and_widens_with_confidence() -> None:
    widths = [high - low for low, high in (wilson(n // 2, n) for n in (10, 100, 1000))]
    assert widths == sorted(widths, reverse=True)
    widths = [high - low for low, high in (wilson(5, 10, c) for c in (0.5, 0.9, 0.99))]
    assert widths == sorted(widths)


@pytest.mark.parametrize(("successes", "count"), [(0, 0), (2, 1), (-1, 4)])
def test_wilson_refuses_counts_that_are_none(successes: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"got {successes} of {count}"):
        wilson(successes, count)
    with pytest.raises(ValueError, match=f"got {successes} of {count}"):
        Proportion(successes, count)


def test_wilson_refuses_a_confidence_of_one() -> None:
    with pytest.raises(ValueError, match="between 0 and 1, got 1.0"):
        wilson(1, 2, 1.0)


def test_proportion_says_share_interval_and_counts() -> None:
    found = Proportion(81, 263)
    assert found.as_dict() == {
        "share": 0.308,
        "low": 0.2553,
        "high": 0.3662,
        "successes": 81,
        "count": 263,
    }
    assert str(found).split() == ["30.8%", "(25.5%", "to", "36.6%,", "81", "of", "263)"]
