"""Conditional laws with known answers, and the little loop that fits a family to one."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.evaluation.two_sample import c2st

HELD_OUT = 1000


@dataclass(frozen=True)
class Law:
    """P(x | y), both of two numbers: a simulator, and its log-density."""

    spec = Spec("properties", "continuous", (2,))
    condition = ConditionSpec(vector_dim=2)
    pairs: Callable[[int, int], tuple[Tensor, Tensor]]
    log_prob: Callable[[Tensor, Tensor], Tensor]

    def fit(self, model: Model, *, steps: int, rate: float, batch: int = 256) -> Model:
        """The averaged weights after so many steps on fresh pairs, each through all phases."""
        averaged = copy.deepcopy(model).requires_grad_(False).eval()
        phases = model.phases or (None,)
        momentum = 0.0 if model.phases else 0.9
        optimizers = [
            torch.optim.Adam(
                model.parameters() if p is None else model.phase_parameters(p),
                lr=rate,
                betas=(momentum, 0.99),
                fused=True,
            )
            for p in phases
        ]
        generator = torch.Generator().manual_seed(0)
        for step in range(steps):
            share = 0.5 + 0.5 * math.cos(math.pi * step / steps)
            for phase, optimizer in zip(phases, optimizers, strict=True):
                x, y = self.pairs(batch, step)
                turn = {} if phase is None else {"phase": phase}
                c = Condition(batch, vector=y)
                model.zero_grad()
                model.loss(Latent(x), c, generator=generator, **turn).mean().backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / 30) * share
                optimizer.step()
            with torch.no_grad():
                weight = 1 - min(0.99, (1 + step) / (10 + step))
                torch._foreach_lerp_(
                    list(averaged.parameters()), [p.detach() for p in model.parameters()], weight
                )
        return averaged

    def accuracy(self, model: Model, **options: object) -> float:
        """How well a classifier tells the model's (x, y) from fresh ones: 0.5 at best."""
        fresh = torch.cat(self.pairs(HELD_OUT, 1_000_001), dim=1)
        _, y = self.pairs(HELD_OUT, 1_000_002)
        seeds = Generators.from_seed(0, num_samples=1, batch=HELD_OUT)
        x = model(Condition(HELD_OUT, vector=y), **options).sample(1, seeds).z[0]
        return c2st(torch.cat((x, y), dim=1), fresh, seed=0, num_folds=2, steps=250)

    def gap(self, model: Model, **options: object) -> tuple[float, float]:
        """Mean of the model's log-density minus the true one, and its standard error."""
        x, y = self.pairs(HELD_OUT, 1_000_003)
        seeds = Generators.from_seed(0, num_samples=1, batch=HELD_OUT)
        found = model(Condition(HELD_OUT, vector=y), **options).log_prob(Latent(x), seeds)
        gaps = found.nats - self.log_prob(x, y)
        return float(gaps.mean()), float(gaps.std() / math.sqrt(HELD_OUT))


_SLOPE = torch.tensor([[1.0, 0.5], [-0.8, 0.6]])
_ROOT = torch.tensor([[0.5, 0.0], [0.3, 0.4]])


def _linear_pairs(count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(count, 2, generator=generator)
    return y @ _SLOPE.T + torch.randn(count, 2, generator=generator) @ _ROOT.T + 0.2, y


def _linear_log_prob(x: Tensor, y: Tensor) -> Tensor:
    law = torch.distributions.MultivariateNormal(y @ _SLOPE.T + 0.2, scale_tril=_ROOT)
    return law.log_prob(x)


_NOISE = 0.15


def _moons(angle: Tensor, upper: Tensor) -> Tensor:
    """Points of two half circles that reach into each other (..., 2)."""
    above = torch.stack((angle.cos() - 0.5, angle.sin() - 0.25), dim=-1)
    return torch.where(upper[..., None], above, -above)


def _turned(x: Tensor, angle: Tensor) -> Tensor:
    """Points x (B, 2) turned about the origin by angles (B,)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack((cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]), dim=1)


def _moon_pairs(count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = 2 * torch.rand(count, 2, generator=generator) - 1
    angle = math.pi * torch.rand(count, generator=generator)
    upper = torch.rand(count, generator=generator) < 0.5
    x = _moons(angle, upper) + _NOISE * torch.randn(count, 2, generator=generator)
    return _turned(x, y[:, 0]) + y[:, 1:], y


def _moon_log_prob(x: Tensor, y: Tensor) -> Tensor:
    x = _turned(x - y[:, 1:], -y[:, 0])
    angle = math.pi * (torch.arange(200) + 0.5) / 200
    upper = torch.tensor([True, False])
    centres = _moons(angle.repeat(2), upper.repeat_interleave(200))
    squares = torch.cdist(x, centres).square() / _NOISE**2
    logs = -0.5 * squares - math.log(2 * math.pi * _NOISE**2)
    return logs.logsumexp(1) - math.log(400)


LAWS = {
    "linear": Law(_linear_pairs, _linear_log_prob),
    "moons": Law(_moon_pairs, _moon_log_prob),
}


@pytest.fixture(scope="session")
def linear() -> Law:
    """x = A y + b + correlated normal noise."""
    return LAWS["linear"]


@pytest.fixture(scope="session")
def moons() -> Law:
    """Two half circles, turned and moved by y, with noise."""
    return LAWS["moons"]
