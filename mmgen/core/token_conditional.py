"""P(Z | c) of sequences of tokens that a network draws step by step."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mmgen.core.alphabet import Alphabet
from mmgen.core.condition import Condition
from mmgen.core.conditional import Conditional, Progress
from mmgen.core.latent import Latent
from mmgen.core.parts import OnStep, in_parts
from mmgen.core.rng import Generators

__all__ = ["TokenConditional"]


@dataclass(frozen=True)
class TokenConditional(Conditional):
    """The distribution of a network that is asked for the logits of tokens.

    Args:
        network: Ids and condition to logits, of what is drawn; guided, where guidance is on.
        unguided: The same of the model itself, which densities are about.
        c: Condition of a batch of B.
        alphabet: Ids.
        rows: Most sequences to work on at once.
    """

    network: Any
    unguided: Any
    c: Condition
    alphabet: Alphabet
    rows: int = field(default=64, kw_only=True)

    @property
    def batch(self) -> int:
        return self.c.batch

    @property
    @abstractmethod
    def num_steps(self) -> int:
        """Most steps of a sample."""

    @abstractmethod
    def draw(self, index: Tensor, generators: Generators, on_step: OnStep) -> Tensor:
        """Ids (M, L), one sequence for each condition that `index` (M,) names, ends beyond it.

        Args:
            index: Which of the batch.
            generators: (1, M).
            on_step: Called with the number of steps done after each.
        """

    @torch.no_grad()
    def sample(
        self,
        num_samples: int = 1,
        generators: Generators | None = None,
        *,
        progress: Progress | None = None,
    ) -> Latent:
        def whole(index: Tensor, own: Generators, on_step: OnStep) -> Tensor:
            ids = self.draw(index, own, on_step)
            # Sequences may be done early.
            on_step(self.num_steps)
            return ids

        ids = in_parts(
            whole,
            num_samples=num_samples,
            batch=self.batch,
            rows=self.rows,
            num_steps=self.num_steps,
            generators=generators,
            progress=progress,
        )
        return self.alphabet.latent(ids, self.alphabet.lengths(ids))
