"""Flows: their map is a bijection with the determinant they say, and they learn known laws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.latent import Latent
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.normalizing_flow import NormalizingFlow
from mmgen.families.normalizing_flow.mixing import Mixing
from mmgen.families.normalizing_flow.spline import rational_quadratic

if TYPE_CHECKING:
    from conftest import Law

LAYOUTS = {
    "number": (1,),
    "numbers": (5,),
    "sequence": (4, 3),
    "steps": (4, 1),
    "image": (2, 4, 4),
    "film": (2, 2, 4, 2),
}


def _generic(spec: Spec, condition: ConditionSpec | None = None) -> NormalizingFlow:
    torch.manual_seed(0)
    model = NormalizingFlow.debug(spec=spec, condition=condition)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.requires_grad_(False)


def test_a_spline_is_monotonic_and_inverts() -> None:
    x = torch.linspace(-4, 4, 401).double()
    raw = 2 * torch.randn(23, generator=torch.Generator().manual_seed(0)).double()
    raw = raw.expand(401, -1)
    y, log_slope = rational_quadratic(x, raw, bound=3.0)
    assert (y.diff() > 0).all()
    assert torch.equal(y[x.abs() >= 3], x[x.abs() >= 3])
    back, log_back = rational_quadratic(y, raw, bound=3.0, inverse=True)
    assert (back - x).abs().max() < 1e-9
    assert (log_back + log_slope).abs().max() < 1e-9
    above, _ = rational_quadratic(x + 1e-6, raw, bound=3.0)
    below, _ = rational_quadratic(x - 1e-6, raw, bound=3.0)
    off_knots = x.abs() < 2.9
    slope = ((above - below) / 2e-6)[off_knots]
    assert (slope.log() - log_slope[off_knots]).abs().max() < 1e-3
    flat, _ = rational_quadratic(x, torch.zeros(401, 23).double(), bound=3.0)
    assert (flat - x).abs().max() < 1e-12


@pytest.mark.parametrize("num_features", [1, 3, 65])
def test_a_mixing_inverts(num_features: int) -> None:
    mixing = Mixing(num_features).requires_grad_(False)
    for parameter in mixing.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    z = torch.randn(2, num_features, 3, 5)
    y, log_det = mixing(z, axis=-3)
    back, log_back = mixing(y, axis=-3, inverse=True)
    assert (back - z).abs().max() < 1e-4
    assert log_det == -log_back


@pytest.mark.parametrize("layout", LAYOUTS)
def test_codes_invert_and_the_determinant_is_right(layout: str) -> None:
    shape = LAYOUTS[layout]
    model = _generic(Spec("any", "continuous", shape), ConditionSpec(None, 3))
    c = Condition(2, vector=torch.randn(2, 3))
    z = torch.randn(2, *shape)
    conditional = model(c)
    code = conditional.encode(Latent(z))
    assert (code - z).abs().max() > 1e-2
    assert (conditional.decode(code).z - z).abs().max() < 1e-4
    _, log_det = model.to_noise(z, c)
    for b in range(2):
        one = c.select(torch.tensor([b]))

        def noise(x: Tensor, *, one: Condition = one) -> Tensor:
            return model.to_noise(x.reshape(1, *shape), one)[0].flatten()

        jacobian = torch.autograd.functional.jacobian(noise, z[b].flatten())
        assert abs(torch.linalg.slogdet(jacobian.double())[1] - log_det[b]) < 1e-3
        if layout != "number":
            # Every entry of the noise depends on every entry of the latent.
            assert (jacobian.abs() > 0).float().mean() > 0.95


def test_a_density_of_one_number_integrates_to_one() -> None:
    model = _generic(Spec("properties", "continuous", (1,)), ConditionSpec(None, 1))
    z = torch.linspace(-30, 30, 20_001)[:, None]
    for value in (-1.0, 2.0):
        c = Condition(len(z), vector=torch.full((len(z), 1), value))
        total = torch.trapezoid(model(c).log_prob(Latent(z)).nats.exp(), z[:, 0])
        assert abs(total - 1) < 1e-3


def test_it_learns_a_linear_law(linear: Law) -> None:
    model = NormalizingFlow(linear.spec, condition=linear.condition, num_layers=4, dim=32, depth=1)
    model = linear.fit(model, steps=100, rate=4e-3)
    gap, error = linear.gap(model)
    assert -0.1 < gap < 3 * error, f"gap {gap:.3f} +- {error:.3f} nats"
    assert linear.accuracy(model) < 0.6


def test_it_learns_two_moons(moons: Law) -> None:
    model = NormalizingFlow(moons.spec, condition=moons.condition, num_layers=4, dim=48, depth=1)
    model = moons.fit(model, steps=400, rate=3e-3)
    gap, error = moons.gap(model)
    assert -0.13 < gap < 3 * error, f"gap {gap:.3f} +- {error:.3f} nats"
    assert moons.accuracy(model) < 0.6
