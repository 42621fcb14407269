"""Second-order steps at the price of first-order ones, by remembering one prediction."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from mmgen.core.rng import Generators
from mmgen.families.diffusion.path import GaussianPath
from mmgen.families.diffusion.samplers.sampler import Sampler

__all__ = ["DPMPlusPlus2M"]

# A share of data or of noise below this is none: cos(pi / 2) is not zero in floating point.
NONE = 1e-12


class DPMPlusPlus2M(Sampler):
    """DPM-Solver++(2M): exact in the linear part, x_0 extrapolated in log(alpha / sigma).

    With l = log(alpha / sigma), h the step in l now and h' the one before,

        D = x_0(t) + h / (2 h') (x_0(t) - x_0(before)),
        z_s = sigma_s / sigma_t z_t + (alpha_s - alpha_t sigma_s / sigma_t) D.

    That is the paper's z_s = sigma_s / sigma_t z_t - alpha_s (e^-h - 1) D with e^-h written out, so
    pure noise (alpha = 0) and pure data (sigma = 0) need no limit. Where h or h' is infinite, which
    is in the first two steps from pure noise and in the last to pure data, D is x_0(t).

    Source: DPM-Solver++ (Lu et al., 2022), Alg. 2, arXiv:2211.01095
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
        alpha, sigma = path.alpha(times).tolist(), path.sigma(times).tolist()
        half_log_snr = [_half_log_snr(a, s) for a, s in zip(alpha, sigma, strict=True)]
        before = None
        for i in range(len(alpha) - 1):
            x_0 = denoise(z, times[i])
            weight = _weight(half_log_snr, i)
            # x_0 + weight (x_0 - before), without a difference of tensors when there is no weight
            data = x_0 if before is None or weight == 0 else x_0.lerp(before, -weight)
            shrink = sigma[i + 1] / sigma[i]
            z = (z * shrink).add_(data, alpha=alpha[i + 1] - alpha[i] * shrink)
            before = x_0
            on_step(i + 1)
        return z


def _half_log_snr(alpha: float, sigma: float) -> float:
    if alpha < NONE:
        return -math.inf
    return math.inf if sigma < NONE else math.log(alpha / sigma)


def _weight(half_log_snr: list[float], i: int) -> float:
    """h / (2 h') of step i, zero where either is infinite or there is none before."""
    if i == 0 or math.isinf(half_log_snr[i - 1]) or math.isinf(half_log_snr[i + 1]):
        return 0.0
    step = half_log_snr[i + 1] - half_log_snr[i]
    return step / (2 * (half_log_snr[i] - half_log_snr[i - 1]))
