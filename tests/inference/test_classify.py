"""Bayes' rule equals its closed form, and costs what it was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmgen.core.errors import OptionError, SpecError
from mmgen.inference import NoneOfThese, classify
from mmgen.inference.classify import NONE_OF_THESE
from mmgen.pipeline import Pipeline


def _candidates(count: int, dims: int = 4, spread: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [spread * rng.standard_normal(dims).astype(np.float32) for _ in range(count)]


def _closed_form(x: np.ndarray, ys: list[np.ndarray], std: float, prior: Any = None) -> Tensor:
    """Posterior of X = 2 (y + std eps) for candidates y."""
    gap = np.stack([x / 2 - y for y in ys]).astype(float)
    logits = torch.tensor(-0.5 * (gap**2).sum(1) / std**2)
    return (logits + (0 if prior is None else torch.tensor(prior).log())).softmax(0)


def test_it_is_bayes_rule(shift: Pipeline) -> None:
    ys = _candidates(5)
    prior = [0.1, 0.4, 0.2, 0.2, 0.1]
    x = shift(ys[3], seed=0)
    for given, log_prior in ((None, None), (prior, prior)):
        found = classify(shift, x, ys, prior=given)
        assert (found.probability - _closed_form(x, ys, 0.5, log_prior)).abs().max() < 1e-5
        assert found.kind == "exact"
        assert found.num_evaluations == 5
        assert not found.std_error.any()
        assert "closed form" in found.how
    assert found.best is ys[3]
    direct = shift.given(ys).log_prob([x] * 5).nats
    assert torch.allclose(found.nats.float(), direct)


def test_what_is_one_value_is_told_by_its_codec(
    shift: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    ys = _candidates(3)
    expected = classify(shift, shift(ys[1], seed=0), ys)
    # As (array, rate) is one sound.
    monkeypatch.setattr(type(shift.codec), "is_one", lambda self, x: not isinstance(x, list))
    x = tuple(float(v) for v in shift(ys[1], seed=0))
    found = classify(shift, x, ys)
    assert torch.allclose(found.probability, expected.probability)
    assert len(classify(shift, [x, x], ys)) == 2


def test_list_in_list_out(shift: Pipeline) -> None:
    ys = _candidates(3)
    xs = shift(ys, seed=5)
    options = {"budget": 60, "num_hidden_draws": 1}
    together = classify(shift, xs, ys, seed=[4, 9, 2], **options)
    assert [f.best is y for f, y in zip(together, ys, strict=True)] == [True] * 3
    alone = classify(shift, xs[1], ys, seed=9, **options)
    assert torch.allclose(alone.probability, together[1].probability)


def test_bounds_give_the_posterior_of_bounds_within_their_errors(shift: Pipeline) -> None:
    ys = _candidates(3, spread=0.3)
    x = shift(ys[0], seed=1)
    # E log N(x; h, std^2 / 2) falls with the distance to y as N(x; y, std^2 / 2) does.
    true = _closed_form(x, ys, 0.5 / 2**0.5)
    scores, errors = [], []
    for seed in range(40):
        found = classify(shift, x, ys, budget=120, seed=seed, num_hidden_draws=1)
        assert found.kind == "lower bound"
        scores.append(found.probability - true)
        errors.append(found.std_error)
    gaps, errors = torch.stack(scores), torch.stack(errors)
    assert gaps.mean(0).abs().max() < 0.05
    seen, stated = gaps.square().mean(0).sqrt(), errors.square().mean(0).sqrt()
    assert (seen / stated - 1).abs().max() < 0.5


def test_halving_finds_the_same_winner_for_less(shift: Pipeline) -> None:
    ys = _candidates(16, spread=0.7)
    budget, rounds = 512, 4
    for i in range(6):
        x = shift(ys[i], seed=i)
        found = classify(shift, x, ys, budget=budget, seed=i, num_hidden_draws=1)
        # The full budget: every candidate as often as halving scores its winner.
        most = sum(budget // (rounds * count) for count in (16, 8, 4, 2))
        full = shift.given(ys, num_hidden_draws=most).log_prob([x] * 16, seed=[i] * 16)
        assert int(found.probability.argmax()) == int(full.nats.argmax())
        assert found.num_evaluations <= budget < 0.3 * 16 * most


def test_the_budget_is_kept(shift: Pipeline) -> None:
    ys = _candidates(10)
    for budget in (80, 100, 333):
        found = classify(shift, shift(ys[0], seed=0), ys, budget=budget, num_hidden_draws=1)
        assert 0.8 * budget < found.num_evaluations <= budget


def test_shared_noise_cancels_in_differences(linear: Callable[..., Pipeline]) -> None:
    pipe = linear(torch.eye(32).tolist(), [0.0] * 32, 0.5)
    ys = _candidates(2, dims=32, spread=0.1)
    x = pipe(ys[0], seed=0)
    count = 200
    given = pipe.given([y for y in ys for _ in range(count)], num_hidden_draws=1)

    def variance(second: int) -> float:
        seeds = [*range(count), *range(second, second + count)]
        a, b = given.log_prob([x] * (2 * count), seed=seeds).nats.chunk(2)
        return float((a - b).var())

    shared, apart = variance(0), variance(count)
    assert shared < apart / 5
    # classify shares it: its errors are those of shared noise.
    found = classify(pipe, x, ys, budget=2 * count, num_hidden_draws=1)
    p = found.probability[0]
    expected = float(p * (1 - p)) * (shared / count) ** 0.5
    assert 0.7 < float(found.std_error[0]) / expected < 1.4


def test_none_of_these(shift: Pipeline, linear: Callable[..., Pipeline]) -> None:
    ys = _candidates(2)
    wide = linear(torch.zeros(4, 4).tolist(), [0.0] * 4, 3.0)
    hypothesis = NoneOfThese(prior=0.2, pipe=wide)
    near, far = shift(ys[0], seed=0), np.full(4, 9.0, np.float32)
    found, lost = classify(shift, [near, far], ys, none_of_these=hypothesis)
    assert found.best is ys[0]
    assert lost.best == NONE_OF_THESE
    direct = [shift.given(y).log_prob(near).nats.double() for y in ys]
    background = wide.given().log_prob(near).nats.double()
    logits = torch.cat((*direct, background)) + torch.tensor([0.4, 0.4, 0.2]).double().log()
    assert torch.allclose(found.probability, logits.softmax(0))


def test_the_own_unconditional_is_a_background(shift: Pipeline) -> None:
    found = classify(shift, np.zeros(4, np.float32), _candidates(2), none_of_these=NoneOfThese())
    assert found.best == NONE_OF_THESE
    assert found.candidates[-1] == NONE_OF_THESE
    assert abs(float(found.probability.sum()) - 1) < 1e-9


def test_diffusion_is_scored_by_its_bound(digits_pipe: Pipeline) -> None:
    x = digits_pipe("a", seed=0, num_inference_steps=2)
    found = classify(digits_pipe, x, ["a", "b", "c"], budget=12, num_bound_draws=2)
    assert found.kind == "lower bound"
    assert "2 draws" in found.how
    assert found.num_evaluations <= 12
    assert (found.nats_error > 0).all()
    again = classify(digits_pipe, x, ["a", "b", "c"], budget=12, num_bound_draws=2)
    assert torch.equal(found.probability, again.probability)


def test_impossible_prior_rules_out(shift: Pipeline) -> None:
    ys = _candidates(2)
    found = classify(shift, shift(ys[0], seed=0), ys, prior=[0.0, 1.0])
    assert found.probability.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"candidates": []}, ValueError, "at least one candidate, got none"),
        ({"candidates": "cat"}, TypeError, "a list of conditions, got 'cat'"),
        ({"prior": [0.5, 0.5]}, ValueError, r"each of 3 candidates, got shape \(2,\)"),
        ({"prior": [0.5, 0.5, 0.5]}, ValueError, "these sum to 1.5"),
        ({"prior": [1.5, -0.5, 0.0]}, ValueError, "sum to 1"),
        ({"budget": 2}, ValueError, "each of 3 hypotheses, got 2"),
        ({"budget": 5, "num_hidden_draws": 1}, ValueError, "budget of at least 12 evaluations"),
        ({"num_steps": 3}, OptionError, "num_steps"),
        ({"x": []}, ValueError, "at least one value"),
    ],
)
def test_bad_inputs(
    shift: Pipeline, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    settings = {"x": np.zeros(4, np.float32), "candidates": _candidates(3)} | arguments
    with pytest.raises(error, match=message):
        classify(shift, **settings)


def test_no_density_is_an_error(linear: Callable[..., Pipeline]) -> None:
    pipe = linear([[1.0]], [0.0], 1.0, density=False)
    with pytest.raises(SpecError, match="Drawn can be sampled but has no density"):
        classify(pipe, np.zeros(1, np.float32), [np.zeros(1, np.float32)])


def test_bad_background(shift: Pipeline) -> None:
    with pytest.raises(ValueError, match="between 0 and 1, got 1.0"):
        NoneOfThese(prior=1.0)
    hypothesis = NoneOfThese(options={"num_hidden_draws": 1})
    with pytest.raises(ValueError, match="Options of none_of_these"):
        classify(shift, np.zeros(4, np.float32), _candidates(2), none_of_these=hypothesis)


def test_not_a_number_is_an_error(shift: Pipeline) -> None:
    with pytest.raises(ValueError, match="not a number"):
        classify(shift, np.full(4, np.nan, np.float32), _candidates(2))
