"""First-order steps along the velocity."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from mmgen.core.rng import Generators
from mmgen.families.diffusion.path import GaussianPath
from mmgen.families.diffusion.samplers.sampler import Sampler

__all__ = ["Euler"]


class Euler(Sampler):
    """z_s = z_t + (s - t) v(z_t, t): order 1.

    The velocity is v = alpha' x_0 + sigma' (z - alpha x_0) / sigma. On the straight path this is
    DDIM.

    Source: Denoising Diffusion Implicit Models (Song et al., 2020), Eq. 12, arXiv:2010.02502
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
        before = times[:-1]
        growth = path.sigma_slope(before) / path.sigma(before)
        pull = path.alpha_slope(before) - path.alpha(before) * growth
        keep, add = (1 + times.diff() * growth).tolist(), (times.diff() * pull).tolist()
        for i in range(len(keep)):
            z = (z * keep[i]).add_(denoise(z, times[i]), alpha=add[i])
            on_step(i + 1)
        return z
