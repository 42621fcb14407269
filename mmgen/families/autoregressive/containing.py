"""The likeliest sequences that contain given phrases, by a beam search that keeps room for them.

Sequences are compared with those that have met as many tokens of the phrases, and the beam is
shared out among these groups, so that a phrase is taken up though something else is likelier at
first. Phrases stand one after another: what is a part of two counts for one.

Source: Fast Lexically Constrained Decoding with Dynamic Beam Allocation (Post & Vilar, 2018),
Algorithm 1, arXiv:1804.06609. Here the groups take turns, the furthest first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import torch
from torch import Tensor

from mmgen.core.conditional import LogProb, Progress, Searchable
from mmgen.core.latent import Latent
from mmgen.core.rng import Generators
from mmgen.families.autoregressive.conditional import AutoregressiveConditional
from mmgen.families.autoregressive.decoding import Decoder

__all__ = ["ContainingConditional", "Phrases"]

Phrases = tuple[tuple[int, ...], ...]
"""Rows of tokens, each of which a sequence shall contain without a gap."""

_BEAMS = 4


@dataclass(frozen=True)
class _Beam:
    """A sequence, its log-probability, the phrases it has, and how far it is in another one."""

    ids: tuple[int, ...] = ()
    score: float = 0.0
    done: frozenset[int] = frozenset()
    current: int | None = None
    reached: int = 0

    def met(self, phrases: Phrases) -> int:
        """How many tokens of the phrases it has."""
        return sum(len(phrases[i]) for i in self.done) + self.reached

    def wanted(self, phrases: Phrases) -> set[int]:
        """Tokens that bring it on."""
        found = {phrase[0] for i, phrase in enumerate(phrases) if i not in self.done}
        return found if self.current is None else found | {phrases[self.current][self.reached]}

    def grown(self, token: int, score: float, phrases: Phrases) -> _Beam:
        """The same with one token more, log p of all being `score`."""
        longer = replace(self, ids=(*self.ids, token), score=score)
        if self.current is not None and phrases[self.current][self.reached] == token:
            return longer._at(self.current, self.reached + 1, phrases)
        for i, phrase in enumerate(phrases):
            if i not in self.done and phrase[0] == token:
                return longer._at(i, 1, phrases)
        return replace(longer, current=None, reached=0)

    def _at(self, phrase: int, reached: int, phrases: Phrases) -> _Beam:
        if reached < len(phrases[phrase]):
            return replace(self, current=phrase, reached=reached)
        return replace(self, done=self.done | {phrase}, current=None, reached=0)


@dataclass(frozen=True)
class ContainingConditional(Searchable):
    """What `inner` is about, of which the likeliest that contain phrases are wanted.

    They are searched for, not drawn: a sample at temperature 0 is the likeliest that is found.
    Those of the batch that have no phrases are drawn and searched as `inner` does.

    Args:
        inner: P(Z | c) of a batch of B, without a known beginning.
        phrases: Those of each of the batch.
    """

    inner: AutoregressiveConditional
    phrases: tuple[Phrases, ...]

    @property
    def batch(self) -> int:
        return self.inner.batch

    @torch.no_grad()
    def sample(
        self,
        num_samples: int = 1,
        generators: Generators | None = None,
        *,
        progress: Progress | None = None,
    ) -> Latent:
        own = generators or Generators.from_seed(None, num_samples=num_samples, batch=self.batch)
        if any(self.phrases) and self.inner.warping.temperature > 0:
            raise ValueError(
                "What shall contain given terms is searched for, not drawn. Give temperature=0.0 "
                "for the likeliest, or ask for best()."
            )
        rows: list[tuple[Tensor, Tensor]] = []
        for b, phrases in enumerate(self.phrases):
            if phrases:
                (beam,) = self._search(b, 1, _BEAMS)
                rows.append(self._row([beam] * num_samples))
            else:
                drawn = self._alone(b).sample(num_samples, own.of(b))
                rows.append((drawn.z[:, 0], drawn.lengths[:, 0]))
            if progress is not None:
                progress(b + 1, self.batch)
        return self._together(rows)

    def log_prob(self, latent: Latent, generators: Generators | None = None) -> LogProb:
        """That of `inner`: of the model, which knows of no phrases."""
        return self.inner.log_prob(latent, generators)

    @torch.no_grad()
    def best(
        self, num_best: int, *, num_beams: int, length_penalty: float = 0.0
    ) -> tuple[Latent, Tensor]:
        """The likeliest latents with their phrases, as `AutoregressiveConditional.best`.

        Raises:
            ValueError: If `num_best` is out of range, or not as many are found.
        """
        if not 1 <= num_best <= num_beams:
            raise ValueError(
                f"num_best is at least 1 and at most num_beams, got {num_best} of {num_beams}. "
                "Widen the beam."
            )
        rows, scores = [], []
        for b, phrases in enumerate(self.phrases):
            if phrases:
                beams = self._search(b, num_best, num_beams, length_penalty)
                rows.append(self._row(beams))
                scores.append(torch.tensor([beam.score for beam in beams]))
            else:
                own = {"num_beams": num_beams, "length_penalty": length_penalty}
                found, nats = self._alone(b).best(num_best, **own)
                rows.append((found.z[:, 0], found.lengths[:, 0]))
                scores.append(nats[:, 0].cpu())
        latent = self._together(rows)
        return latent, torch.stack(scores, dim=1).to(latent.z.device)

    def _alone(self, b: int) -> AutoregressiveConditional:
        """That of one of the batch."""
        index, room = torch.tensor([b]), self.inner.room
        return replace(
            self.inner,
            c=self.inner.c.select(index),
            prefix=self.inner.prefix.select(index),
            room=None if room is None else room[b : b + 1],
        )

    def _row(self, beams: Sequence[_Beam]) -> tuple[Tensor, Tensor]:
        """The ids (N, L) and lengths (N,) of sequences."""
        alphabet, device = self.inner.alphabet, self.inner.prefix.ids.device
        ids = torch.zeros(len(beams), alphabet.max_length, dtype=torch.long, device=device)
        for padded, beam in zip(ids, beams, strict=True):
            padded[: len(beam.ids)] = torch.tensor(beam.ids, dtype=torch.long)
        lengths = torch.tensor([len(beam.ids) for beam in beams], device=device)
        latent = alphabet.latent(ids, lengths)
        return latent.z, latent.lengths

    @staticmethod
    def _together(rows: Sequence[tuple[Tensor, Tensor]]) -> Latent:
        """Ids and lengths of each of the batch as one latent (N, B, L)."""
        z = torch.stack([ids for ids, _ in rows], dim=1)
        return Latent(z, torch.stack([lengths for _, lengths in rows], dim=1))

    def _search(
        self, b: int, num_best: int, num_beams: int, length_penalty: float = 0.0
    ) -> list[_Beam]:
        inner, phrases = self._alone(b), self.phrases[b]
        limit = inner.prefix.limits(inner.alphabet, inner.max_new_tokens)
        if inner.room is not None:
            limit = limit.minimum(inner.room)
        decoder = Decoder(inner.unguided, inner.c, begin=inner.alphabet.end)
        found = self._beams(decoder, phrases, int(limit), num_best, num_beams, length_penalty)
        if len(found) < num_best:
            raise ValueError(
                f"Found {len(found)} of {num_best} sequences of at most {int(limit)} tokens that "
                f"contain {len(phrases)} phrases. Allow more max_new_tokens, or widen the beam."
            )
        return found

    def _beams(
        self,
        decoder: Decoder,
        phrases: Phrases,
        limit: int,
        num_best: int,
        num_beams: int,
        length_penalty: float,
    ) -> list[_Beam]:
        def rank(beam: _Beam) -> float:
            return beam.score / (len(beam.ids) + 1) ** length_penalty

        alphabet, total = self.inner.alphabet, sum(map(len, phrases))
        device = self.inner.prefix.ids.device
        alive, ended = [_Beam()], []
        fresh = torch.zeros(1, 0, dtype=torch.long, device=device)
        for n in range(limit + 1):
            whole = [beam for beam in alive if beam.met(phrases) == total]
            if n == alphabet.max_length:
                # There the end is certain.
                ended += whole
                break
            ended = sorted(ended, key=rank, reverse=True)[:num_best]
            highest = max(map(rank, alive), default=-math.inf)
            if len(ended) == num_best and rank(ended[-1]) >= highest:
                break
            steps = decoder.read(fresh).log_softmax(1)
            self.inner.excluded.bar(steps, n)
            for i, beam in enumerate(alive):
                ending = beam.score + float(steps[i, alphabet.end])
                if beam in whole and ending > -math.inf:
                    ended.append(replace(beam, score=ending))
            steps = steps[:, : alphabet.vocabulary]
            room = limit - n - 1
            children = [
                (i, child)
                for i, child in _children(alive, steps, phrases, num_beams)
                if total - child.met(phrases) <= room
            ]
            chosen = _shared_out(children, phrases, num_beams)
            if not chosen:
                break
            decoder.select(torch.tensor([i for i, _ in chosen], device=device))
            alive = [child for _, child in chosen]
            fresh = torch.tensor([[child.ids[-1]] for child in alive], device=device)
        return sorted(ended, key=rank, reverse=True)[:num_best]


def _children(
    alive: Sequence[_Beam], steps_RV: Tensor, phrases: Phrases, num_beams: int
) -> list[tuple[int, _Beam]]:
    """What may come next: the likeliest of all, the likeliest of each, and what is wanted."""
    scores_RV = steps_RV + torch.tensor([[b.score] for b in alive], device=steps_RV.device)
    top = scores_RV.flatten().topk(min(2 * num_beams, scores_RV.numel())).indices.tolist()
    pairs = {divmod(place, steps_RV.shape[1]) for place in top}
    pairs |= set(enumerate(scores_RV.argmax(1).tolist()))
    pairs |= {(i, token) for i, beam in enumerate(alive) for token in beam.wanted(phrases)}
    scored = ((i, token, float(scores_RV[i, token])) for i, token in sorted(pairs))
    return [(i, alive[i].grown(token, s, phrases)) for i, token, s in scored if s > -math.inf]


def _shared_out(
    children: Sequence[tuple[int, _Beam]], phrases: Phrases, num_beams: int
) -> list[tuple[int, _Beam]]:
    """At most so many, by turns from those that have met as many tokens, the furthest first."""
    groups: dict[int, list[tuple[int, _Beam]]] = {}
    for pair in sorted(children, key=lambda pair: -pair[1].score):
        groups.setdefault(pair[1].met(phrases), []).append(pair)
    turns = zip_longest(*(groups[met] for met in sorted(groups, reverse=True)))
    return [pair for turn in turns for pair in turn if pair is not None][:num_beams]
