"""P(Z | c): what a model returns, and the record of a log-probability."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from mmgen.core.latent import Latent
from mmgen.core.rng import Generators

__all__ = ["Conditional", "LogProb", "Progress", "Tractable"]

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


@dataclass(frozen=True)
class LogProb:
    """A log-probability, and what kind of number it is.

    Args:
        nats: log p (B,), or (N, B) for samples.
        kind: "exact", "estimate" (unbiased, or nearly), or "lower bound".
        std_error: Standard error of `nats` from the randomness of its estimation, same shape;
            zeros if there is none.
        num_dims: Number of dimensions of x that each one is about, same shape.
        how: One line: the method, and which density it is.
    """

    nats: Tensor
    kind: str
    std_error: Tensor
    num_dims: Tensor
    how: str

    @property
    def bits_per_dim(self) -> Tensor:
        """-log2 p per dimension of x, same shape as `nats`."""
        return -self.nats / (self.num_dims * math.log(2))


class Conditional(ABC):
    """P(Z | c) for a batch of B conditions."""

    batch: int

    @abstractmethod
    def sample(
        self,
        num_samples: int = 1,
        generators: Generators | None = None,
        *,
        progress: Progress | None = None,
    ) -> Latent:
        """Independent samples.

        Args:
            num_samples: N.
            generators: One generator per sample, of shape (N, B); fresh ones if None.
            progress: Called after each step.

        Returns:
            Latents of shape (N, B, *event).
        """


class Tractable(Conditional):
    """A conditional that tells the log-density of a latent."""

    @abstractmethod
    def log_prob(self, latent: Latent, generators: Generators | None = None) -> LogProb:
        """log p(z | c).

        Args:
            latent: z (B, *event), one for each condition.
            generators: For estimates, shape (1, B); fresh ones if None.

        Returns:
            nats of shape (B,).
        """
