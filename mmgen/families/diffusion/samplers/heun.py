"""Second-order steps along the velocity."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from mmgen.core.rng import Generators
from mmgen.families.diffusion.path import GaussianPath
from mmgen.families.diffusion.samplers.sampler import Sampler

__all__ = ["Heun"]


class Heun(Sampler):
    """A step of Euler, corrected by the velocity at its end: order 2.

        z' = z_t + (s - t) v(z_t, t),   z_s = z_t + (s - t) (v(z_t, t) + v(z', s)) / 2.

    The velocity is v = alpha' x_0 + sigma' (z - alpha x_0) / sigma. Each step denoises twice, but
    the one that reaches sigma = 0, where that is 0 / 0: it stays a step of Euler.

    Source: Elucidating the Design Space of Diffusion-Based Generative Models (Karras et al., 2022),
    Alg. 1, arXiv:2206.00364, with steps in t and not in sigma.
    """

    def run(
        self,
        denoise: Callable[[Tensor, Tensor], Tensor],
        z: Tensor,
        times: Tensor,
        *,
        path: GaussianPath,
        generators: Generators,
        on_step: Callable[[int], None],
    ) -> Tensor:
        sigma = path.sigma(times)
        growth = path.sigma_slope(times) / sigma
        pull = (path.alpha_slope(times) - path.alpha(times) * growth).tolist()
        growth, sigma = growth.tolist(), sigma.tolist()
        steps = times.diff().tolist()

        def velocity(z: Tensor, i: int) -> Tensor:
            return (growth[i] * z).add_(denoise(z, times[i]), alpha=pull[i])

        for i, step in enumerate(steps):
            v = velocity(z, i)
            ahead = z.add(v, alpha=step)
            if sigma[i + 1] > 0:
                ahead = z.add(v.add_(velocity(ahead, i + 1)), alpha=step / 2)
            z = ahead
            on_step(i + 1)
        return z
