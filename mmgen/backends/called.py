"""Models whose samples are made by a library's own call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmgen.backends.given import GivenCondition
from mmgen.core.conditional import Conditional, Progress
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.preview import tell
from mmgen.core.rng import Generators
from mmgen.core.spec import Spec

__all__ = ["CalledConditional", "OnCalledStep"]

OnCalledStep = Callable[..., None]
"""Called with (steps done, steps in all) of one call and, where there is one, a function that gives
the present guess (M, *event)."""


@dataclass(frozen=True, kw_only=True)
class CalledConditional(Conditional, ABC):
    """P(X | y) by the call of a library, with a generator for each sample.

    Conditions are never put into one batch, so that none is padded to another.

    Args:
        spec: Of X. Sounds may differ in length.
        c: Conditions of a batch of B.
        options: All options of the call.
        rows: Most samples of one condition to draw at once.
    """

    spec: Spec
    c: GivenCondition
    options: Mapping[str, Any]
    rows: int = 4

    @property
    def batch(self) -> int:
        return self.c.batch

    @torch.no_grad()
    def sample(
        self,
        num_samples: int = 1,
        generators: Generators | None = None,
        *,
        progress: Progress | None = None,
    ) -> Latent:
        own = generators or Generators.from_seed(None, num_samples=num_samples, batch=self.batch)
        drawn, calls = [], 0
        num_calls = self.batch * -(-num_samples // self.rows)
        for b, values in enumerate(self.c.values):
            mine = own.of(b).each()
            for start in range(0, num_samples, self.rows):

                def step(
                    done: int,
                    total: int,
                    guess: Callable[[], Tensor] | None = None,
                    *,
                    before: int = calls,
                ) -> None:
                    shown = None if guess is None else lambda: Latent(guess())
                    tell(progress, before * total + done, num_calls * total, shown)

                part = mine[start : start + self.rows]
                drawn += self._from(start)._call(values, part, step)
                calls += 1
        shape = (self.batch, num_samples)
        if self.spec.modality == "audio":
            lengths = torch.tensor([len(x) for x in drawn]).unflatten(0, shape).mT
            z = pad_sequence(drawn, batch_first=True).unflatten(0, shape).transpose(0, 1)
            return Latent(z, lengths)
        if len({x.shape for x in drawn}) > 1:
            raise SpecError(
                "The samples of these conditions differ in size, so they are no batch. Ask for "
                "them one after another, or give height and width."
            )
        return Latent(torch.stack(drawn).unflatten(0, shape).transpose(0, 1))

    def _from(self, start: int) -> CalledConditional:
        """What draws the samples of a condition from that of number `start` on."""
        return self

    @abstractmethod
    def _call(
        self,
        values: Mapping[str, Any],
        generators: Sequence[torch.Generator],
        on_step: OnCalledStep,
    ) -> list[Tensor]:
        """One value (*event) on the CPU for each generator, telling of steps as far as may be."""
