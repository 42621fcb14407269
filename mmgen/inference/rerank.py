r"""Re-ranking by what else is known: the noisy channel.

    score(x) = log p(x | y) + channel_weight log p(y | x) + prior_weight log p(x).

By Bayes' rule p(x | y) is proportional to p(y | x) p(x), so a model of the other direction and one
of X alone judge what a direct model proposes, and mend what it is prone to: leaving out parts of y.

Source: Simple and Effective Noisy Channel Modeling for Neural Machine Translation (Yee et al.,
2019), Eq. 3, arXiv:1908.05731; there each term is divided by its length, as `per_dim` does here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmgen.chain import Stage
from mmgen.ranked import log_probs

__all__ = ["Ranked", "rerank"]


@dataclass(frozen=True)
class Ranked:
    """A candidate with its score.

    Args:
        value: The candidate x.
        score: The weighted sum that it is ranked by, in nats, or nats per dimension.
        std_error: Of `score`, from the randomness of estimation. Candidates share their noise, so
            that differences of scores are more certain than this.
        terms: The log-probabilities by name ("direct", "channel", "prior"), without weights.
    """

    value: Any
    score: float
    std_error: float
    terms: dict[str, float]


def rerank(
    pipe: Stage | None,
    y: Any,
    candidates: Sequence[Any],
    *,
    channel: Stage | None = None,
    prior: Stage | None = None,
    weight: float | tuple[float, float] = 1.0,
    per_dim: bool = False,
    seed: int = 0,
    **options: Any,
) -> list[Ranked]:
    """Candidates for X given y, best first.

    Args:
        pipe: P(X | Y), or None to leave its term out (a sampler without a density).
        y: The condition.
        candidates: Values of X, such as `pipe(y, num_samples=16)`.
        channel: P(Y | X), or None to leave it out.
        prior: P(X), called without a condition, or None to leave it out.
        weight: Of channel and prior, or one each. The direct model has 1.
        per_dim: Divide each term by its number of dimensions (tokens of a text), so that long
            candidates are not at a disadvantage.
        seed: Of estimates and dequantisation, the same for all candidates.
        options: Of `pipe.given`, such as `likelihood="bound"` for diffusion, whose flow takes long.

    Raises:
        SpecError: If one of the pipelines has no density.
        ValueError: If there are no candidates, or nothing to rank them by.
    """
    if isinstance(candidates, (str, bytes)) or not isinstance(candidates, Sequence):
        raise TypeError(
            f"candidates is a list of values, got {candidates!r:.60}. Put them in a list."
        )
    if not candidates:
        raise ValueError("Expected at least one candidate, got none.")
    channel_weight, prior_weight = weight if isinstance(weight, tuple) else (weight, weight)
    count = len(candidates)
    jobs = {
        "direct": (pipe, 1.0, [y] * count, list(candidates)),
        "channel": (channel, channel_weight, list(candidates), [y] * count),
        "prior": (prior, prior_weight, [None] * count, list(candidates)),
    }
    total, variance = torch.zeros(2, count, dtype=torch.float64)
    terms = {}
    for name, (source, factor, given, values) in jobs.items():
        if source is None:
            continue
        own = options if name == "direct" else {}
        terms[name], errors = _score(source, given, values, own, seed=seed, per_dim=per_dim)
        total += factor * terms[name]
        variance += (factor * errors).square()
    if not terms:
        raise ValueError("There is nothing to rank by. Give pipe, channel or prior.")
    ranked = [
        Ranked(value, float(total[i]), float(variance[i].sqrt()), _row(terms, i))
        for i, value in enumerate(candidates)
    ]
    return sorted(ranked, key=lambda r: r.score, reverse=True)


def _score(
    pipe: Stage,
    given: list[Any],
    values: list[Any],
    options: Mapping[str, Any],
    *,
    seed: int,
    per_dim: bool,
) -> tuple[Tensor, Tensor]:
    """log p(value | given) of each, with its standard error, (K,) float64."""
    nats, errors = [], []
    for found in log_probs(pipe, given, values, seed=seed, **options):
        scale = found.num_dims.double().cpu() if per_dim else 1.0
        nats.append(found.nats.double().cpu() / scale)
        errors.append(found.std_error.double().cpu() / scale)
    return torch.cat(nats), torch.cat(errors)


def _row(terms: dict[str, Tensor], i: int) -> dict[str, float]:
    return {name: float(column[i]) for name, column in terms.items()}
