"""P(Z | c): what a model returns, and the record of a log-probability."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from mmgen.core.latent import Latent
from mmgen.core.rng import Generators

__all__ = [
    "Completable",
    "Conditional",
    "Invertible",
    "LogProb",
    "Progress",
    "Searchable",
    "Streaming",
    "Tractable",
]

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all). What it raises ends the sampling."""


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


class Searchable(Tractable):
    """A conditional whose likeliest values can be looked for."""

    @abstractmethod
    def best(
        self, num_best: int, *, num_beams: int, length_penalty: float = 0.0
    ) -> tuple[Latent, Tensor]:
        """The latents that a beam search ranks first: the likeliest, if no length is favoured.

        Args:
            num_best: N, at most `num_beams`.
            num_beams: Width of the beam.
            length_penalty: a, where log p / (number of tokens, the end included)^a ranks. 0 for
                the likeliest; above it long ones are ranked higher.

        Returns:
            Latents (N, B, *event), and log p of each in nats (N, B), not divided by anything.
        """


class Streaming(Conditional):
    """A conditional whose samples grow from the front, and can be had while they do."""

    @abstractmethod
    def stream(self, generators: Generators | None = None) -> Iterator[Latent]:
        """One sample of each condition, piece by piece.

        Args:
            generators: Shape (1, B); fresh ones if None.

        Yields:
            What has been drawn so far, (B, *event) with its lengths. The last one is what `sample`
            gives for the same generators.
        """


class Invertible(Conditional):
    """A conditional with a code for every latent."""

    @abstractmethod
    def encode(self, latent: Latent) -> Tensor:
        """z (B, *event), one for each condition, to codes (B, *code), about standard normal."""

    @abstractmethod
    def decode(self, code: Tensor) -> Latent:
        """Codes (B, *code) back to latents (B, *event)."""


class Completable(Conditional):
    """A conditional that draws the rest of a latent given a part of it."""

    @abstractmethod
    def completing(self, known: Latent, mask: Tensor) -> Conditional:
        """P(Z | c, Z[mask] = known[mask]).

        Samples hold the known entries unchanged, to the last bit.

        Args:
            known: z (B, *event), one for each condition. What it holds where the mask is false has
                no influence.
            mask: Boolean (B, *event), true where z is known.

        Raises:
            SpecError: If this family cannot complete what the mask leaves open.
        """
