"""Samples of a masked model: hidden places revealed, some at every step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mmgen.core.alphabet import Alphabet
from mmgen.core.condition import Condition
from mmgen.core.parts import OnStep
from mmgen.core.rng import Generators
from mmgen.families.autoregressive.warping import Warping
from mmgen.families.masked.bound import hidden_id, possible_logits
from mmgen.nn.tokens import TokenNetwork

__all__ = ["ORDERS", "Filling"]

ORDERS = ("random", "confidence")


@dataclass(frozen=True)
class Filling:
    """How hidden places are revealed.

    Tokens that are revealed in one step do not see each other. Should they contradict each other,
    an end before content, those that come later in the order stay hidden for another step.

    Args:
        num_steps: In how many steps. With one for each hidden place and random order, samples are
            those of the model that the bound is about.
        temperature: Logits are divided by it; 0 for the likeliest tokens.
        order: "random" reveals as many places in each step, in a random order; "confidence" reveals
            first what the network is sure of, and little at first.

    Source: MaskGIT (Chang et al., 2022), Sec. 3.2-3.3, arXiv:2202.04200, for "confidence", its
    cosine schedule and parallel steps; here without noise on the confidences.
    """

    num_steps: int
    temperature: float = 1.0
    order: str = "random"

    @torch.no_grad()
    def run(
        self,
        network: TokenNetwork,
        ids: Tensor,
        c: Condition,
        *,
        alphabet: Alphabet,
        generators: Generators,
        on_step: OnStep,
    ) -> Tensor:
        """Reveal what is hidden in R sequences.

        Args:
            network: Ids and condition to logits.
            ids: Ids (R, L), some hidden.
            c: Condition of each.
            alphabet: Ids.
            generators: Shape (1, R).
            on_step: Called with the number of steps done.

        Returns:
            Ids (R, L), none hidden, nothing but ends behind the first end.

        Raises:
            ValueError: If the network's logits are not numbers.
        """
        num_places = ids.shape[1]
        keys = generators.rand(num_places, device=ids.device)[0]
        ids = _closed(ids, alphabet)
        for step in range(self.num_steps + num_places):
            hidden = ids == hidden_id(alphabet)
            if not hidden.any():
                return ids
            uniforms = generators.rand(num_places, device=ids.device)[0]
            logits = possible_logits(network, ids, c, alphabet)
            count = self._count(hidden.sum(1), step)
            drawn, wanted, keys = self._drawn(logits, uniforms, hidden, count, keys)
            drawn = torch.where(wanted, drawn, ids)
            accepted = _consistent(drawn, keys.masked_fill(~wanted, math.inf), wanted, alphabet)
            ids = _closed(torch.where(accepted, drawn, ids), alphabet)
            if step < self.num_steps:
                on_step(step + 1)
        if (ids == hidden_id(alphabet)).any():
            raise ValueError(
                "The network's logits are not finite. Load or train its weights again."
            )
        return ids

    def _drawn(
        self, logits: Tensor, uniforms: Tensor, hidden: Tensor, count: Tensor, keys: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (R, L), which of them to reveal, and the keys that order them."""
        warping = Warping(temperature=self.temperature)
        # A random order is known beforehand, so only what is revealed need be drawn.
        among = _first(keys, hidden, count) if self.order == "random" else hidden
        nothing = torch.zeros(int(among.sum()), 0, dtype=torch.long, device=logits.device)
        tokens = warping.choose(logits[among], nothing, uniforms[among])
        drawn = torch.zeros_like(hidden, dtype=torch.long).masked_scatter(among, tokens)
        if self.order == "random":
            return drawn, among, keys
        sure = logits[among].log_softmax(1).gather(1, tokens[:, None])[:, 0]
        keys = keys.masked_scatter(among, -sure)
        return drawn, _first(keys, hidden, count), keys

    def _count(self, left: Tensor, step: int) -> Tensor:
        """How many of the hidden places of each row (R,) are revealed in this step."""
        if step >= self.num_steps - 1:
            return left
        if self.order == "random":
            return -(-left // (self.num_steps - step))
        now, then = (math.cos(math.pi / 2 * s / self.num_steps) for s in (step, step + 1))
        stay = (left * (then / now)).floor().long()
        return left - torch.minimum(stay, left - 1).clamp(min=0)


def _first(keys: Tensor, among: Tensor, count: Tensor) -> Tensor:
    """The `count` (R,) places with the least keys among some (R, L)."""
    rank = keys.masked_fill(~among, math.inf).argsort(dim=1, stable=True).argsort(1)
    return among & (rank < count[:, None])


def _closed(ids: Tensor, alphabet: Alphabet) -> Tensor:
    """Ids with nothing but ends behind the first end."""
    return alphabet.closed(ids, alphabet.lengths(ids))


def _consistent(drawn: Tensor, keys: Tensor, wanted: Tensor, alphabet: Alphabet) -> Tensor:
    """Which of the wanted places agree with all that come before them by their keys (R, L)."""
    if not alphabet.varies:
        return wanted
    order = keys.argsort(dim=1, stable=True)
    tokens, there = drawn.gather(1, order), wanted.gather(1, order)
    is_end = tokens == alphabet.end
    last_content = torch.where(there & ~is_end, order, -1).cummax(1).values
    earliest_end = torch.where(there & is_end, order, drawn.shape[1]).cummin(1).values
    agrees = there & torch.where(is_end, last_content < order, earliest_end > order)
    return torch.zeros_like(wanted).scatter(1, order, agrees)
