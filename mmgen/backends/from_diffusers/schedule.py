"""The noise schedule of a diffusers scheduler as a path."""

from __future__ import annotations

import torch
from torch import Tensor

from mmgen.families.diffusion.path import GaussianPath

__all__ = ["Scheduled"]

# The log signal-to-noise ratio at both ends, where alpha or sigma is a ten-thousandth.
_TOP = 18.42


class Scheduled(GaussianPath):
    """alpha^2 + sigma^2 = 1, with alpha^2 given at N steps.

    Step n is at t = (n + 1) / (N + 1). Between steps log(alpha^2 / sigma^2) is linear in t, and so
    it is from the first step to data and from the last to noise, which no network has seen.

    Args:
        alphas_cumprod: alpha^2 at each step (N,), falling.

    Source: Denoising Diffusion Probabilistic Models (Ho et al., 2020), Eq. 4, arXiv:2006.11239.
    """

    def __init__(self, alphas_cumprod: Tensor) -> None:
        share = alphas_cumprod.double().clamp(1e-12, 1 - 1e-12)
        table = (share.logit()).clamp(-_TOP + 0.01, _TOP - 0.01)
        ends = torch.tensor([_TOP], dtype=torch.float64)
        self._knots = torch.cat((ends, table, -ends))
        self.num_steps = len(table)
        self.last = self.num_steps / (self.num_steps + 1)
        """The time of the last step."""

    def step(self, t: Tensor) -> Tensor:
        """The step, a real number from 0 to N - 1, that a time is at or nearest to."""
        return (t * (self.num_steps + 1) - 1).clamp(0, self.num_steps - 1)

    def log_snr(self, t: Tensor) -> Tensor:
        return self._value_and_slope(t)[0]

    def alpha(self, t: Tensor) -> Tensor:
        return self.log_snr(t).sigmoid().sqrt()

    def sigma(self, t: Tensor) -> Tensor:
        return (-self.log_snr(t)).sigmoid().sqrt()

    def alpha_slope(self, t: Tensor) -> Tensor:
        value, slope = self._value_and_slope(t)
        return 0.5 * value.sigmoid().sqrt() * (-value).sigmoid() * slope

    def sigma_slope(self, t: Tensor) -> Tensor:
        value, slope = self._value_and_slope(t)
        return -0.5 * (-value).sigmoid().sqrt() * value.sigmoid() * slope

    def time_at(self, log_snr: Tensor) -> Tensor:
        knots = self._knots.to(log_snr.device)
        below = torch.searchsorted(-knots, -log_snr.double()).clamp(1, len(knots) - 1)
        high, low = knots[below - 1], knots[below]
        share = ((high - log_snr.double()) / (high - low)).clamp(0, 1)
        return ((below - 1 + share) / (self.num_steps + 1)).to(log_snr.dtype)

    def _value_and_slope(self, t: Tensor) -> tuple[Tensor, Tensor]:
        knots, count = self._knots.to(t.device), self.num_steps + 1
        place = t.double() * count
        before = place.floor().long().clamp(0, count - 1)
        rise = knots[before + 1] - knots[before]
        return (knots[before] + (place - before) * rise).to(t.dtype), (rise * count).to(t.dtype)
