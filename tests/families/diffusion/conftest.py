"""A distribution whose denoiser, flow and density have closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.spec import Spec
from mmgen.families.diffusion.conditional import DiffusionConditional
from mmgen.families.diffusion.path import GaussianPath, Straight, VariancePreserving, expand
from mmgen.families.diffusion.samplers import Euler


@dataclass(frozen=True)
class Mixture:
    """sum_k weight_k N(mean_k, variance_k I), float64, in any number of dimensions.

    Args:
        weight: (K,).
        mean: (K, D).
        variance: (K,).
    """

    weight: Tensor
    mean: Tensor
    variance: Tensor

    def log_prob(self, x: Tensor) -> Tensor:
        """True log-density (B,) of x (B, D)."""
        squares = (x[:, None] - self.mean).square().sum(2)
        num_dims = x.shape[1]
        logs = self.weight.log() - 0.5 * num_dims * (2 * math.pi * self.variance).log()
        return (logs - 0.5 * squares / self.variance).logsumexp(1)

    def sample(self, count: int, seed: int = 0) -> Tensor:
        """Draws (count, D)."""
        generator = torch.Generator().manual_seed(seed)
        k = torch.multinomial(self.weight, count, replacement=True, generator=generator)
        noise = torch.randn(count, self.mean.shape[1], generator=generator).double()
        return self.mean[k] + self.variance[k, None].sqrt() * noise

    def denoiser(self, path: GaussianPath) -> Callable[..., Tensor]:
        """E[x_0 | z_t] for z_t (B, D), t scalar or (B,)."""

        def denoise(z: Tensor, t: Tensor, c: Condition | None = None) -> Tensor:
            alpha = expand(path.alpha(t).reshape(-1), z)
            sigma = expand(path.sigma(t).reshape(-1), z)
            variance = alpha**2 * self.variance + sigma**2
            rest = z[:, None] - alpha[..., None] * self.mean
            num_dims = z.shape[1]
            logs = self.weight.log() - 0.5 * num_dims * variance.log()
            share = (logs - 0.5 * rest.square().sum(2) / variance).softmax(1)
            gain = alpha * self.variance / variance
            return (share[..., None] * (self.mean + gain[..., None] * rest)).sum(1)

        return denoise

    def conditional(
        self, path: GaussianPath, batch: int, denoise: Callable[..., Tensor] | None = None
    ) -> DiffusionConditional:
        """The distribution as a denoiser defines it."""
        denoise = denoise or self.denoiser(path)
        return DiffusionConditional(
            denoise=denoise,
            unguided=denoise,
            c=Condition(batch),
            spec=Spec("properties", "continuous", (self.mean.shape[1],)),
            path=path,
            sampler=Euler(),
            num_steps=10,
            shift=1.0,
            device=torch.device("cpu"),
        )


def _tensor(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def plane() -> Mixture:
    """Two components in the plane."""
    return Mixture(_tensor(0.3, 0.7), _tensor([-1.0, 0.5], [1.2, -0.3]), _tensor(0.16, 0.3))


@pytest.fixture
def line() -> Mixture:
    """Two components on the line."""
    return Mixture(_tensor(0.4, 0.6), _tensor([-1.0], [0.8]), _tensor(0.09, 0.25))


@pytest.fixture
def wide() -> Mixture:
    """Two components in 24 dimensions, too many to sum the divergence."""
    mean = torch.randn(2, 24, generator=torch.Generator().manual_seed(0)).double()
    return Mixture(_tensor(0.5, 0.5), 0.4 * mean, _tensor(0.3, 0.6))


@pytest.fixture
def gaussian() -> Mixture:
    """One Gaussian in three dimensions."""
    return Mixture(_tensor(1.0), _tensor([0.5, -1.0, 0.0]), _tensor(0.4))


@pytest.fixture(params=[Straight(), VariancePreserving()], ids=repr)
def path(request: pytest.FixtureRequest) -> GaussianPath:
    """Both paths."""
    return request.param
