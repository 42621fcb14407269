"""Simulators whose posteriors have been found at great cost, and are known since.

Source of the tasks: Benchmarking Simulation-Based Inference (Lueckmann et al., 2021), App. T,
arXiv:2101.04653.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["TASKS", "Task"]


def _as_it_is(values: Tensor) -> Tensor:
    return values


@dataclass(frozen=True)
class Task:
    """A prior and a simulator.

    Args:
        prior: (count, generator) to parameters theta (count, K).
        simulate: (theta, generator) to simulations (count, D).
        reach: theta lies in [-reach, reach]; None if it may lie anywhere.
        positive: Whether theta is positive, so that its logarithm has no bounds.
        read: Simulations on a scale on which their noise is alike everywhere.
    """

    prior: Callable[[int, torch.Generator], Tensor]
    simulate: Callable[[Tensor, torch.Generator], Tensor]
    reach: float | None = None
    positive: bool = False
    read: Callable[[Tensor], Tensor] = _as_it_is


def _uniform(reach: float, num_dims: int) -> Callable[[int, torch.Generator], Tensor]:
    return lambda count, g: reach * (2 * torch.rand(count, num_dims, generator=g) - 1)


def _log_normal(*means: float, scales: tuple[float, ...]) -> Callable[..., Tensor]:
    def draw(count: int, g: torch.Generator) -> Tensor:
        noise = torch.randn(count, len(means), generator=g)
        return (torch.tensor(means) + torch.tensor(scales) * noise).exp()

    return draw


def _gaussian_linear(theta: Tensor, g: torch.Generator) -> Tensor:
    return theta + math.sqrt(0.1) * torch.randn(theta.shape, generator=g)


def _gaussian_mixture(theta: Tensor, g: torch.Generator) -> Tensor:
    wide = torch.rand(len(theta), 1, generator=g) < 0.5
    return theta + torch.where(wide, 1.0, 0.1) * torch.randn(theta.shape, generator=g)


def _two_moons(theta: Tensor, g: torch.Generator) -> Tensor:
    angle = math.pi * (torch.rand(len(theta), generator=g) - 0.5)
    radius = 0.1 + 0.01 * torch.randn(len(theta), generator=g)
    moon = torch.stack((radius * angle.cos() + 0.25, radius * angle.sin()), dim=1)
    shift = torch.stack((-(theta[:, 0] + theta[:, 1]).abs(), theta[:, 1] - theta[:, 0]), dim=1)
    return moon + shift / math.sqrt(2)


def _slcp(theta: Tensor, g: torch.Generator) -> Tensor:
    """Four points of a Gaussian in the plane: mean, two deviations and a correlation."""
    first, second, rho = theta[:, 2] ** 2, theta[:, 3] ** 2, theta[:, 4].tanh()
    noise = torch.randn(len(theta), 4, 2, generator=g)
    mixed = rho[:, None] * noise[..., 0] + (1 - rho**2).sqrt()[:, None] * noise[..., 1]
    spread = torch.stack((first[:, None] * noise[..., 0], second[:, None] * mixed), dim=2)
    return (theta[:, None, :2] + spread).flatten(1)


# The current that is put into the neuron, the same in every simulation.
_STIMULUS = torch.from_numpy(np.random.RandomState(42).randn(100).astype(np.float32))
_TAPS = 9
# What the neuron makes of it: an offset, and the last nine currents.
_DESIGN = torch.cat(
    (torch.ones(100, 1), F.pad(_STIMULUS, (_TAPS - 1, 0)).unfold(0, _TAPS, 1).flip(1)), dim=1
)


def _spikes_prior(count: int, g: torch.Generator) -> Tensor:
    """An offset, and a filter that is smooth: its second differences are small."""
    first = torch.eye(_TAPS) - torch.diag(torch.ones(_TAPS - 1), -1)
    smooth = first @ first + torch.diag(torch.arange(_TAPS) / _TAPS) ** 0.5
    precision = torch.block_diag(torch.tensor([[0.5]]), smooth.mT @ smooth)
    noise = torch.randn(count, _TAPS + 1, generator=g)
    # With precision L L^T, L^-T noise has its inverse as covariance.
    lower = torch.linalg.cholesky(precision)
    return torch.linalg.solve_triangular(lower.mT, noise.mT, upper=True).mT


def _spikes(theta: Tensor, g: torch.Generator) -> Tensor:
    """How often a neuron fires in 100 steps, and the mean currents before it does."""
    chance = (theta @ _DESIGN.mT).sigmoid()
    return (torch.rand(chance.shape, generator=g) < chance).float() @ _DESIGN


def _epidemic(theta: Tensor, g: torch.Generator) -> Tensor:
    """The infected among a thousand people of a million, on ten days of 160."""
    beta, gamma = theta.double().unbind(1)

    def slope(state: Tensor) -> Tensor:
        caught = beta * state[0] * state[1]
        return torch.stack((-caught, caught - gamma * state[1]))

    start = torch.tensor([1 - 1e-6, 1e-6], dtype=torch.float64)[:, None].expand(2, len(theta))
    days = _trajectory(slope, start, num_steps=17 * 9 * 4, step=0.25, keep=17 * 4)
    return torch.binomial(
        torch.full((len(theta), 10), 1000.0), days[:, 1].mT.clamp(0, 1).float(), generator=g
    )


def _predators(theta: Tensor, g: torch.Generator) -> Tensor:
    """Prey and predators at ten times within 20 days, read with an error of a tenth."""
    alpha, beta, gamma, delta = theta.unbind(1)

    def slope(logs: Tensor) -> Tensor:
        return torch.stack((alpha - beta * logs[1].exp(), delta * logs[0].exp() - gamma))

    start = torch.tensor([math.log(30.0), 0.0])[:, None].expand(2, len(theta))
    times = _trajectory(slope, start, num_steps=21 * 9 * 10, step=0.01, keep=21 * 10)
    logs = times.permute(2, 1, 0).flatten(1).clamp(math.log(1e-10), math.log(1e4))
    return (logs + 0.1 * torch.randn(logs.shape, generator=g)).exp()


def _trajectory(
    slope: Callable[[Tensor], Tensor], state: Tensor, *, num_steps: int, step: float, keep: int
) -> Tensor:
    """Every `keep`-th state (times, *state) of a differential equation, the first among them.

    By the classical method of Runge and Kutta, of fourth order.
    """
    kept = [state]
    for number in range(1, num_steps + 1):
        a = slope(state)
        b = slope(state + step / 2 * a)
        c = slope(state + step / 2 * b)
        d = slope(state + step * c)
        state = state + step / 6 * (a + 2 * b + 2 * c + d)
        if number % keep == 0:
            kept.append(state)
    return torch.stack(kept)


TASKS = {
    "gaussian_linear": Task(
        lambda count, g: math.sqrt(0.1) * torch.randn(count, 10, generator=g), _gaussian_linear
    ),
    "gaussian_mixture": Task(_uniform(10.0, 2), _gaussian_mixture, reach=10.0),
    "two_moons": Task(_uniform(1.0, 2), _two_moons, reach=1.0),
    "slcp": Task(_uniform(3.0, 5), _slcp, reach=3.0),
    "bernoulli_glm": Task(_spikes_prior, _spikes),
    "sir": Task(
        _log_normal(math.log(0.4), math.log(0.125), scales=(0.5, 0.2)),
        _epidemic,
        positive=True,
        read=Tensor.sqrt,
    ),
    "lotka_volterra": Task(
        _log_normal(-0.125, -3.0, -0.125, -3.0, scales=(0.5,) * 4),
        _predators,
        positive=True,
        read=Tensor.log,
    ),
}
