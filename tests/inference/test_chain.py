"""A chain of linear-Gaussian conditionals is one, with known mean, covariance and density."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from mmgen.chain import Chain
from mmgen.core.errors import OptionError, SpecError
from mmgen.inference import classify
from mmgen.pipeline import Pipeline

A = [[1.0, 0.5], [-0.3, 0.8]]
B = [[0.6, 0.0], [0.2, -0.4], [0.0, 0.5]]


@pytest.fixture
def first(linear: Callable[..., Pipeline]) -> Pipeline:
    return linear(A, [0.1, -0.2], 0.4)


@pytest.fixture
def second(linear: Callable[..., Pipeline]) -> Pipeline:
    return linear(B, [0.0, 0.3, 0.0], 0.5)


@pytest.fixture
def chain(first: Pipeline, second: Pipeline) -> Chain:
    return first >> second


@dataclass(frozen=True)
class Truth:
    """P(X | y): Z = 2 (A y + a + 0.4 e), X = 2 (B Z + b + 0.5 e)."""

    y: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        z = 2 * (np.array(A) @ self.y.astype(float) + [0.1, -0.2])
        return 2 * (np.array(B) @ z + [0.0, 0.3, 0.0])

    @property
    def covariance(self) -> np.ndarray:
        return 4 * (np.array(B) @ np.array(B).T * (2 * 0.4) ** 2 + 0.5**2 * np.eye(3))

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """(N,) of x (N, 3)."""
        gap = x.astype(float) - self.mean
        squares = (gap @ np.linalg.inv(self.covariance) * gap).sum(1)
        return -0.5 * (squares + np.linalg.slogdet(2 * np.pi * self.covariance)[1])


Y = np.array([0.7, -1.1], np.float32)


def test_density_is_that_of_the_closed_form(chain: Chain) -> None:
    truth = Truth(Y)
    rng = np.random.default_rng(0)
    xs = rng.multivariate_normal(truth.mean, truth.covariance, 24).astype(np.float32)
    found = chain.given([Y] * 24, num_chain_draws=300).log_prob(list(xs), seed=3)
    score = (found.nats.numpy() - truth.log_prob(xs)) / found.std_error.numpy()
    assert found.kind == "estimate"
    assert np.abs(score).max() < 4
    assert (np.abs(score) < 3).mean() > 0.9
    assert 0.5 < np.sqrt((score**2).mean()) < 1.6
    assert found.num_dims.tolist() == [3] * 24
    assert "300 draws" in found.how
    assert "exact by closed form" in found.how
    one = chain.given(Y, num_chain_draws=300).log_prob(xs[0], seed=3)
    assert torch.allclose(one.nats, found.nats[:1], atol=1e-4)


def test_more_draws_are_more_certain(chain: Chain) -> None:
    x = np.zeros(3, np.float32)
    few, many = (chain.given(Y, num_chain_draws=n).log_prob(x).std_error for n in (20, 1000))
    assert float(many) < float(few) / 3


def test_samples_have_the_moments_of_the_closed_form(chain: Chain) -> None:
    samples = np.stack(chain(Y, num_samples=1500, seed=0)).astype(float)
    truth = Truth(Y)
    std = np.sqrt(np.diag(truth.covariance))
    assert np.abs((samples.mean(0) - truth.mean) / std * 1500**0.5).max() < 4
    assert np.abs(np.cov(samples.T) - truth.covariance).max() < 0.3


def test_stages_do_not_share_their_noise(linear: Callable[..., Pipeline]) -> None:
    # X = 2 (Z + e'), Z = 2 e: with e = e' the variance would be 36 and not 20.
    add = linear([[1.0]], [0.0], 1.0)
    samples = (add >> add)(np.zeros(1, np.float32), num_samples=2000, seed=0)
    assert abs(float(np.var(np.stack(samples))) - 20) < 3


def test_a_sample_does_not_depend_on_its_neighbours(chain: Chain) -> None:
    ys = [Y, -Y, 0 * Y]
    rows = chain(ys, num_samples=2, seed=10)
    for b, y in enumerate(ys):
        for n in range(2):
            assert np.allclose(rows[b][n], chain(y, seed=10 + 2 * b + n), atol=1e-6)
    several = chain(ys, seed=[3, 3, 8])
    assert np.allclose(several[2], chain(ys[2], seed=8), atol=1e-6)


def test_options_find_their_stage(chain: Chain, second: Pipeline) -> None:
    names = {o.name for o in chain.options()}
    assert {"stage1_temperature", "stage2_temperature", "num_chain_draws"} <= names
    assert "temperature" not in names
    still = chain(Y, seed=0, stage1_temperature=0.0, stage2_temperature=0.0)
    assert np.allclose(still, Truth(Y).mean, atol=1e-5)
    with pytest.raises(OptionError, match="stage1_temperature"):
        chain(Y, temperature=0.5)
    with pytest.raises(ValueError, match="stage2_temperature is at least 0"):
        chain(Y, stage2_temperature=-1.0)


def test_three_stages_are_one_chain(first: Pipeline, second: Pipeline) -> None:
    whole = first >> first >> second
    other = first >> (first >> second)
    assert len(whole.stages) == len(other.stages) == 3
    assert np.array_equal(whole(Y, seed=4), other(Y, seed=4))
    assert whole.codec is second.codec


def test_progress_never_goes_back(chain: Chain) -> None:
    shares: list[float] = []
    chain([Y] * 300, seed=0, progress=lambda done, total: shares.append(done / total))
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) == 3


def test_each_stage_is_shown(chain: Chain) -> None:
    seen: list[tuple[int, int, Any]] = []
    value = chain(Y, seed=0, preview=lambda *told: seen.append(told))
    assert np.array_equal(value, chain(Y, seed=0))
    assert [s[:2] for s in seen] == [(1, 2), (2, 2)]


def test_a_chain_is_classified_by(chain: Chain) -> None:
    ys = [2 * Y, -2 * Y]
    x = chain(ys[1], seed=0)
    found = classify(chain, x, ys, num_chain_draws=50)
    logits = torch.tensor(np.stack([Truth(y).log_prob(x[None])[0] for y in ys]))
    assert found.best is ys[1]
    gap = found.probability - logits.softmax(0)
    assert gap.abs().max() < 0.02 + 4 * float(found.std_error.max())


def test_bad_inputs(chain: Chain, first: Pipeline, linear: Callable[..., Pipeline]) -> None:
    def fails(error: type[Exception], message: str, call: Callable[[], Any]) -> None:
        with pytest.raises(error, match=message):
            call()

    fails(TypeError, "unsupported operand", lambda: first >> "text-to-image")
    fails(TypeError, "made of pipelines, got str", lambda: Chain(first, "text-to-image"))
    fails(ValueError, "at least two stages, got 1", lambda: Chain(first))
    fails(ValueError, "at least one condition", lambda: chain([]))
    fails(ValueError, "num_samples is at least 1", lambda: chain(Y, num_samples=0))
    fails(TypeError, "num_samples is an integer", lambda: chain(Y, num_samples="3"))
    fails(ValueError, "Expected 2 seeds", lambda: chain([Y, Y], seed=[1]))
    fails(ValueError, "Expected 2 values", lambda: chain.given([Y, Y]).log_prob([Y]))
    silent = first >> linear(B, [0.0] * 3, 0.5, density=False)
    assert silent(Y, seed=0).shape == (3,)
    with pytest.raises(SpecError, match="no density"):
        silent.given(Y).log_prob(np.zeros(3, np.float32))
