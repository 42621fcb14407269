"""Steps that add noise again."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from mmgen.core.rng import Generators
from mmgen.families.diffusion.path import GaussianPath
from mmgen.families.diffusion.samplers.sampler import Sampler

__all__ = ["Ancestral"]


class Ancestral(Sampler):
    """Draws from q(z_s | z_t, x_0) at the predicted x_0: order 1 in distribution.

        z_s = alpha_s x_0 + sqrt(sigma_s^2 - c^2) eps + c n,   n ~ N(0, I),
        c^2 = eta^2 sigma_s^2 / sigma_t^2 (sigma_t^2 - alpha_t^2 / alpha_s^2 sigma_s^2),

    with n of each row from its own generator.

    Args:
        eta: 1 for the posterior variance of DDPM, 0 for the deterministic steps of DDIM.

    Raises:
        ValueError: If eta is not between 0 and 1.

    Source: Denoising Diffusion Implicit Models (Song et al., 2020), Eq. 12 and 16,
    arXiv:2010.02502; the variance in the general form of Variational Diffusion Models (Kingma et
    al., 2021), App. A, arXiv:2107.00630
    """

    def __init__(self, eta: float = 1.0) -> None:
        if not 0 <= eta <= 1:
            raise ValueError(f"eta lies between 0 and 1, got {eta}. Give 1 for DDPM or 0 for DDIM.")
        self.eta = eta

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
        alpha, sigma = path.alpha(times).tolist(), path.sigma(times).tolist()
        for i in range(len(alpha) - 1):
            x_0 = denoise(z, times[i])
            fresh = self.eta * _posterior_std(*alpha[i : i + 2], *sigma[i : i + 2])
            # sqrt(sigma_s^2 - c^2) eps with eps = (z - alpha_t x_0) / sigma_t
            keep = math.sqrt(max(sigma[i + 1] ** 2 - fresh**2, 0.0)) / sigma[i]
            z = (z * keep).add_(x_0, alpha=alpha[i + 1] - alpha[i] * keep)
            if fresh > 0:
                noise = generators.randn(*z.shape[1:], device=z.device, dtype=z.dtype)[0]
                z = z.add_(noise, alpha=fresh)
            on_step(i + 1)
        return z


def _posterior_std(alpha_t: float, alpha_s: float, sigma_t: float, sigma_s: float) -> float:
    """Standard deviation of z_s given z_t and x_0."""
    return sigma_s / sigma_t * math.sqrt(max(sigma_t**2 - (alpha_t / alpha_s * sigma_s) ** 2, 0.0))
