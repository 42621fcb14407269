"""Which times are trained on, and which are stepped through.

Signals with much redundancy (large flat images) are decided at high noise, so both the training
times and the steps can be shifted towards it: t -> s t / (1 + (s - 1) t) divides the signal-to-
noise ratio of the straight path by s^2.

Source: Scaling Rectified Flow Transformers (Esser et al., 2024), arXiv:2403.03206, Sec. 3.1
(logit-normal sampling) and Eq. 23 (shift).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["LogitNormalTimes", "UniformTimes", "shift_times", "step_times"]


def shift_times(t: Tensor, shift: float) -> Tensor:
    """Times in [0, 1] moved towards 1 for shift > 1, both ends fixed."""
    return shift * t / (1 + (shift - 1) * t)


def step_times(num_steps: int, *, shift: float = 1.0) -> Tensor:
    """The num_steps + 1 times from 1 to 0 that a sampler visits, float64."""
    return shift_times(torch.linspace(1, 0, num_steps + 1, dtype=torch.float64), shift)


class LogitNormalTimes:
    """t = sigmoid(mean + std n), n standard normal.

    Args:
        mean: Of the logit. Positive favours noise.
        std: Of the logit.
    """

    def __init__(self, mean: float = 0.0, std: float = 1.0) -> None:
        self.mean, self.std = mean, std

    def sample(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        """Times (batch,), stratified over the batch to lower the variance of the loss.

        Source: Variational Diffusion Models (Kingma et al., 2021), App. I.1, arXiv:2107.00630.
        """
        u = _stratified(batch, generator)
        return torch.sigmoid(self.mean + self.std * torch.special.ndtri(u.clamp(1e-6, 1 - 1e-6)))


class UniformTimes:
    """t uniform on [0, 1]."""

    def sample(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        """Times (batch,), stratified over the batch."""
        return _stratified(batch, generator)


def _stratified(batch: int, generator: torch.Generator | None) -> Tensor:
    offset = torch.rand((), generator=generator)
    order = torch.randperm(batch, generator=generator)
    return ((torch.arange(batch) + offset) / batch)[order]
