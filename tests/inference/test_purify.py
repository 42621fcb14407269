"""Purification moves towards higher density, and never further than it may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from mmgen.core.errors import SpecError
from mmgen.inference import purify
from mmgen.pipeline import Pipeline


def test_density_grows_within_the_ball(linear: Callable[..., Pipeline]) -> None:
    pipe = linear(torch.zeros(8, 1).tolist(), [1.0] * 8, 0.5)
    x = np.linspace(-3, 5, 8).astype(np.float32)
    found = purify(pipe, x, radius=0.5, num_steps=8, num_draws=16)
    assert np.abs(found.value - x).max() <= 0.5 + 1e-5
    assert found.moved == pytest.approx(float(np.abs(found.value - x).max()), abs=1e-5)
    # The likeliest value within reach is x moved by all of the radius towards 2.
    best = x + np.clip(2 - x, -0.5, 0.5)
    most = pipe.given().log_prob(best).nats
    shares = (found.after.nats - found.before.nats) / (most - pipe.given().log_prob(x).nats)
    assert float(shares) > 0.9


def test_an_entry_in_place_stays(linear: Callable[..., Pipeline]) -> None:
    pipe = linear(torch.zeros(4, 1).tolist(), [0.0] * 4, 0.5)
    found = purify(pipe, np.zeros(4, np.float32), radius=1.0)
    assert float(found.after.nats) >= float(found.before.nats)
    assert np.abs(found.value).max() < 0.3


def test_pixels_move_no_further_than_so_many_steps(digits_pipe: Pipeline) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    found = purify(digits_pipe, x, "a", radius=6, num_steps=2, num_draws=2, num_bound_draws=4)
    change = np.abs(np.asarray(found.value).astype(int) - x.astype(int))
    assert change.max() == 6
    assert found.moved == pytest.approx(6, rel=1e-3)
    assert found.after.kind == "lower bound"
    again = purify(digits_pipe, x, "a", radius=6, num_steps=2, num_draws=2, num_bound_draws=4)
    assert np.array_equal(np.asarray(found.value), np.asarray(again.value))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"radius": 0.0}, "greater than 0, got 0.0"),
        ({"radius": float("nan")}, "greater than 0, got nan"),
        ({"radius": 1.0, "num_steps": 0}, "1 or more, got 0 and 8"),
        ({"radius": 1.0, "noise": 1.0}, "between 0 and 1, got 1.0"),
    ],
)
def test_bad_numbers(shift: Pipeline, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        purify(shift, np.zeros(4, np.float32), **settings)


def test_no_density_is_an_error(linear: Callable[..., Pipeline]) -> None:
    silent = linear([[1.0]], [0.0], 1.0, density=False)
    with pytest.raises(SpecError, match="no density"):
        purify(silent, np.zeros(1, np.float32), radius=1.0)
