r"""E[x_0 | z_t, b]: a denoiser that has seen a measurement b = A x_0 + s n, too.

Given z_t alone, x_0 has mean d = E[x_0 | z_t] and, by Tweedie's formula, covariance

    V = Cov[x_0 | z_t] = (sigma_t^2 / alpha_t) dd/dz_t.

Taken as Gaussian with these moments, x_0 given b as well has the mean

    E[x_0 | z_t, b] ~ d + V G^T (s^2 I + G V G^T)^-1 (b - A d),

with G the derivative of what is measured (A, but for the codec in front of it). Products with V are
vector-Jacobian products of the network, and the inverse is found by conjugate gradients. For data
that are Gaussian the formula is exact, at every t.

Source: Learning Diffusion Priors from Observations by Expectation Maximization (Rozet et al.,
2024), Sec. 4.2, Eq. 19-22, arXiv:2405.13712 (moment matching posterior sampling, MMPS).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.conditional import Conditional, Progress
from mmgen.core.latent import Latent
from mmgen.core.parts import OnStep
from mmgen.core.rng import Generators
from mmgen.families.diffusion.path import GaussianPath, expand
from mmgen.operators.conjugate_gradient import conjugate_gradient
from mmgen.operators.measurement import Measurement

if TYPE_CHECKING:
    from mmgen.families.diffusion.conditional import DiffusionConditional

__all__ = ["GREATEST_LEVEL", "Measured", "measured"]

GREATEST_LEVEL = 50.0
"""Where sigma / alpha is beyond it, the network is asked at that level: V divides by alpha."""

Denoise = Callable[[Tensor, Tensor, Condition], Tensor]
"""(z_t (B, *event), t (B,), c) -> E[x_0 | z_t, c]."""


def measured(
    denoise: Denoise,
    measurement: Measurement,
    *,
    path: GaussianPath,
    num_iterations: int,
    tolerance: float = 1e-4,
) -> Denoise:
    """The denoiser that has seen a measurement of each row.

    Args:
        denoise: E[x_0 | z_t, c], through which gradients flow.
        measurement: B rows, those of every z_t that will come.
        path: Schedule.
        num_iterations: Most conjugate gradient iterations at each call, each of them one backward
            pass of the network.
        tolerance: Of the residual, relative, where they stop.
    """
    latest = path.time_at(torch.tensor(-2 * math.log(GREATEST_LEVEL), dtype=torch.float64))

    def conditioned(z_t: Tensor, t: Tensor, c: Condition) -> Tensor:
        t = t.clamp(max=float(latest))
        gain = expand(path.sigma(t) ** 2 / path.alpha(t), z_t)
        with torch.enable_grad():
            z = z_t.detach().requires_grad_()
            x_0 = denoise(z, t, c)

        def spread(v: Tensor) -> Tensor:
            return gain * torch.autograd.grad(x_0, z, v.to(x_0), retain_graph=True)[0]

        linear = measurement.linearise(x_0)

        def total(u: Tensor) -> Tensor:
            return measurement.noise**2 * u + linear.push(spread(linear.pull(u)))

        weight = conjugate_gradient(
            total, linear.residual, num_iterations=num_iterations, tolerance=tolerance
        )
        return x_0.detach() + spread(linear.pull(weight))

    return conditioned


@dataclass(frozen=True)
class Measured(Conditional):
    """P(Z | c, b), by the sampler of P(Z | c) with the denoiser that has seen b.

    The denoiser is that of the model without guidance: the derivative of a guided one is the
    covariance of nothing, and with it the linear systems diverge.

    Exact for Gaussian data in the limit of many steps and of enough iterations; for other data, an
    approximation where noise is high, which vanishes towards data.

    Args:
        base: P(Z | c).
        measurement: b, a row for each condition.
        num_iterations: Most conjugate gradient iterations at each call of the network.
    """

    base: DiffusionConditional
    measurement: Measurement
    num_iterations: int = 3

    @property
    def batch(self) -> int:
        return self.base.batch

    def sample(
        self,
        num_samples: int = 1,
        generators: Generators | None = None,
        *,
        progress: Progress | None = None,
    ) -> Latent:
        base = self.base

        def draw(index: Tensor, own: Generators, on_step: OnStep) -> Tensor:
            seen = measured(
                base.unguided,
                self.measurement.select(index),
                path=base.path,
                num_iterations=self.num_iterations,
            )
            return base.draw(index, own, on_step, denoise=seen)

        # Under inference mode tensors could not be kept for the products with V.
        with torch.inference_mode(False), torch.no_grad():
            return base.in_parts(draw, num_samples, generators, progress=progress)
