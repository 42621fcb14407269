"""The likeliest sequences, by a beam search on their log-probability.

Scores only fall as sequences grow, so the search may stop as soon as nothing that is still growing
scores above the worst of the ended ones that are wanted; with a beam as wide as there are sequences
it finds the true order.

With a length penalty a, sequences are ranked by log p / length^a instead. The likeliest answer to a
long question is often a very short one, even none at all, though no sample would be so. What still
grows is then ranked by the length it has, and the search stops where that is enough: a longer one
might still have come to rank higher.

Sources: Sequence to Sequence Learning with Neural Networks (Sutskever et al., 2014), Sec. 3.2,
arXiv:1409.3215; On NMT Search Errors and Model Errors (Stahlberg & Byrne, 2019), arXiv:1908.10090
(the likeliest translation is often empty); Google's Neural Machine Translation System (Wu et al.,
2016), Sec. 7, arXiv:1609.08144 (lengths to a power).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mmgen.core.alphabet import Alphabet
from mmgen.families.autoregressive.decoding import Decoder, Prefix
from mmgen.families.autoregressive.excluded import Excluded

__all__ = ["beam_search"]


@dataclass(frozen=True)
class _Beam:
    """ids (B, W, L), lengths (B, W) and log-probabilities (B, W) of W sequences."""

    ids: Tensor
    lengths: Tensor
    scores: Tensor

    def best(self, count: int, length_penalty: float) -> _Beam:
        ranks = self.ranks(length_penalty)
        index = ranks.topk(min(count, ranks.shape[1]), dim=1).indices
        ids = self.ids.gather(1, index[..., None].expand(-1, -1, self.ids.shape[2]))
        return _Beam(ids, self.lengths.gather(1, index), self.scores.gather(1, index))

    def ranks(self, length_penalty: float) -> Tensor:
        """What sequences are sorted by (B, W), the end counted as a token."""
        return self.scores / (self.lengths + 1) ** length_penalty

    def and_(self, other: _Beam) -> _Beam:
        pairs = zip(
            (self.ids, self.lengths, self.scores),
            (other.ids, other.lengths, other.scores),
            strict=True,
        )
        return _Beam(*(torch.cat(pair, dim=1) for pair in pairs))


def beam_search(
    decoder: Decoder,
    prefix: Prefix,
    limits: Tensor,
    *,
    alphabet: Alphabet,
    excluded: Excluded,
    num_best: int,
    num_beams: int,
    length_penalty: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """The `num_best` likeliest sequences that a beam of `num_beams` finds.

    Args:
        decoder: A fresh one, for B sequences.
        prefix: How they begin. What is known has no part in the scores.
        limits: The greatest length of each (B,). Before the last place of all, a sequence that
            comes to it pays for its end.
        alphabet: Ids.
        excluded: Tokens that are passed over.
        num_best: N, at most `num_beams`.
        num_beams: Most sequences that grow at once, for each of the B.
        length_penalty: a; 0 for the likeliest.

    Returns:
        ids (B, N, L), lengths (B, N), log-probabilities (B, N), the highest ranked first; minus
        infinity where there are no more sequences.
    """
    batch, width = prefix.ids.shape
    first = int(prefix.counts.min())
    begun = prefix.ids[:, None].clone()
    scores = torch.zeros(batch, 1, device=begun.device)
    alive = _Beam(begun, torch.full_like(begun[..., 0], first), scores)
    ended = _Beam(begun[:, :0], alive.lengths[:, :0], scores[:, :0])
    read = 0
    for n in range(first, width + 1):
        if n == width:
            ended = ended.and_(alive).best(num_beams, length_penalty)
            break
        if _settled(alive, ended, num_best, length_penalty):
            break
        beams = alive.scores.shape[1]
        logits = decoder.read(alive.ids[..., read:n].flatten(0, 1))
        read = n
        steps = logits.log_softmax(1)
        excluded.bar(steps, n)
        steps = _allowed(steps.unflatten(0, (batch, beams)), prefix, limits, n)
        if alphabet.varies:
            ending = alive.scores + steps[..., alphabet.end]
            ending = _Beam(alive.ids, alive.lengths, ending)
            ended = ended.and_(ending).best(num_beams, length_penalty)
        alive, parents = _grown(alive, steps[..., : alphabet.vocabulary], n, num_beams)
        offsets = beams * torch.arange(batch, device=parents.device)[:, None]
        decoder.select((parents + offsets).flatten())
    found = ended.best(num_best, length_penalty)
    return found.ids, found.lengths, found.scores


def _allowed(steps_BWV: Tensor, prefix: Prefix, limits: Tensor, n: int) -> Tensor:
    """Log-probabilities of the token at place n, what is known being certain."""
    num_targets = steps_BWV.shape[2]
    tokens = torch.arange(num_targets, device=steps_BWV.device)
    known = n < prefix.counts
    forced = torch.where(known, prefix.ids[:, n], num_targets - 1)
    certain = torch.where(tokens == forced[:, None], 0.0, -math.inf)[:, None]
    decided = known | (prefix.closed & (n == prefix.counts))
    steps_BWV = torch.where(decided[:, None, None], certain, steps_BWV)
    over = (n >= limits)[:, None] & (tokens != num_targets - 1)
    return steps_BWV.masked_fill(over[:, None], -math.inf)


def _grown(alive: _Beam, steps_BWV: Tensor, n: int, num_beams: int) -> tuple[_Beam, Tensor]:
    """The best continuations by a token at place n, and which beam each continues (B, W)."""
    batch, beams, vocabulary = steps_BWV.shape
    scores = (alive.scores[..., None] + steps_BWV).flatten(1)
    scores, index = scores.topk(min(num_beams, beams * vocabulary), dim=1)
    parents = index // vocabulary
    ids = alive.ids.gather(1, parents[..., None].expand(-1, -1, alive.ids.shape[2]))
    ids[..., n] = index % vocabulary
    return _Beam(ids, torch.full_like(parents, n + 1), scores), parents


def _settled(alive: _Beam, ended: _Beam, num_best: int, length_penalty: float) -> bool:
    if ended.scores.shape[1] < num_best:
        return False
    last = ended.ranks(length_penalty)[:, num_best - 1]
    return bool((last >= alive.ranks(length_penalty)[:, 0]).all())
