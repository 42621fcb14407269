"""P(Z | c) as a product over tokens: scored exactly, drawn, streamed, searched, completed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmgen.core.alphabet import Alphabet
from mmgen.core.condition import Condition
from mmgen.core.conditional import Completable, LogProb, Searchable, Streaming
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.parts import OnStep
from mmgen.core.rng import Generators, derive_seeds
from mmgen.core.token_conditional import TokenConditional
from mmgen.families.autoregressive.beam import beam_search
from mmgen.families.autoregressive.constraint import Accepts, Constrained, Constraint
from mmgen.families.autoregressive.decoding import Decoder, Halts, Prefix, grow
from mmgen.families.autoregressive.excluded import Excluded
from mmgen.families.autoregressive.warping import Warping
from mmgen.nn.tokens import CausalNetwork

__all__ = ["MOST_DRAWS", "AutoregressiveConditional", "surprise"]

MOST_DRAWS = 10
"""How often a sample is drawn at most, until one is accepted; the last one stays."""


def surprise(
    network: CausalNetwork, ids: Tensor, lengths: Tensor, c: Condition, alphabet: Alphabet
) -> Tensor:
    """-log p of each token given those before it (B, T) in nats, zeros beyond the end.

    The end is a token like any other, but for one thing: at the last place of all it is certain.

    Args:
        network: Causal; ids and condition to logits.
        ids: Ids (B, L), ends beyond the lengths.
        lengths: Lengths (B,).
        c: Their condition.
        alphabet: Ids.
    """
    places = min(int(lengths.max()) + 1, alphabet.max_length)
    targets = ids[:, :places]
    begin = torch.full_like(ids[:, :1], alphabet.end)
    there = torch.arange(places, device=ids.device) <= lengths[:, None]
    before = torch.cat((begin, targets[:, :-1]), dim=1)
    return network.losses(before, torch.where(there, targets, -100), c)


@dataclass(frozen=True)
class AutoregressiveConditional(TokenConditional, Searchable, Streaming, Completable):
    """log p(z | c) = sum_n log p(z_n | z_<n, c), up to the end of the sequence.

    Args:
        network: Ids and condition to logits, of what is drawn; guided, where guidance is on.
        unguided: The same of the model itself, for `log_prob` and `best`.
        c: Condition of a batch of B.
        alphabet: Ids.
        warping: How samples are drawn. `log_prob` and `best` are about the model without it.
        max_new_tokens: Samples are cut after so many tokens, and what `best` finds has no more;
            None for as many as the type of z allows.
        prefix: Known beginnings. Everything is then about the rest, given them.
        room: Most tokens of each that the network can read (B,); None for any number.
        excluded: Tokens that are neither drawn nor searched. `log_prob` is about the model that
            gives them some probability.
        halts: Whether a sample ends with the tokens it has, though the model did not end it.
        accepts: Whether a sample will do. What will not is drawn again, `MOST_DRAWS` times at most,
            so that samples are those of P(Z | c, accepted). Densities, streams and searches are
            about the model without it.
        constraint: Which tokens may come next in samples and streams. Densities and searches are
            about the model without it.
        rows: Most sequences to work on at once.
    """

    network: CausalNetwork
    unguided: CausalNetwork
    warping: Warping
    max_new_tokens: int | None
    prefix: Prefix
    room: Tensor | None = None
    excluded: Excluded = Excluded()
    halts: Halts | None = None
    accepts: Accepts | None = None
    constraint: Constraint | None = None

    @property
    def _device(self) -> torch.device:
        return self.prefix.ids.device

    @property
    def num_steps(self) -> int:
        return self.alphabet.max_length

    def draw(self, index: Tensor, generators: Generators, on_step: OnStep) -> Tensor:
        ids = self._drawn(index, generators, on_step)
        # The likeliest would come again.
        draws = MOST_DRAWS if self.warping.temperature else 1
        for again in range(1, draws):
            rows = self._refused(ids)
            if not len(rows):
                break
            # By the seed, since how far a generator has come depends on the others of its batch.
            seeds = [g.initial_seed() for g in generators.select(rows).each()]
            fresh = Generators([[derive_seeds(seed, again)[-1] for seed in seeds]])
            ids[rows] = self._drawn(index[rows.to(index.device)], fresh, on_step)
        return ids

    def _refused(self, ids_ML: Tensor) -> Tensor:
        if self.accepts is None:
            return torch.zeros(0, dtype=torch.long)
        lengths = self.alphabet.lengths(ids_ML)
        lengths = [ids_ML.shape[1]] * len(ids_ML) if lengths is None else lengths.tolist()
        rows = zip(ids_ML.tolist(), lengths, strict=True)
        return torch.tensor([not self.accepts(row[:n]) for row, n in rows]).nonzero()[:, 0]

    def _drawn(self, index: Tensor, generators: Generators, on_step: OnStep) -> Tensor:
        growth = self._grow(index, generators)
        # What it yields is changed in place, so that the first is the last, too.
        ids, lengths = next(growth)
        for step, _ in enumerate(growth, start=1):
            on_step(step)
        return self.alphabet.closed(ids, lengths)

    @torch.no_grad()
    def stream(self, generators: Generators | None = None) -> Iterator[Latent]:
        generators = generators or Generators.from_seed(None, num_samples=1, batch=self.batch)
        ids = lengths = None
        for step, (ids, lengths) in enumerate(
            self._grow(torch.arange(self.batch), generators.flat())
        ):
            if step:
                # The lengths tell how far it has come, even where all end at one.
                yield Latent(self.alphabet.latent(ids, lengths).z, lengths.clone())
        if not self.alphabet.varies or step == 0:
            yield self.alphabet.latent(ids, lengths.clone())

    def _limits(self, prefix: Prefix, index: Tensor) -> Tensor:
        limits = prefix.limits(self.alphabet, self.max_new_tokens)
        return limits if self.room is None else limits.minimum(self.room[index.to(limits.device)])

    def _grow(self, index: Tensor, generators: Generators) -> Iterator[tuple[Tensor, Tensor]]:
        prefix, warping = self.prefix.select(index), self.warping
        if self.constraint is not None:
            warping = Constrained(warping, self.constraint, self.alphabet.end)
        return grow(
            Decoder(self.network, self.c.select(index), begin=self.alphabet.end),
            prefix,
            self._limits(prefix, index),
            alphabet=self.alphabet,
            excluded=self.excluded,
            warping=warping,
            generators=generators,
            halts=self.halts,
        )

    @torch.no_grad()
    def log_prob(self, latent: Latent, generators: Generators | None = None) -> LogProb:
        """log p(z | c), exact, of the model itself whatever the options of sampling.

        Args:
            latent: z (B, L) with its lengths, one for each condition.
            generators: Not needed.

        Returns:
            nats (B,), the end counted where there is one. With a known beginning, of the rest given
            it, and minus infinity for what begins otherwise.

        Raises:
            SpecError: If z is not of the model's type, or not one for each condition.
        """
        ids, lengths = self.alphabet.ids(latent, self.batch, self._device)
        if self.room is not None and (lengths > self.room).any():
            raise SpecError(
                f"Expected at most {self.room.tolist()} tokens after each condition, got "
                f"{lengths.tolist()}: the model reads no more. Shorten the condition or the value."
            )
        known = self.prefix.known
        agrees = ((ids == self._beginning(self.prefix)) | ~known).all(1)
        nats = torch.zeros(self.batch, device=self._device)
        for rows in torch.arange(self.batch).split(self.rows):
            c = self.c.select(rows)
            lost = surprise(self.unguided, ids[rows], lengths[rows], c, self.alphabet)
            nats[rows] = -(lost * ~known[rows, : lost.shape[1]]).double().sum(1).float()
        return LogProb(
            nats=torch.where(agrees, nats, -math.inf),
            kind="exact",
            std_error=torch.zeros_like(nats),
            num_dims=(self.alphabet.num_tokens(lengths) - known.sum(1)).clamp(min=0),
            how="sum of log p of each token given those before it, the end included",
        )

    @torch.no_grad()
    def best(
        self, num_best: int, *, num_beams: int, length_penalty: float = 0.0
    ) -> tuple[Latent, Tensor]:
        """The latents that a beam search ranks first: the likeliest, if no length is favoured.

        Args:
            num_best: N, at most `num_beams`.
            num_beams: Width of the beam.
            length_penalty: As in `Searchable.best`.

        Returns:
            Latents (N, B, L), and log p of each in nats (N, B): the plain sum that `log_prob` also
            gives, whatever the length.

        Raises:
            ValueError: If `num_best` or `num_beams` is out of range, or there are fewer sequences.
        """
        for name, value in (("num_best", num_best), ("num_beams", num_beams)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} is an integer, got {value!r}.")
        if not 1 <= num_best <= num_beams:
            raise ValueError(
                f"num_best is at least 1 and at most num_beams, got {num_best} of {num_beams}. "
                "Widen the beam."
            )
        step = max(1, self.rows // num_beams)
        found = [
            self._best(index, num_best, num_beams, length_penalty)
            for index in torch.arange(self.batch).split(step)
        ]
        ids, lengths, scores = (
            torch.cat(parts).transpose(0, 1) for parts in zip(*found, strict=True)
        )
        return self.alphabet.latent(ids, lengths), scores

    def _best(
        self, index: Tensor, num_best: int, num_beams: int, length_penalty: float
    ) -> tuple[Tensor, ...]:
        prefix = self.prefix.select(index)
        ids, lengths, scores = beam_search(
            Decoder(self.unguided, self.c.select(index), begin=self.alphabet.end),
            prefix,
            self._limits(prefix, index),
            alphabet=self.alphabet,
            excluded=self.excluded,
            num_best=num_best,
            num_beams=num_beams,
            length_penalty=length_penalty,
        )
        possible = (scores > -math.inf).sum(1).min()
        if possible < num_best:
            raise ValueError(
                f"num_best is {num_best}, but there are only {int(possible)} sequences to choose "
                "from. Ask for fewer."
            )
        return ids, lengths, scores

    def completing(self, known: Latent, mask: Tensor) -> AutoregressiveConditional:
        """P(Z | c, beginning), exact for a mask that is true on the first places only.

        A known place beyond `known.lengths` is a known end. What is completed already stays known.

        Args:
            known: z (B, l), one for each condition.
            mask: Boolean (B, l), true where z is known.

        Raises:
            SpecError: If something is known behind a gap, or is not of the model's type.
        """
        ids, given = self.alphabet.known(known, mask, self.batch, self._device)
        prefix = Prefix.of(ids, given, self.alphabet)
        both = prefix.known & self.prefix.known
        if (self._beginning(prefix) != self._beginning(self.prefix))[both].any():
            raise SpecError(
                "What is known contradicts the beginning that this distribution is given already. "
                "Complete the distribution that `model(c)` gives."
            )
        return replace(self, prefix=prefix.or_(self.prefix))

    def _beginning(self, prefix: Prefix) -> Tensor:
        """Ids (B, L) of a beginning, ends beyond it."""
        return self.alphabet.closed(prefix.ids, prefix.counts)
