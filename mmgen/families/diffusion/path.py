r"""The Gaussian path from data to noise, and the algebra on it.

    z_t = alpha_t x_0 + sigma_t eps,   eps ~ N(0, I),   t in [0, 1],

with data at t = 0 and noise at t = 1. A schedule is a pair (alpha, sigma). Flow matching on
straight paths is alpha = 1 - t, sigma = t; variance preserving is alpha^2 + sigma^2 = 1. Whatever
a network predicts (data x_0, noise eps, or velocity v = alpha' x_0 + sigma' eps), the others
follow from it and from z_t by solving two linear equations, and that is done here and nowhere
else.

Sources: Flow Matching (Lipman et al., 2022), arXiv:2210.02747, Eq. 10-15; Progressive Distillation
(Salimans & Ho, 2022), arXiv:2202.00512, App. D; Score-Based Generative Modeling through SDEs
(Song et al., 2020), arXiv:2011.13456, Eq. 13.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

__all__ = ["TARGETS", "GaussianPath", "Straight", "VariancePreserving", "expand"]

TARGETS = ("data", "noise", "velocity")

# Divisions by alpha at pure noise and by sigma at pure data are kept this far from zero.
TINY = 1e-4


def expand(a: Tensor, like: Tensor) -> Tensor:
    """A tensor (B,) or scalar with axes of size one added, to multiply `like` (B, *event)."""
    a = a.to(like.device, like.dtype)
    return a.reshape(a.shape + (1,) * (like.ndim - a.ndim))


class GaussianPath(ABC):
    """alpha_t and sigma_t with their slopes, for times t of any shape."""

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Share of data."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Standard deviation of noise."""

    @abstractmethod
    def alpha_slope(self, t: Tensor) -> Tensor:
        """d alpha / dt."""

    @abstractmethod
    def sigma_slope(self, t: Tensor) -> Tensor:
        """d sigma / dt."""

    @abstractmethod
    def time_at(self, log_snr: Tensor) -> Tensor:
        """The time at which log(alpha^2 / sigma^2) has this value."""

    def log_snr(self, t: Tensor) -> Tensor:
        """log(alpha^2 / sigma^2), finite at both ends."""
        return 2 * (self.alpha(t).clamp(min=TINY).log() - self.sigma(t).clamp(min=TINY).log())

    def mix(self, x_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """z_t for data and noise (B, *event) at times t (B,) or one time for all."""
        return expand(self.alpha(t), x_0) * x_0 + expand(self.sigma(t), x_0) * eps

    def velocity(self, x_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """dz_t/dt along the path from x_0 to eps."""
        slope, noise_slope = expand(self.alpha_slope(t), x_0), expand(self.sigma_slope(t), x_0)
        return slope * x_0 + noise_slope * eps

    def noise_of(self, z_t: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
        """eps that leads from x_0 to z_t."""
        alpha, sigma = expand(self.alpha(t), z_t), expand(self.sigma(t), z_t)
        return (z_t - alpha * x_0) / sigma.clamp(min=TINY)

    def data_of(self, z_t: Tensor, prediction: Tensor, t: Tensor, *, target: str) -> Tensor:
        """x_0 from a prediction of one of TARGETS."""
        if target == "data":
            return prediction
        alpha, sigma = expand(self.alpha(t), z_t), expand(self.sigma(t), z_t)
        if target == "noise":
            return (z_t - sigma * prediction) / alpha.clamp(min=TINY)
        slope, noise_slope = expand(self.alpha_slope(t), z_t), expand(self.sigma_slope(t), z_t)
        # z = alpha x + sigma eps and v = alpha' x + sigma' eps, solved for x.
        determinant = alpha * noise_slope - sigma * slope
        return (noise_slope * z_t - sigma * prediction) / determinant

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Straight(GaussianPath):
    """alpha = 1 - t, sigma = t: the path of flow matching and rectified flow."""

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        return t

    def alpha_slope(self, t: Tensor) -> Tensor:
        return -torch.ones_like(t)

    def sigma_slope(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def time_at(self, log_snr: Tensor) -> Tensor:
        return torch.sigmoid(-log_snr / 2)


class VariancePreserving(GaussianPath):
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2): the cosine schedule without its offset.

    Source: Improved Denoising Diffusion Probabilistic Models (Nichol & Dhariwal, 2021), Eq. 17,
    arXiv:2102.09672, in the continuous form of arXiv:2202.00512.
    """

    def alpha(self, t: Tensor) -> Tensor:
        return torch.cos(t * math.pi / 2)

    def sigma(self, t: Tensor) -> Tensor:
        return torch.sin(t * math.pi / 2)

    def alpha_slope(self, t: Tensor) -> Tensor:
        return -math.pi / 2 * torch.sin(t * math.pi / 2)

    def sigma_slope(self, t: Tensor) -> Tensor:
        return math.pi / 2 * torch.cos(t * math.pi / 2)

    def time_at(self, log_snr: Tensor) -> Tensor:
        return torch.atan(torch.exp(-log_snr / 2)) * 2 / math.pi
