"""A channel in the other direction mends what the direct model is prone to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from mmgen.core.errors import SpecError
from mmgen.inference import rerank
from mmgen.pipeline import Pipeline

Y = np.array([0.5, -1.0], np.float32)


@pytest.fixture
def direct(linear: Callable[..., Pipeline]) -> Pipeline:
    """P(X | Y) that knows the first half of y alone: X = 2 ((y_1, 0) + eps)."""
    return linear([[1.0, 0.0], [0.0, 0.0]], [0.0, 0.0], 1.0)


@pytest.fixture
def channel(linear: Callable[..., Pipeline]) -> Pipeline:
    """P(Y | X) that knows all of x: Y = 2 (x / 4 + eps / 4)."""
    return linear([[0.25, 0.0], [0.0, 0.25]], [0.0, 0.0], 0.25)


def _array(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_the_channel_prefers_what_explains_all_of_y(direct: Pipeline, channel: Pipeline) -> None:
    lazy, faithful = _array(1.0, 0.0), _array(1.0, -2.0)
    alone = rerank(direct, Y, [faithful, lazy])
    assert alone[0].value is lazy
    both = rerank(direct, Y, [lazy, faithful], channel=channel)
    assert both[0].value is faithful
    assert both[0].score > both[1].score
    weak = rerank(direct, Y, [lazy, faithful], channel=channel, weight=0.01)
    assert weak[0].value is lazy


def test_scores_are_the_sums_they_say(direct: Pipeline, channel: Pipeline) -> None:
    xs = [_array(1.0, 0.0), _array(0.3, -2.0), _array(0.0, 1.0)]
    ranked = rerank(direct, Y, xs, channel=channel, prior=direct, weight=(0.7, 0.2))
    for found in ranked:
        x = found.value
        terms = {
            "direct": float(direct.given(Y).log_prob(x).nats),
            "channel": float(channel.given(x).log_prob(Y).nats),
            "prior": float(direct.given().log_prob(x).nats),
        }
        assert found.terms == pytest.approx(terms, abs=1e-5)
        total = terms["direct"] + 0.7 * terms["channel"] + 0.2 * terms["prior"]
        assert found.score == pytest.approx(total, abs=1e-5)
        assert found.std_error == 0
    assert [r.score for r in ranked] == sorted((r.score for r in ranked), reverse=True)
    halved = rerank(direct, Y, xs, per_dim=True)
    assert halved[0].score == pytest.approx(halved[0].terms["direct"])
    assert halved[0].score == pytest.approx(rerank(direct, Y, xs)[0].score / 2)


def test_a_sampler_without_density_is_ranked_by_its_channel(
    linear: Callable[..., Pipeline], channel: Pipeline
) -> None:
    silent = linear(torch.eye(2).tolist(), [0.0, 0.0], 1.0, density=False)
    xs = silent(Y, num_samples=16, seed=0)
    with pytest.raises(SpecError, match="no density"):
        rerank(silent, Y, xs)
    best = rerank(None, Y, xs, channel=channel)[0].value
    gaps = [float(np.square(x / 2 - Y).sum()) for x in xs]
    assert best is xs[int(np.argmin(gaps))]


def test_bad_inputs(direct: Pipeline) -> None:
    with pytest.raises(ValueError, match="at least one candidate, got none"):
        rerank(direct, Y, [])
    with pytest.raises(TypeError, match="a list of values, got 'text'"):
        rerank(direct, Y, "text")
    with pytest.raises(ValueError, match="nothing to rank by"):
        rerank(None, Y, [Y])
