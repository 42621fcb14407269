r"""P(Z | c, b) by Gibbs sampling between the prior and the measurement.

A second variable w is tied to z with a strength that grows:

    p(z, w) ~ p(z | c) exp(-|z - w|^2 / 2 rho^2) p(b | w),   rho falling to a least value.

Its two conditionals are drawn in turn. That of w is Gaussian if what is measured is affine in w,
and drawn exactly by solving one linear system with a random right-hand side. That of z is the
posterior of denoising at the level rho, which a diffusion model samples: noise levels from rho down
to 0, at each of which noise is added and then taken away along the flow. No gradient of the network
is needed, and no Gaussian approximation of the prior.

Marginally z would have been measured with noise of covariance s^2 I + rho^2 G G^T. So b is drawn
towards with the covariance s^2 I - kappa^2 G G^T, which is one if kappa |G| <= s: with kappa = rho
the stationary law of z is P(z | c, b) itself, at a rho above zero, where steps are large enough to
get about. What is left is the error of the draws of z and of too few iterations. Where
rho |G| > s, because s is all but zero, it is exact in the limit of rho -> 0.

Adding at level r noise that brings it to sqrt(2 r^2 - q^2), and following the flow down to q, is
the reverse-time diffusion from r to q in the limit of small steps; for r below the scale of the
data it is right to second order in one step, so few levels do.

Sources: Principled Probabilistic Imaging using Diffusion Models as Plug-and-Play Priors (Wu et al.,
2024), Alg. 1, arXiv:2405.18782; Split-and-augmented Gibbs sampler (Vono et al., 2019), Eq. 6,
arXiv:1804.05809; the stochastic steps: Elucidating the Design Space (Karras et al., 2022), Alg. 2,
arXiv:2206.00364; the exact Gaussian draw: Gaussian sampling by local perturbations (Papandreou &
Yuille, 2010), Sec. 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.conditional import Conditional, Progress
from mmgen.core.latent import Latent
from mmgen.core.parts import OnStep
from mmgen.core.rng import Generators
from mmgen.families.diffusion.conditional import DiffusionConditional
from mmgen.families.diffusion.path import expand
from mmgen.operators.conjugate_gradient import conjugate_gradient
from mmgen.operators.measurement import Linearised, Measurement

__all__ = ["SplitGibbs"]

# rho begins at FIRST, in units of z, where z gets from mode to mode, and ends at SHARE s / |G|, at
# most MOST. kappa goes no further than SHARE s / |G|, where the series of a square root needs few
# terms.
FIRST, SHARE, MOST = 3.0, 0.5, 0.2

# Levels rho, RATIO rho, RATIO^2 rho, RATIO^3 rho, 0 of each draw of z.
RATIO, NUM_LEVELS = 0.35, 4

# Of the iterations, how many lower rho; the others stay at its least value.
ANNEALED = 0.75

SOLVER_ITERATIONS = 50


@dataclass(frozen=True)
class SplitGibbs(Conditional):
    """P(Z | c, b), beginning from samples of P(Z | c).

    Args:
        base: P(Z | c).
        measurement: b, a row for each condition. If what is measured is not affine in z, as behind
            an autoencoder, it is linearised at each iteration, which is right as rho -> 0.
        num_iterations: Draws of w and z, each of them seven calls of the network.
        least: Least rho, in units of z. Measurements that are more exact than that are taken as so
            exact: networks know little of lower noise, and each iteration would add their error.
    """

    base: DiffusionConditional
    measurement: Measurement
    num_iterations: int = 100
    least: float = 0.03

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
        with torch.inference_mode(False), torch.no_grad():
            return self.base.in_parts(
                self._draw,
                num_samples,
                generators,
                num_steps=self.num_iterations,
                progress=progress,
            )

    def _draw(self, index: Tensor, own: Generators, on_step: OnStep) -> Tensor:
        c, measurement = self.base.c.select(index), self.measurement.select(index)
        z = self.base.draw(index, own, lambda *_: None)
        kappa = SHARE * measurement.noise / _gain(measurement.linearise(z))
        least = kappa.clamp(max=MOST).clamp(min=self.least)
        num_annealed = max(1, round(ANNEALED * self.num_iterations))
        for i in range(self.num_iterations):
            share = min(1.0, i / num_annealed)
            rho = FIRST ** (1 - share) * least**share
            w = _draw_split(measurement, z, rho, kappa.minimum(rho), own)
            z = self._denoise_at(w, rho, c, own)
            on_step(i + 1, partial(Latent, z))
        return z

    def _denoise_at(self, z: Tensor, rho: Tensor, c: Condition, own: Generators) -> Tensor:
        """A draw of p(x_0 | x_0 + rho n = z) for each row."""
        noise = own.randn(NUM_LEVELS, *z.shape[1:], device=z.device, dtype=z.dtype)[0]
        for i in range(NUM_LEVELS):
            level, below = rho * RATIO**i, rho * RATIO ** (i + 1) * (i + 1 < NUM_LEVELS)
            raised = (2 * level**2 - below**2).sqrt()
            z = z + (raised**2 - level**2).sqrt() * noise[:, i]
            slope = (z - self._mean(z, raised, c)) / raised
            there = z + (below - raised) * slope
            if i + 1 < NUM_LEVELS:
                slope = (slope + (there - self._mean(there, below, c)) / below) / 2
                there = z + (below - raised) * slope
            z = there
        return z

    def _mean(self, z: Tensor, level: Tensor, c: Condition) -> Tensor:
        """E[x_0 | x_0 + level n = z] for levels (B, 1, ...)."""
        t = self.base.path.time_at(-2 * level.flatten().log())
        return self.base.denoise(expand(self.base.path.alpha(t), z) * z, t, c)


def _draw_split(
    measurement: Measurement, z: Tensor, rho: Tensor, kappa: Tensor, own: Generators
) -> Tensor:
    """A draw of p(w | z, b) for each row: N(w; z, rho^2 I) N(b; A w, s^2 I - kappa^2 G G^T).

    A draw w' of the first, corrected by what it and b with a draw of its error disagree about.
    """
    w = z + rho * own.randn(*z.shape[1:], device=z.device, dtype=z.dtype)[0]
    linear = measurement.linearise(w)
    shape = linear.residual.shape[1:]
    error = own.randn(*shape, device=z.device, dtype=linear.residual.dtype)[0]
    axes = (-1, *(1,) * len(shape))
    rho_b, kappa_b, s = rho.reshape(axes), kappa.reshape(axes), measurement.noise

    def outer(u: Tensor) -> Tensor:
        return linear.push(linear.pull(u))

    if s > 0:
        # sqrt(I - K) = I - K / 2 - K^2 / 8 - K^3 / 16 - ... for K = kappa^2 G G^T / s^2.
        power = error
        for coefficient in (1 / 2, 1 / 8, 1 / 16, 5 / 128):
            power = (kappa_b / s) ** 2 * outer(power)
            error = error - coefficient * power
    rest = rho_b**2 - kappa_b**2
    weight = conjugate_gradient(
        lambda u: s**2 * u + rest * outer(u),
        linear.residual + s * error,
        num_iterations=SOLVER_ITERATIONS,
    )
    return w + rho**2 * linear.pull(weight)


def _gain(linear: Linearised) -> Tensor:
    """About the greatest singular value of what is measured, for each row (B, 1, ...)."""
    shape = linear.residual.shape
    start = torch.randn(shape[1:], generator=torch.Generator().manual_seed(0))
    v = linear.pull(start.to(linear.residual).expand(shape))
    for _ in range(10):
        v = v / _norm(v)
        v = linear.pull(linear.push(v))
    return _norm(v).sqrt()


def _norm(v: Tensor) -> Tensor:
    return v.flatten(1).norm(dim=1).clamp(min=1e-12).reshape(-1, *(1,) * (v.ndim - 1))
