"""P(Z | c) of a masked model: filled in, bounded, completed from any part."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmgen.core.conditional import Completable, LogProb, Tractable
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.parts import OnStep
from mmgen.core.rng import Generators
from mmgen.core.token_conditional import TokenConditional
from mmgen.families.masked.bound import bound_of, hidden_id
from mmgen.families.masked.filling import Filling
from mmgen.nn.tokens import TokenNetwork

__all__ = ["MaskedConditional"]


@dataclass(frozen=True)
class MaskedConditional(TokenConditional, Tractable, Completable):
    """The distribution of sequences whose hidden places are revealed in a random order.

    Args:
        network: Ids and condition to logits, of what is drawn; guided, where guidance is on.
        unguided: The same of the model itself, for `log_prob`.
        c: Condition of a batch of B.
        alphabet: Ids.
        known: Ids (B, L), hidden where nothing is known. Everything is about the rest, given them.
        filling: How samples are revealed. `log_prob` is about the model whatever it is.
        num_bound_draws: Draws of the bound, an even number.
        rows: Most sequences to work on at once.
    """

    network: TokenNetwork
    unguided: TokenNetwork
    known: Tensor
    filling: Filling
    num_bound_draws: int

    @property
    def num_steps(self) -> int:
        return self.filling.num_steps

    def draw(self, index: Tensor, generators: Generators, on_step: OnStep) -> Tensor:
        return self.filling.run(
            self.network,
            self.known[index.to(self.known.device)],
            self.c.select(index),
            alphabet=self.alphabet,
            generators=generators,
            on_step=on_step,
        )

    @torch.no_grad()
    def log_prob(self, latent: Latent, generators: Generators | None = None) -> LogProb:
        """A lower bound of log p(z | c), of the model itself whatever the options of sampling.

        Args:
            latent: z (B, L) with its lengths, one for each condition.
            generators: For the draws of the bound, shape (1, B); fresh ones if None.

        Returns:
            nats (B,), a lower bound in expectation. With a known part, of the rest given it, and
            minus infinity for what differs from it. std_error is from the differences of
            neighbouring strata, so it is rather too large than too small.

        Raises:
            SpecError: If z is not of the model's type, or not one for each condition.
        """
        generators = generators or Generators.from_seed(None, num_samples=1, batch=self.batch)
        ids, lengths = self.alphabet.ids(latent, self.batch, self.known.device)
        known = self.known != hidden_id(self.alphabet)
        agrees = ((ids == self.known) | ~known).all(1)
        draws = [
            self._draws(ids, known, rows, generators)
            for rows in torch.arange(self.batch).split(self.rows)
        ]
        terms = torch.cat(draws)
        places = torch.arange(ids.shape[1], device=ids.device)
        tokens = (places <= lengths[:, None]) & ~known
        error = (terms[:, 0::2] - terms[:, 1::2]).square().sum(1).sqrt() / self.num_bound_draws
        return LogProb(
            nats=torch.where(agrees, -terms.mean(1), -math.inf),
            kind="lower bound",
            std_error=error,
            num_dims=tokens.sum(1),
            how=f"variational bound of masked diffusion, {self.num_bound_draws} draws over time",
        )

    def _draws(self, ids: Tensor, known: Tensor, rows: Tensor, generators: Generators) -> Tensor:
        """Draws of the bound (R, K) for some rows, one in each of K strata of time."""
        ids, known, own = ids[rows], known[rows], generators.select(rows)
        c = self.c.select(rows)
        offsets = own.rand(self.num_bound_draws, device=ids.device)[0]
        draws = []
        for i in range(self.num_bound_draws):
            term = bound_of(
                self.unguided,
                ids,
                c,
                self.alphabet,
                known=known,
                uniform=(i + offsets[:, i]) / self.num_bound_draws,
                scores=own.rand(ids.shape[1], device=ids.device)[0],
            )
            draws.append(term)
        return torch.stack(draws, dim=1)

    def completing(self, known: Latent, mask: Tensor) -> MaskedConditional:
        """P(Z | c, Z[mask] = known[mask]), for any mask.

        A known place beyond `known.lengths` is a known end, so the length is known, too, where the
        mask is true on the place after the last; elsewhere it is drawn with the rest. What is
        completed already stays known.

        Args:
            known: z (B, l), one for each condition.
            mask: Boolean (B, l), true where z is known.

        Raises:
            SpecError: If what is known is not of the model's type.
        """
        ids, given = self.alphabet.known(known, mask, self.batch, self.known.device)
        before = self.known != hidden_id(self.alphabet)
        ends = self.alphabet.lengths(torch.where(given, ids, 0))
        places = torch.arange(ids.shape[1], device=ids.device)
        # Nothing but ends follows an end.
        behind = places > ends[:, None]
        ids, given = torch.where(behind, self.alphabet.end, ids), given | behind
        if (ids != self.known)[before & given].any():
            raise SpecError(
                "What is known contradicts what this distribution is given already. Complete the "
                "distribution that `model(c)` gives."
            )
        return replace(self, known=torch.where(given, ids, self.known))
