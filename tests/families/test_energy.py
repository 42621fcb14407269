"""Energy-based models: their chain and their constant are right, and they learn known laws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.energy import EnergyBased

if TYPE_CHECKING:
    from conftest import Law


@pytest.fixture
def generic() -> EnergyBased:
    """A tiny one of a single number, far from Gaussian."""
    torch.manual_seed(0)
    spec = Spec("properties", "continuous", (1,))
    model = EnergyBased.debug(spec=spec, condition=ConditionSpec(None, 1))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        model.network.net.out.weight.mul_(6.0)
    return model.requires_grad_(False)


def _density(model: EnergyBased, z: Tensor, value: float, draws: int) -> tuple[Tensor, Tensor]:
    """log p of z (M,), its constant the same for all of them, and the error of it."""
    c = Condition(len(z), vector=torch.full((len(z), 1), value))
    seeds = Generators([[0] * len(z)])
    found = model(c, num_importance_draws=draws).log_prob(Latent(z[:, None]), seeds)
    return found.nats, found.std_error


@pytest.mark.parametrize("value", [-1.0, 1.5])
def test_a_density_of_one_number_integrates_to_one(generic: EnergyBased, value: float) -> None:
    z = torch.linspace(-12, 12, 201)
    nats, error = _density(generic, z, value, 1000)
    total = torch.trapezoid(nats.exp(), z)
    assert abs(total.log()) < 3 * error[0]
    assert error[0] < 0.1


def test_chains_follow_the_density(generic: EnergyBased) -> None:
    # Begun at one draw of the Gaussian, so that the chain has all the work to do.
    count = 2000
    c = Condition(count, vector=torch.full((count, 1), 1.5))
    seeds = Generators.from_seed(0, num_samples=1, batch=count)
    chains = generic(c, num_proposals=1, num_inference_steps=60, step_size=0.8)
    drawn = chains.sample(1, seeds).z[0, :, 0].sort().values
    z = torch.linspace(-12, 12, 801)
    weights = _density(generic, z, 1.5, 2)[0].exp()
    share = weights.cumsum(0) / weights.sum()
    found = torch.searchsorted(drawn, z) / count
    base = generic.base_of(c.select(torch.tensor([0])))
    gaussian = torch.distributions.Normal(base[0][0], base[1][0].exp()).cdf(z)
    # The greatest difference of distribution functions, of which 1.63 / sqrt(n) is the 1 % level.
    assert (found - share).abs().max() < 1.63 / math.sqrt(count)
    assert (gaussian - share).abs().max() > 0.06


def test_proposals_alone_are_resampled_by_weight(generic: EnergyBased) -> None:
    count = 2000
    c = Condition(count, vector=torch.full((count, 1), 1.5))
    seeds = Generators.from_seed(0, num_samples=1, batch=count)
    drawn = generic(c, num_proposals=64, num_inference_steps=0).sample(1, seeds).z[0, :, 0]
    z = torch.linspace(-12, 12, 801)
    weights = _density(generic, z, 1.5, 2)[0].exp()
    share = weights.cumsum(0) / weights.sum()
    found = torch.searchsorted(drawn.sort().values, z) / count
    assert (found - share).abs().max() < 1.63 / math.sqrt(count) + 0.01


def test_it_learns_a_linear_law(linear: Law) -> None:
    model = EnergyBased(linear.spec, condition=linear.condition, dim=48, depth=2)
    model = linear.fit(model, steps=100, rate=5e-3)
    gap, error = linear.gap(model, num_importance_draws=64)
    assert abs(gap) < 0.1 + 3 * error, f"gap {gap:.3f} +- {error:.3f} nats"
    assert linear.accuracy(model) < 0.7


def test_it_learns_two_moons(moons: Law) -> None:
    model = EnergyBased(moons.spec, condition=moons.condition, dim=48, depth=2, num_noise=4)
    model = moons.fit(model, steps=300, rate=4e-3)
    gap, error = moons.gap(model, num_importance_draws=128)
    assert abs(gap) < 0.2 + 3 * error, f"gap {gap:.3f} +- {error:.3f} nats"
    assert moons.accuracy(model) < 0.7
