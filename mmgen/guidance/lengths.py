"""How long a sample shall be, drawn before the sample itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.conditional import Conditional, LogProb, Progress, Tractable
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.options import Option
from mmgen.core.rng import Generators

__all__ = ["LengthModel"]


class LengthModel(Model):
    """P(Z | c) = P(L | c) P(Z | L, c), for models that must be told the length L.

    P(L | c) is a table of all lengths from 1 to the greatest, its logits from a perceptron on the
    mean of the condition's tokens and on its vector.

    Args:
        model: P(Z | L, c): takes conditions with lengths, for latents whose length varies.
        dim: Width of the perceptron.

    Raises:
        SpecError: If the lengths of the model's latents do not vary.
    """

    def __init__(self, model: Model, *, dim: int = 64) -> None:
        super().__init__()
        if not model.spec.varies:
            raise SpecError(
                f"LengthModel is for latents whose length varies; these are {model.spec.shape}. "
                "Leave it out."
            )
        self.model = model
        self.spec, self.condition = model.spec, model.condition
        self.uses_null = model.uses_null
        self.phases = model.phases
        width = (model.condition.token_dim or 0) + (model.condition.vector_dim or 0)
        most = model.spec.max_length
        layers = (nn.Linear(width, dim), nn.SiLU(), nn.Linear(dim, most)) if width else ()
        self.net = nn.Sequential(*layers) if layers else None
        # Without a condition it is one table.
        self.table = None if layers else nn.Parameter(torch.zeros(most))

    def options(self) -> tuple[Option, ...]:
        length = Option(
            "length",
            None,
            "Steps of each sample; drawn from P(length | condition) if not given.",
            minimum=1,
            maximum=self.spec.max_length,
            optional=True,
            kind=int,
        )
        return (*self.model.options(), length)

    def forward(self, c: Condition, **options: Any) -> Conditional:
        length = options.pop("length", None)
        log_table_BL = self._logits(c).log_softmax(-1)
        if length is not None:
            log_table_BL = torch.full_like(log_table_BL, -torch.inf)
            log_table_BL[:, length - 1] = 0.0

        def given(c: Condition) -> Conditional:
            return self.model(c, **options)

        # Which kind of conditional it is follows from the kind of the model's own.
        probe = given(c.with_lengths(torch.ones(c.batch, dtype=torch.long)))
        kind = _TractableLengthConditional if isinstance(probe, Tractable) else _LengthConditional
        return kind(given, c, log_table_BL)

    def phase_parameters(self, phase: str) -> list[nn.Parameter]:
        """Those of the model; the lengths are learnt in its last phase."""
        own = self.model.phase_parameters(phase)
        if phase != self.phases[-1]:
            return own
        return [*own, *(self.net.parameters() if self.table is None else (self.table,))]

    def loss(
        self,
        latent: Latent,
        c: Condition,
        *,
        generator: torch.Generator | None = None,
        **phase: str,
    ) -> Tensor:
        lengths = _lengths(latent)
        own = self.model.loss(
            replace(latent, lengths=lengths),
            c.with_lengths(lengths),
            generator=generator,
            **phase,
        )
        target = lengths.to(own.device) - 1
        return own + F.cross_entropy(self._logits(c).float(), target, reduction="none")

    def _logits(self, c: Condition) -> Tensor:
        if self.table is not None:
            return self.table.expand(c.batch, -1)
        parts = []
        if c.tokens is not None:
            mask = torch.ones_like(c.tokens[..., 0]) if c.mask is None else c.mask.to(c.tokens)
            weight = mask / mask.sum(1, keepdim=True).clamp(min=1)
            parts.append((c.tokens * weight[..., None]).sum(1))
        if c.vector is not None:
            parts.append(c.vector)
        return self.net(torch.cat(parts, dim=-1))


@dataclass(frozen=True)
class _LengthConditional(Conditional):
    """Draws a length, then a latent of that length, from the same generator.

    Args:
        given: Conditions with lengths to P(Z | L, c).
        c: Condition of a batch of B.
        log_table: log P(L | c) (B, greatest length).
    """

    given: Callable[[Condition], Conditional]
    c: Condition
    log_table: Tensor

    @property
    def batch(self) -> int:
        return self.c.batch

    def sample(
        self,
        num_samples: int = 1,
        generators: Generators | None = None,
        *,
        progress: Progress | None = None,
    ) -> Latent:
        generators = generators or Generators.from_seed(
            None, num_samples=num_samples, batch=self.batch
        )
        own = generators.flat()
        index = torch.arange(num_samples * self.batch) % self.batch
        below = self.log_table.exp().cumsum(-1)[index.to(self.log_table.device)]
        drawn = own.rand(1, device=below.device)[0] * below[:, -1:]
        lengths = 1 + (below <= drawn).sum(1).clamp(max=below.shape[1] - 1)
        c = self.c.select(index).with_lengths(lengths)
        found = self.given(c).sample(1, own, progress=progress)
        z = found.z[0].unflatten(0, (num_samples, self.batch))
        return Latent(z, lengths.reshape(num_samples, self.batch))


class _TractableLengthConditional(_LengthConditional, Tractable):
    """The same, where P(Z | L, c) has a density."""

    def log_prob(self, latent: Latent, generators: Generators | None = None) -> LogProb:
        lengths = _lengths(latent)
        own = self.given(self.c.with_lengths(lengths))
        found = own.log_prob(replace(latent, lengths=lengths), generators)
        index = lengths.to(self.log_table.device)[:, None] - 1
        of_length = self.log_table.gather(1, index)[:, 0]
        return replace(
            found,
            nats=found.nats + of_length.to(found.nats),
            how=f"{found.how}; with the probability of its length",
        )


def _lengths(latent: Latent) -> Tensor:
    """Lengths (B,), the full size where none are told."""
    if latent.lengths is not None:
        return latent.lengths
    return torch.full((len(latent.z),), latent.z.shape[1], device=latent.z.device)
