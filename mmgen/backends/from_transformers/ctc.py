"""Texts by connectionist temporal classification: P(text | sound), summed over alignments.

Each frame of a sound has a label of its own, a token or a blank, and given the sound the labels are
independent. A text is what they are once repetitions are one and blanks are left out:

    p(z | c) = sum over the labels a that collapse to z of prod_t p(a_t | c)

Source: Connectionist Temporal Classification (Graves et al., 2006), Eq. 2-3,
https://doi.org/10.1145/1143844.1143891

Shape letters: B batch, T frames, W labels, the blank among them, L tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from mmgen.core.condition import Condition
from mmgen.core.conditional import LogProb, Progress, Tractable
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.options import Option, resolve_options
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families.autoregressive.warping import draw

__all__ = ["AlignedTokens"]


class AlignedTokens(Model):
    """Tokens of a text, each of which stands somewhere in the frames of a sound.

    Args:
        model: A transformers model for connectionist temporal classification, with its `lm_head`.
        blank: The label of a frame that no token stands in.
        spec: Of the tokens: all labels but the blank, in order.
        condition: Of the states of frames.
    """

    def __init__(
        self, model: nn.Module, *, blank: int, spec: Spec, condition: ConditionSpec
    ) -> None:
        super().__init__()
        self.model, self.blank = model, blank
        self.spec, self.condition = spec, condition

    def options(self) -> tuple[Option, ...]:
        said = "Below 1 likelier labels of frames, 0 the likeliest of each."
        return (Option("temperature", 1.0, said, minimum=0.0),)

    def forward(self, c: Condition, **options: Any) -> AlignedConditional:
        settings = resolve_options(self.options(), options)
        log_p = self.model.lm_head(c.tokens).float().log_softmax(-1)
        return AlignedConditional(
            log_p=log_p,
            counts=c.mask.sum(1),
            blank=self.blank,
            temperature=settings["temperature"],
        )

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        return -self(c).nats(latent)


@dataclass(frozen=True, kw_only=True)
class AlignedConditional(Tractable):
    """p(z | c) as a sum over the labels of frames, which are independent.

    Args:
        log_p: Log-probabilities of the labels of each frame (B, T, W).
        counts: How many frames there are (B,).
        blank: The label that is no token.
        temperature: Of samples; 0 for the likeliest label of each frame. `log_prob` is about the
            model without it.
    """

    log_p: Tensor
    counts: Tensor
    blank: int
    temperature: float

    @property
    def batch(self) -> int:
        return len(self.log_p)

    @torch.no_grad()
    def sample(
        self,
        num_samples: int = 1,
        generators: Generators | None = None,
        *,
        progress: Progress | None = None,
    ) -> Latent:
        own = generators or Generators.from_seed(None, num_samples=num_samples, batch=self.batch)
        rows = [
            self._collapsed(self._labels(i % self.batch, generator))
            for i, generator in enumerate(own.each())
        ]
        if progress is not None:
            progress(1, 1)
        shape = (num_samples, self.batch)
        lengths = torch.tensor([len(row) for row in rows], device=self.log_p.device)
        z = pad_sequence(rows, batch_first=True)
        return Latent(z.unflatten(0, shape), lengths.unflatten(0, shape))

    @torch.no_grad()
    def log_prob(self, latent: Latent, generators: Generators | None = None) -> LogProb:
        """log p(z | c), exact, of the model itself whatever the options of sampling.

        Args:
            latent: z (B, L) with its lengths, one for each condition.
            generators: Not needed.

        Returns:
            nats (B,), minus infinity for a text that has no room in the frames.

        Raises:
            SpecError: If z is not one for each condition.
        """
        nats = self.nats(latent)
        return LogProb(
            nats=nats,
            kind="exact",
            std_error=torch.zeros_like(nats),
            num_dims=self._lengths(latent),
            how="log of the sum, over all alignments, of the product of the labels of frames",
        )

    def nats(self, latent: Latent) -> Tensor:
        """log p(z | c) (B,), which gradients flow through."""
        if latent.z.ndim != 2 or len(latent.z) != self.batch:
            raise SpecError(
                f"Expected tokens of shape ({self.batch}, L), one row for each condition, got "
                f"{tuple(latent.z.shape)}."
            )
        z = latent.z.to(self.log_p.device)
        # One column more, since a batch of empty texts is a batch, too.
        targets = F.pad(z + (z >= self.blank).long(), (0, 1), value=self.blank + 1)
        lost = F.ctc_loss(
            self.log_p.double().transpose(0, 1),
            targets,
            self.counts,
            self._lengths(latent),
            blank=self.blank,
            reduction="none",
        )
        return -lost.float()

    def _lengths(self, latent: Latent) -> Tensor:
        if latent.lengths is None:
            full = latent.z.shape[1]
            return torch.full((self.batch,), full, device=self.log_p.device)
        return latent.lengths.to(self.log_p.device)

    def _labels(self, b: int, generator: torch.Generator) -> Tensor:
        """A label of each frame of one condition (T,)."""
        log_p = self.log_p[b, : int(self.counts[b])]
        if self.temperature == 0:
            return log_p.argmax(1)
        uniform = torch.rand(len(log_p), generator=generator).to(log_p.device)
        return draw(log_p / self.temperature, uniform)

    def _collapsed(self, labels_T: Tensor) -> Tensor:
        """The tokens that labels are."""
        ids = labels_T.unique_consecutive()
        ids = ids[ids != self.blank]
        return ids - (ids > self.blank).long()
