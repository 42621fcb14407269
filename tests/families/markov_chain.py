"""A conditional Markov chain with ends: a law of sequences of tokens that is known."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.spec import Spec

__all__ = [
    "chain_log_prob",
    "chain_pairs",
    "chain_spec",
    "chi_square",
    "count_transitions",
    "train_on_chain",
    "transitions",
]

VOCABULARY, LONGEST = 4, 8

# For each of two conditions: how it starts, where it goes from each token, and how often it ends.
_START = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.05, 0.05, 0.4, 0.5]])
_MOVE = torch.tensor(
    [
        [[0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1], [0.1, 0.1, 0.1, 0.7], [0.7, 0.1, 0.1, 0.1]],
        [[0.2, 0.1, 0.1, 0.6], [0.6, 0.2, 0.1, 0.1], [0.1, 0.6, 0.2, 0.1], [0.1, 0.1, 0.6, 0.2]],
    ]
)
_END = torch.tensor([[0.05, 0.1, 0.2, 0.4], [0.3, 0.1, 0.1, 0.05]])


def chain_spec(longest: int = LONGEST) -> Spec:
    """The type of its sequences, of one to `longest` tokens."""
    return Spec("text", "tokens", ("L",), vocabulary=VOCABULARY, max_length=longest)


def transitions() -> Tensor:
    """Probability of each token, or the end, after each token (2, V, V + 1)."""
    return torch.cat((_MOVE * (1 - _END[..., None]), _END[..., None]), dim=2)


def chain_pairs(
    count: int, generator: torch.Generator, longest: int = LONGEST
) -> tuple[Latent, Tensor]:
    """Sequences and their conditions y (count,)."""
    y = torch.randint(2, (count,), generator=generator)
    z = torch.zeros(count, longest, dtype=torch.long)
    z[:, 0] = torch.multinomial(_START[y], 1, generator=generator)[:, 0]
    lengths = torch.ones(count, dtype=torch.long)
    for n in range(1, longest):
        drawn = torch.multinomial(transitions()[y, z[:, n - 1]], 1, generator=generator)[:, 0]
        goes = (lengths == n) & (drawn < VOCABULARY)
        z[:, n] = torch.where(goes, drawn, 0)
        lengths += goes
    return Latent(z, lengths), y


def chain_log_prob(latent: Latent, y: Tensor) -> Tensor:
    """log p of sequences given their conditions (B,)."""
    z, lengths = latent.z, latent.lengths
    logs, start = transitions().log(), _START.log()
    total = start[y, z[:, 0]]
    for n in range(1, z.shape[1]):
        token = torch.where(n < lengths, z[:, n], VOCABULARY)
        total = total + torch.where(n <= lengths, logs[y, z[:, n - 1], token], 0.0)
    return total


def chi_square(counts: Tensor, probabilities: Tensor) -> float:
    """p-value of counts (R, K), each row of them drawn by its probabilities (R, K)."""
    expected = counts.sum(1, keepdim=True) * probabilities
    there = expected > 0
    assert not counts[~there].any()
    statistic = ((counts - expected).square() / expected)[there].sum()
    freedom = there.sum() - (there.sum(1) > 0).sum()
    return float(torch.special.gammaincc(freedom / 2, statistic / 2))


def count_transitions(latent: Latent, y: Tensor) -> Tensor:
    """How often each token, or the end, came after each token (2, V, V + 1)."""
    counts = torch.zeros(2, VOCABULARY, VOCABULARY + 1)
    for row, length, own in zip(latent.z, latent.lengths, y, strict=True):
        tokens = [*row[:length].tolist(), VOCABULARY][: len(row)]
        for before, after in zip(tokens, tokens[1:], strict=False):
            counts[own, before, after] += 1
    return counts


def train_on_chain(
    made: Model,
    given: Callable[[Tensor], Condition],
    *,
    batch: int,
    steps: int,
    longest: int = LONGEST,
) -> Model:
    """A model after so many steps on fresh sequences.

    Args:
        made: Of sequences of the chain, untrained.
        given: Conditions y (B,) to what the model sees of them.
        batch: Sequences of a step.
        steps: How many.
        longest: Greatest length.
    """
    generator, rate = torch.Generator().manual_seed(0), 1e-2
    optimizer = torch.optim.Adam(made.parameters(), lr=rate)
    for step in range(steps):
        latent, y = chain_pairs(batch, generator, longest)
        optimizer.zero_grad()
        made.loss(latent, given(y), generator=generator).mean().backward()
        optimizer.param_groups[0]["lr"] = rate * min(1, step / 20) * (1 - step / steps)
        optimizer.step()
    return made.eval()
