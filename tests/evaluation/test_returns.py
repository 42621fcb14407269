"""Returns beside an expert's, and their interval beside scipy's."""

from __future__ import annotations

import numpy as np
import pytest

from mmgen.evaluation.metrics.returns import Returns, bootstrap_mean


def test_the_interval_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    x = np.random.default_rng(0).exponential(size=50) * 100
    low, high = bootstrap_mean(x.tolist())
    found = stats.bootstrap((x,), np.mean, method="percentile", rng=np.random.default_rng(1))
    # Two sets of resamples differ by their own noise.
    assert low == pytest.approx(found.confidence_interval.low, abs=1.0)
    assert high == pytest.approx(found.confidence_interval.high, abs=1.0)


def test_it_holds_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    draws = (bootstrap_mean(rng.normal(3, 2, 50).tolist(), num_resamples=500) for _ in range(300))
    assert 0.90 <= np.mean([low <= 3 <= high for low, high in draws]) <= 0.98


def test_share_of_the_expert() -> None:
    found = Returns((50.0, 150.0), (180.0, 220.0))
    assert found.relative == 0.5
    record = found.as_dict()
    assert record["low"] == 0.25 and record["high"] == 0.75
    assert (record["count"], record["expert"], record["least"]) == (2, 200.0, 50.0)


@pytest.mark.parametrize("values", [(), (1.0, float("nan"))])
def test_no_number_is_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="one finite number for each episode"):
        Returns(values, (1.0,))


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0, got -2"):
        Returns((1.0,), (-2.0,))
