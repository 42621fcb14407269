"""The algebra of data, noise and velocity."""

from __future__ import annotations

import pytest
import torch

from mmgen.families.diffusion.path import TARGETS, GaussianPath, Straight, expand
from mmgen.families.diffusion.times import (
    LogitNormalTimes,
    UniformTimes,
    shift_times,
    step_times,
)


def _draws() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x_0 = torch.randn(9, 2, 3, generator=generator).double()
    eps = torch.randn(9, 2, 3, generator=generator).double()
    return x_0, eps, torch.linspace(0.05, 0.95, 9, dtype=torch.float64)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_gives_back_the_data(path: GaussianPath, target: str) -> None:
    x_0, eps, t = _draws()
    z = path.mix(x_0, eps, t)
    prediction = {"data": x_0, "noise": eps, "velocity": path.velocity(x_0, eps, t)}[target]
    assert torch.allclose(path.data_of(z, prediction, t, target=target), x_0, atol=1e-12)
    assert torch.allclose(path.noise_of(z, x_0, t), eps, atol=1e-12)


def test_velocity_prediction_gives_data_at_both_ends(path: GaussianPath) -> None:
    x_0, eps, _ = _draws()
    for end in (0.0, 1.0):
        t = torch.full((9,), end, dtype=torch.float64)
        z, v = path.mix(x_0, eps, t), path.velocity(x_0, eps, t)
        assert torch.allclose(path.data_of(z, v, t, target="velocity"), x_0, atol=1e-12)


def test_slopes_are_derivatives(path: GaussianPath) -> None:
    t = torch.linspace(0.05, 0.95, 7, dtype=torch.float64, requires_grad=True)
    for value, slope in ((path.alpha, path.alpha_slope), (path.sigma, path.sigma_slope)):
        (derivative,) = torch.autograd.grad(value(t).sum(), t)
        assert torch.allclose(derivative, slope(t), atol=1e-12)


def test_ends_are_data_and_noise(path: GaussianPath) -> None:
    x_0, eps, _ = _draws()
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert torch.equal(path.mix(x_0, eps, ends[0]), x_0)
    assert torch.allclose(path.mix(x_0, eps, ends[1]), eps, atol=1e-15)


def test_time_at_inverts_log_snr(path: GaussianPath) -> None:
    t = torch.linspace(0.01, 0.99, 11, dtype=torch.float64)
    assert torch.allclose(path.time_at(path.log_snr(t)), t, atol=1e-12)


def test_shift_divides_the_signal_to_noise_ratio() -> None:
    t = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    shifted = Straight().log_snr(shift_times(t, 3.0))
    assert torch.allclose(shifted, Straight().log_snr(t) - 2 * torch.tensor(3.0).double().log())
    assert step_times(4, shift=3.0)[[0, -1]].tolist() == [1.0, 0.0]


def test_expand_adds_axes() -> None:
    like = torch.zeros(4, 2, 3)
    assert expand(torch.ones(4), like).shape == (4, 1, 1)
    assert expand(torch.tensor(1.0), like).shape == (1, 1, 1)


@pytest.mark.parametrize("times", [LogitNormalTimes(mean=0.5), UniformTimes()])
def test_training_times_are_stratified(times: LogitNormalTimes | UniformTimes) -> None:
    t = times.sample(1000, torch.Generator().manual_seed(0))
    assert t.shape == (1000,)
    assert 0 <= t.min() and t.max() <= 1
    median = 0.5 if isinstance(times, UniformTimes) else torch.sigmoid(torch.tensor(0.5))
    assert abs(t.median() - median) < 2e-3
