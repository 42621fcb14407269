"""A trained model is P(X | Y): its samples and its density are those of a known answer."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.evaluation.two_sample import c2st, energy_test
from mmgen.families.diffusion import Diffusion
from mmgen.families.diffusion.conditional import DiffusionConditional
from mmgen.families.diffusion.samplers import SAMPLERS
from mmgen.families.diffusion.times import UniformTimes
from mmgen.nn.mlp import ConditionalMLP

STD = torch.tensor([0.35, 0.55])
HELD_OUT = 2000
CHEAP = {"num_folds": 2, "steps": 250}


def _components(y: Tensor) -> tuple[Tensor, Tensor]:
    """Means (B, 2, 2) and weights (B, 2) of the mixture for conditions y (B, 2)."""
    turned = 0.8 * torch.stack((-y[:, 1], y[:, 0]), dim=1)
    weights = torch.stack((torch.sigmoid(y[:, 0]), torch.sigmoid(-y[:, 0])), dim=1)
    return torch.stack((y, turned), dim=1), weights


def _pairs(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """x (count, 2) and their conditions y (count, 2)."""
    y = torch.randn(count, 2, generator=generator).clamp(-2, 2)
    means, weights = _components(y)
    k = torch.multinomial(weights, 1, generator=generator)[:, 0]
    noise = torch.randn(count, 2, generator=generator)
    return means[torch.arange(count), k] + STD[k, None] * noise, y


def _true_log_prob(x: Tensor, y: Tensor) -> Tensor:
    means, weights = _components(y)
    squares = (x[:, None] - means).square().sum(2)
    logs = weights.log() - 2 * STD.log() - math.log(2 * math.pi) - 0.5 * squares / STD**2
    return logs.logsumexp(1)


@pytest.fixture(scope="module")
def model() -> Diffusion:
    """A small network trained on fresh pairs; its averaged weights."""
    num_steps, rate = 1000, 4e-3
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ConditionalMLP(2, dim=64, depth=3, condition=ConditionSpec(vector_dim=2))
    spec = Spec("properties", "continuous", (2,))
    trained = Diffusion(network, spec=spec, times=UniformTimes(), least_time=5e-3)
    averaged = copy.deepcopy(trained).requires_grad_(False)
    optimizer = torch.optim.Adam(trained.parameters(), lr=rate, betas=(0.9, 0.99), fused=True)
    for step in range(num_steps):
        x, y = _pairs(384, generator)
        loss = trained.loss(Latent(x), Condition(384, vector=y), generator=generator).mean()
        optimizer.zero_grad()
        loss.backward()
        cosine = 0.5 + 0.5 * math.cos(math.pi * step / num_steps)
        optimizer.param_groups[0]["lr"] = rate * min(1, step / 100) * cosine
        optimizer.step()
        with torch.no_grad():
            share = 1 - min(0.99, (1 + step) / (10 + step))
            torch._foreach_lerp_(
                list(averaged.parameters()), [p.detach() for p in trained.parameters()], share
            )
    return averaged


@pytest.fixture(scope="module")
def held_out() -> tuple[Tensor, Tensor]:
    """Pairs that were not trained on."""
    return _pairs(HELD_OUT, torch.Generator().manual_seed(1))


def _conditional(model: Diffusion, y: Tensor, **options: object) -> DiffusionConditional:
    return dataclasses.replace(model(Condition(len(y), vector=y), **options), rows=len(y))


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_pass_two_sample_tests(
    model: Diffusion, held_out: tuple[Tensor, Tensor], name: str
) -> None:
    x, y = held_out
    seeds = Generators.from_seed(0, num_samples=1, batch=HELD_OUT)
    steps = 60 if name in ("euler", "ancestral") else 20
    z = _conditional(model, y, sampler=name, num_inference_steps=steps).sample(1, seeds).z[0]
    # Other conditions than those sampled for, so that the two samples are independent.
    fresh = torch.cat(_pairs(HELD_OUT, torch.Generator().manual_seed(2)), dim=1)
    drawn = torch.cat((z, y), dim=1)
    accuracy = c2st(drawn, fresh, seed=0, **CHEAP)
    assert accuracy < 0.53, f"C2ST {accuracy:.3f}"
    p_value = energy_test(drawn[:1000], fresh[:1000], seed=0)
    assert p_value > 0.01, f"p = {p_value:.3f}"


def test_density_is_the_true_one(model: Diffusion, held_out: tuple[Tensor, Tensor]) -> None:
    x, y = (part[:300] for part in held_out)
    found = _conditional(model, y).log_prob(Latent(x))
    gap = (found.nats - _true_log_prob(x, y)).mean()
    assert found.kind == "exact"
    assert abs(gap) < 0.03, f"gap {gap:.4f} nats"


def test_bound_is_below_the_density(model: Diffusion, held_out: tuple[Tensor, Tensor]) -> None:
    x, y = held_out
    seeds = Generators.from_seed(0, num_samples=1, batch=HELD_OUT)
    found = _conditional(model, y, likelihood="bound").log_prob(Latent(x), seeds)
    gap = (found.nats - _true_log_prob(x, y)).mean()
    error = found.std_error.square().sum().sqrt() / HELD_OUT
    # It is 0.18 below on one machine, and the last bits of a thousand steps move it.
    assert -0.36 < gap < 3 * error, f"gap {gap:.4f} +- {error:.4f} nats"


def test_wrong_samples_fail_two_sample_tests(held_out: tuple[Tensor, Tensor]) -> None:
    x, y = held_out
    fresh = torch.cat(_pairs(HELD_OUT, torch.Generator().manual_seed(2)), dim=1)
    wide = torch.cat((1.15 * x, y), dim=1)
    assert c2st(wide, fresh, seed=0, **CHEAP) > 0.53
    assert energy_test(1.3 * x[:1000], fresh[:1000, :2], seed=0) < 0.01
    # The right x for the wrong y: only their joint law tells.
    shuffled = torch.cat((x, y.roll(1, dims=0)), dim=1)
    assert c2st(shuffled[:1000], fresh[:1000], seed=0, **CHEAP) > 0.6
