"""Sequences from left to right: the network read step by step, and samples that grow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mmgen.core.alphabet import Alphabet
from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError
from mmgen.core.rng import Generators
from mmgen.families.autoregressive.constraint import Constrained
from mmgen.families.autoregressive.excluded import Excluded
from mmgen.families.autoregressive.warping import Warping
from mmgen.nn.tokens import CausalNetwork

__all__ = ["Decoder", "Halts", "Prefix", "grow"]

Halts = Callable[[list[int]], bool]
"""Whether a sample ends with the tokens it has."""

# Uniform numbers are drawn for so many places at a time, so that a sample is the beginning of the
# one that the same generator gives when more tokens are allowed.
_BLOCK = 64


@dataclass(frozen=True)
class Prefix:
    """The known beginnings of B sequences.

    Args:
        ids: Content (B, L), zeros beyond.
        counts: How many of them are known (B,).
        closed: Whether the sequence is known to end there (B,).
    """

    ids: Tensor
    counts: Tensor
    closed: Tensor

    @classmethod
    def none(cls, batch: int, alphabet: Alphabet, device: torch.device) -> Prefix:
        """Nothing is known."""
        ids = torch.zeros(batch, alphabet.max_length, dtype=torch.long, device=device)
        return cls(ids, ids.sum(1), ids.any(1))

    @classmethod
    def of(cls, ids: Tensor, mask: Tensor, alphabet: Alphabet) -> Prefix:
        """What ids (B, L), known where the mask (B, L) is true, begin with.

        Raises:
            SpecError: If something is known behind a gap.
        """
        reach = mask.sum(1)
        if not torch.equal(mask, torch.arange(mask.shape[1], device=mask.device) < reach[:, None]):
            raise SpecError(
                "Autoregressive completes what follows a known beginning, so the mask is true on "
                "the first places and nowhere else. For any other mask use the family masked."
            )
        content = mask & (ids != alphabet.end)
        counts = content.sum(1)
        return cls(torch.where(content, ids, 0), counts, reach > counts)

    @property
    def known(self) -> Tensor:
        """Which places are known (B, L), the end among them."""
        places = torch.arange(self.ids.shape[1], device=self.ids.device)
        return places < (self.counts + self.closed)[:, None]

    def or_(self, other: Prefix) -> Prefix:
        """For each sequence the one of the two that knows more."""
        own = self.known.sum(1) >= other.known.sum(1)
        ids = torch.where(own[:, None], self.ids, other.ids)
        counts = torch.where(own, self.counts, other.counts)
        return Prefix(ids, counts, torch.where(own, self.closed, other.closed))

    def select(self, index: Tensor) -> Prefix:
        """The rows that `index` (M,) names."""
        index = index.to(self.ids.device)
        return Prefix(self.ids[index], self.counts[index], self.closed[index])

    def limits(self, alphabet: Alphabet, max_new_tokens: int | None) -> Tensor:
        """The greatest length each sequence may come to (B,)."""
        most = torch.full_like(self.counts, alphabet.max_length)
        if max_new_tokens is not None:
            most = (self.counts + max_new_tokens).clamp(max=alphabet.max_length)
        return torch.where(self.closed, self.counts, most)


class Decoder:
    """A causal network that reads R sequences token after token.

    Args:
        network: Ids and condition to logits.
        c: Condition of each sequence.
        begin: The id that every sequence begins with.
    """

    def __init__(self, network: CausalNetwork, c: Condition, *, begin: int) -> None:
        self.network, self.c, self.begin = network, c, begin
        self.cache = network.cache()

    def read(self, ids_RL: Tensor) -> Tensor:
        """Logits (R, V), float32, of the token after these (R, L), which follow those before."""
        if not self.cache.length:
            begin_R1 = ids_RL.new_full((len(ids_RL), 1), self.begin)
            ids_RL = torch.cat((begin_R1, ids_RL), dim=1)
        return self.network.extend(ids_RL, self.c, self.cache)[:, -1].float()

    def select(self, index: Tensor) -> None:
        """Keep the sequences that `index` (M,) names, in its order."""
        self.c = self.c.select(index)
        self.cache.select(index)


def grow(
    decoder: Decoder,
    prefix: Prefix,
    limits: Tensor,
    *,
    alphabet: Alphabet,
    excluded: Excluded,
    warping: Warping | Constrained,
    generators: Generators,
    halts: Halts | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw R sequences, token by token.

    Args:
        decoder: A fresh one, for R sequences.
        prefix: How they begin.
        limits: The greatest length of each (R,).
        alphabet: Ids.
        excluded: Tokens that are passed over.
        warping: How a token is drawn of the logits.
        generators: Shape (1, R). Place n of row i takes the n-th number of generator i.
        halts: Whether a sequence ends with the tokens it has; None for never.

    Yields:
        After each step ids (R, L), of no meaning beyond the lengths, and those lengths (R,). They
        are changed in place by the next step.
    """
    ids, counts = prefix.ids.clone(), prefix.counts
    first = int(counts.min())
    lengths = torch.full_like(counts, first)
    done = lengths >= limits
    rows = torch.arange(len(ids), device=ids.device)
    uniforms = torch.empty(len(ids), 0, device=ids.device)
    read = 0
    yield ids, lengths
    for n in range(first, alphabet.max_length):
        if done.all():
            return
        # Rows that have ended cost time, and moving the cache does, too.
        if 2 * int(done[rows].sum()) >= len(rows):
            keep = (~done[rows]).nonzero()[:, 0]
            decoder.select(keep)
            rows = rows[keep]
        while uniforms.shape[1] <= n:
            block = generators.rand(_BLOCK, device=ids.device)[0]
            uniforms = torch.cat((uniforms, block), dim=1)
        logits = decoder.read(ids[rows, read:n])
        excluded.bar(logits, n)
        read = n
        drawn = ids[rows, n]
        free = (~done[rows] & (n >= counts[rows])).nonzero()[:, 0]
        drawn[free] = warping.choose(logits[free], ids[rows[free], :n], uniforms[rows[free], n])
        stays = ~done[rows] & (drawn != alphabet.end)
        ids[rows, n] = torch.where(stays, drawn, 0)
        lengths[rows] += stays
        done[rows] = ~stays | (lengths[rows] >= limits[rows])
        if halts is not None:
            for row in rows[~done[rows] & (n >= counts[rows])].tolist():
                done[row] = halts(ids[row, : n + 1].tolist())
        yield ids, lengths
