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

    On the straight path this is DDIM.

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
        for i, (t, s) in enumerate(zip(times[:-1], times[1:], strict=True)):
            x_0 = denoise(z, t)
            z = z + float(s - t) * path.velocity(x_0, path.noise_of(z, x_0, t), t)
            on_step(i + 1)
        return z
