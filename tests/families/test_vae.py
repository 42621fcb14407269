"""Variational autoencoders: their bounds are bounds, and they learn known laws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch

from mmgen.core.condition import Condition
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.vae import VariationalAutoencoder

if TYPE_CHECKING:
    from conftest import Law


@pytest.fixture
def generic() -> VariationalAutoencoder:
    """A tiny one of a single number and a single code, at a generic point."""
    torch.manual_seed(3)
    spec = Spec("properties", "continuous", (1,))
    model = VariationalAutoencoder(
        spec, condition=ConditionSpec(None, 1), code_dim=1, dim=32, depth=1
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.requires_grad_(False)


def _true_log_prob(model: VariationalAutoencoder, z: torch.Tensor, c: Condition) -> torch.Tensor:
    """log int p(z | h, c) p(h | c) dh on a grid of codes."""
    prior = model.prior_of(c)
    steps = torch.linspace(-8, 8, 801)
    logs = torch.stack(
        [
            model.log_likelihood(z, prior.at(step.expand(len(z), 1)), c)
            - 0.5 * (step**2 + math.log(2 * math.pi))
            for step in steps
        ]
    )
    return logs.logsumexp(0) + math.log(steps[1] - steps[0])


def test_bounds_lie_below_the_density_and_close_in(generic: VariationalAutoencoder) -> None:
    count = 64
    z, c = 0.7 * torch.randn(count, 1), Condition(count, vector=torch.randn(count, 1))
    truth = _true_log_prob(generic, z, c)
    gaps = []
    for options in (
        {"likelihood": "elbo", "num_importance_draws": 500},
        {"likelihood": "importance", "num_importance_draws": 5},
        {"likelihood": "importance", "num_importance_draws": 500},
    ):
        seeds = Generators.from_seed(0, num_samples=1, batch=count)
        found = generic(c, **options).log_prob(Latent(z), seeds)
        assert found.kind == "lower bound"
        gap, error = found.nats - truth, found.std_error.square().sum().sqrt() / count
        assert gap.mean() < 3 * error
        gaps.append(float(gap.mean()))
    assert gaps[0] < gaps[1] < gaps[2]
    assert gaps[2] > -0.02


def test_standard_errors_are_those_of_repetition(generic: VariationalAutoencoder) -> None:
    count = 400
    z, c = torch.full((count, 1), 0.5), Condition(count, vector=torch.zeros(count, 1))
    for likelihood in ("elbo", "importance"):
        seeds = Generators.from_seed(0, num_samples=1, batch=count)
        found = generic(c, likelihood=likelihood, num_importance_draws=200).log_prob(
            Latent(z), seeds
        )
        assert 0.7 < found.nats.std() / found.std_error.mean() < 1.4


def test_codes_are_in_units_of_the_prior(generic: VariationalAutoencoder) -> None:
    c = Condition(3, vector=torch.tensor([[0.0], [1.0], [-1.0]]))
    conditional = generic(c, noise_scale=0.0)
    code = torch.tensor([[0.5], [-1.0], [2.0]])
    prior = generic.prior_of(c)
    assert torch.equal(conditional.decode(code).z, generic.mean_of(prior.at(code), c))
    z = torch.randn(3, 1)
    posterior = generic.posterior_of(z, c)
    found = prior.at(conditional.encode(Latent(z)))
    assert torch.allclose(found, posterior.mean, atol=1e-5)
    # Without noise a sample is the mean for the code that its generator draws.
    drawn = conditional.sample(1, Generators([[1, 2, 3]])).z[0]
    noise = Generators([[1, 2, 3]]).randn(1)[0]
    assert torch.equal(conditional.decode(noise).z, drawn)


def test_it_learns_a_linear_law(linear: Law) -> None:
    model = VariationalAutoencoder(
        linear.spec, condition=linear.condition, code_dim=2, dim=48, depth=2
    )
    model = linear.fit(model, steps=200, rate=5e-3)
    for likelihood in ("elbo", "importance"):
        gap, error = linear.gap(model, likelihood=likelihood, num_importance_draws=32)
        assert -0.3 < gap < 3 * error, f"{likelihood}: gap {gap:.3f} +- {error:.3f} nats"
    assert linear.accuracy(model) < 0.6


def test_it_learns_two_moons(moons: Law) -> None:
    model = VariationalAutoencoder(
        moons.spec,
        condition=moons.condition,
        code_dim=3,
        dim=48,
        depth=2,
        num_training_draws=4,
    )
    model = moons.fit(model, steps=350, rate=6e-3)
    gap, error = moons.gap(model, likelihood="importance", num_importance_draws=32)
    assert -0.6 < gap < 3 * error, f"gap {gap:.3f} +- {error:.3f} nats"
    assert moons.accuracy(model) < 0.6
