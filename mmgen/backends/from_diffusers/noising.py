"""How a network of diffusers was trained: what noise it saw, and what of it it predicts.

    z_t = alpha x_0 + sigma eps,   loss = | network(z_t, place) - target |^2,

where the place on the schedule is told as the network takes it (a step, a time), and the target is
what the scheduler's prediction type names.

Sources: Denoising Diffusion Probabilistic Models (Ho et al., 2020), Eq. 14, arXiv:2006.11239;
Progressive Distillation (Salimans & Ho, 2022), Sec. 4, arXiv:2202.00512; Scaling Rectified Flow
Transformers (Esser et al., 2024), Sec. 3.1, arXiv:2403.03206.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmgen.backends.from_diffusers.schedule import Scheduled
from mmgen.families.diffusion.path import GaussianPath, Straight, VariancePreserving, expand
from mmgen.families.diffusion.times import LogitNormalTimes, UniformTimes

__all__ = ["Noising", "StraightNoising", "noising_of"]

_PREDICTS = ("epsilon", "sample", "v_prediction")


class Noising(ABC):
    """The noise that a network was trained under.

    Attributes:
        path: The same for any time t from 0, data, to 1.
    """

    path: GaussianPath

    def error(
        self,
        predict: Callable[[Tensor, Tensor], Tensor],
        x_0: Tensor,
        *,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Mean squared error (B,) of what a network predicts.

        Args:
            predict: From z_t (B, *event) and places (B,) to what the network gives.
            x_0: Latents (B, *event).
            generator: For the places and the noise.
        """
        place = self.draw(len(x_0), generator).to(x_0.device)
        eps = torch.randn(x_0.shape, generator=generator).to(x_0)
        alpha, sigma = (expand(level, x_0) for level in self.levels(place))
        found = predict(alpha * x_0 + sigma * eps, place).to(x_0)
        return self.wrong(found, x_0, eps, alpha, sigma).square().flatten(1).mean(1)

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Places (count,) as they are drawn in training."""

    @abstractmethod
    def place(self, t: Tensor) -> Tensor:
        """The place, as a network takes it, of times t."""

    @abstractmethod
    def levels(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma of places (B,)."""

    @abstractmethod
    def wrong(
        self, found: Tensor, x_0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor
    ) -> Tensor:
        """What was found less what it should be, each (B, *event)."""


class _Preserving(Noising):
    """alpha^2 + sigma^2 = 1.

    Args:
        predicts: A prediction type of diffusers. The error of data is weighted as that of the noise
            that follows from it.
    """

    def __init__(self, predicts: str) -> None:
        self.predicts = predicts

    def wrong(
        self, found: Tensor, x_0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor
    ) -> Tensor:
        if self.predicts == "sample":
            return (found - x_0) * (alpha / sigma)
        if self.predicts == "v_prediction":
            return found - (alpha * eps - sigma * x_0)
        return found - eps

    def data_of(self, z_t: Tensor, found: Tensor, t: Tensor) -> Tensor:
        """x_0 by what was found at times t (B,)."""
        if self.predicts == "sample":
            return found
        t = self.nearest(t)
        alpha, sigma = expand(self.path.alpha(t), z_t), expand(self.path.sigma(t), z_t)
        if self.predicts == "v_prediction":
            return alpha * z_t - sigma * found
        return (z_t - sigma * found) / alpha

    @abstractmethod
    def nearest(self, t: Tensor) -> Tensor:
        """The nearest times that a network was trained at."""


class SteppedNoising(_Preserving):
    """One of N steps, all alike.

    Args:
        alphas_cumprod: alpha^2 of each (N,).
        predicts: As of any that preserves variance.
    """

    path: Scheduled

    def __init__(self, alphas_cumprod: Tensor, predicts: str) -> None:
        super().__init__(predicts)
        self.path, self._share = Scheduled(alphas_cumprod), alphas_cumprod

    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        return torch.randint(len(self._share), (count,), generator=generator)

    def place(self, t: Tensor) -> Tensor:
        return self.path.step(t)

    def levels(self, place: Tensor) -> tuple[Tensor, Tensor]:
        share = self._share.to(place.device)[place]
        return share.sqrt(), (1 - share).sqrt()

    def nearest(self, t: Tensor) -> Tensor:
        # Beyond the last step there is nothing but noise to the network either way.
        return t.double().clamp(max=self.path.last)


class CosineNoising(_Preserving):
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2), at any time: Stable Audio.

    Source: conventions of diffusers 0.42 (Apache-2.0), `CosineDPMSolverMultistepScheduler`.
    """

    path = VariancePreserving()

    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        return UniformTimes().sample(count, generator)

    def place(self, t: Tensor) -> Tensor:
        return t

    def levels(self, place: Tensor) -> tuple[Tensor, Tensor]:
        return self.path.alpha(place), self.path.sigma(place)

    def nearest(self, t: Tensor) -> Tensor:
        return t


class LogNormalNoising(_Preserving):
    """alpha^2 = 1 / (1 + s^2) with log s normal, and told as log(s) / 4: Stable Video Diffusion.

    Sources: Stable Video Diffusion (Blattmann et al., 2023), App. D, arXiv:2311.15127; Elucidating
    the Design Space (Karras et al., 2022), Tab. 1, arXiv:2206.00364; conventions of diffusers 0.42
    (Apache-2.0), `EulerDiscreteScheduler`.
    """

    path = VariancePreserving()
    mean, std = 0.7, 1.6
    """Of log s."""

    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        return (self.mean + self.std * torch.randn(count, generator=generator)) / 4

    def place(self, t: Tensor) -> Tensor:
        return -self.path.log_snr(t) / 8

    def levels(self, place: Tensor) -> tuple[Tensor, Tensor]:
        return (-8 * place).sigmoid().sqrt(), (8 * place).sigmoid().sqrt()

    def nearest(self, t: Tensor) -> Tensor:
        return t


class StraightNoising(Noising):
    """alpha = 1 - t, sigma = t; the velocity eps - x_0 is predicted."""

    path = Straight()

    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        return LogitNormalTimes().sample(count, generator)

    def place(self, t: Tensor) -> Tensor:
        return t

    def levels(self, place: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - place, place

    def wrong(
        self, found: Tensor, x_0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor
    ) -> Tensor:
        return found - (eps - x_0)


def noising_of(
    scheduler: Any,
) -> SteppedNoising | CosineNoising | LogNormalNoising | None:
    """That of a scheduler which preserves variance; None if it is not known."""
    predicts = scheduler.config.get("prediction_type")
    if predicts not in _PREDICTS:
        return None
    if scheduler.config.get("timestep_type") == "continuous":
        return LogNormalNoising(predicts) if predicts == "v_prediction" else None
    if hasattr(scheduler, "alphas_cumprod"):
        return SteppedNoising(scheduler.alphas_cumprod, predicts)
    cosine = type(scheduler).__name__ == "CosineDPMSolverMultistepScheduler"
    if cosine and scheduler.config.sigma_data == 1 and predicts == "v_prediction":
        return CosineNoising(predicts)
    return None
