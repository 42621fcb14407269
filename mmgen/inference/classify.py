r"""Bayes' rule: a generative model is a classifier.

    p(y_k | x) = p(x | y_k) p(y_k) / sum_j p(x | y_j) p(y_j).

Where log p(x | y) is an estimate or a bound, each candidate is scored again and again, the r-th
time with the r-th seed, which is the same for all candidates: what the noise of the estimate does
to all of them alike drops out of their differences, and only differences count. Evaluations go to
those that may still win: after each of ceil(log2 K) rounds of equal cost the worse half leaves
(successive halving). Differences to the winner are taken over the seeds that both have seen.

With a lower bound in the place of log p(x | y), as diffusion models are classified by, the answer
is as good as the bounds are equally tight for all candidates; `Classification.kind` tells.

Sources: Your Diffusion Model is Secretly a Zero-Shot Classifier (Li et al., 2023), Eq. 5 and
Alg. 2, arXiv:2303.16203 (bounds, shared noise, leaving early); Almost Optimal Exploration in
Multi-Armed Bandits (Karnin et al., 2013), Alg. 1 (sequential halving).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mmgen.chain import Stage
from mmgen.core.codec import Lossless
from mmgen.core.conditional import LogProb, Progress
from mmgen.core.errors import SpecError
from mmgen.core.rng import derive_seeds, expand_seeds

__all__ = ["NONE_OF_THESE", "Classification", "NoneOfThese", "classify"]

NONE_OF_THESE = "none of these"
"""The candidate that stands for x being none of the others."""

# Most values scored at once.
ROWS = 64

# Evaluations of each candidate in the first round, where no budget is given.
FIRST_ROUND = 4

# Least evaluations of each candidate in the first round of an estimate, so that errors are known.
LEAST_ROUND = 2

# A family whose log_prob costs hundreds of calls, but that also has a bound by few, is scored so,
# where the caller does not say otherwise.
CHEAP = {"likelihood": "bound", "num_bound_draws": 8}

# From the strongest kind of log-probability to the weakest.
KINDS = ("exact", "estimate", "lower bound")


@dataclass(frozen=True)
class NoneOfThese:
    """The hypothesis that x comes from none of the candidates but from a background.

    Args:
        prior: Its probability before x is seen; the candidates share the rest.
        pipe: The background P(X | y), or None for the classifying pipeline itself. Its codec gives
            latents of which it is as true that they lose nothing.
        y: Its condition; None for P(X).
        options: Of its `given`, if it is a pipeline of its own.
    """

    prior: float = 0.1
    pipe: Stage | None = None
    y: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.prior < 1:
            raise ValueError(f"The prior of none of these lies between 0 and 1, got {self.prior}.")


@dataclass(frozen=True)
class Classification:
    """P(y | x) over K candidates.

    Args:
        candidates: The y, with NONE_OF_THESE as the last one if it was asked for.
        probability: Of each (K,), float64.
        std_error: Of `probability` (K,), from the randomness of estimation; zeros if there is none.
        nats: log p(x | y) of each (K,).
        nats_error: Standard error of `nats` (K,), larger than those of differences.
        kind: That of the weakest log-probability: "exact", "estimate" or "lower bound".
        how: One line: the method, and which density it is.
        num_evaluations: How many log-probabilities of x were found.
    """

    candidates: tuple[Any, ...]
    probability: Tensor
    std_error: Tensor
    nats: Tensor
    nats_error: Tensor
    kind: str
    how: str
    num_evaluations: int

    @property
    def best(self) -> Any:
        """The likeliest candidate."""
        return self.candidates[int(self.probability.argmax())]


def classify(
    pipe: Stage,
    x: Any,
    candidates: Sequence[Any],
    *,
    prior: Sequence[float] | None = None,
    none_of_these: NoneOfThese | None = None,
    budget: int | None = None,
    seed: int | Sequence[int] = 0,
    progress: Progress | None = None,
    **options: Any,
) -> Classification | list[Classification]:
    """P(y | x) by Bayes' rule: one for one x, a list for a list.

    Args:
        pipe: P(X | Y) with a density.
        x: A value, or a list of them.
        candidates: Conditions, the K of them that are possible.
        prior: Probability of each (K,), which sum to one; None for 1 / K each.
        none_of_these: A further hypothesis, or None if x is one of the candidates for sure.
        budget: Most log-probabilities to find for one x. None for enough to find four of each
            candidate in the first round of halving. If they are exact, one of each is found.
        seed: s for s, s + 1, ... over the x; or a list of one each.
        progress: Called with (values done, values in all).
        options: Of `pipe.given`. Diffusion is scored by its bound, with few draws each time, unless
            `likelihood` says otherwise.

    Raises:
        SpecError: If a pipeline has no density, or the densities are not of the same thing.
        ValueError: If there are no candidates, the prior does not fit, the budget is too small, or
            x is impossible under every candidate.
    """
    single = pipe.codec.is_one(x)
    values = [x] if single else list(x)
    if not values:
        raise ValueError("Expected at least one value, got an empty list.")
    if isinstance(candidates, (str, bytes)) or not isinstance(candidates, Sequence):
        raise TypeError(
            f"candidates is a list of conditions, got {candidates!r:.60}. Put them in a list."
        )
    if not candidates:
        raise ValueError("Expected at least one candidate, got none.")
    contest = _Contest(_sources(pipe, candidates, none_of_these, options))
    log_prior = _log_prior(prior, len(candidates), none_of_these)
    names = tuple(candidates) if none_of_these is None else (*candidates, NONE_OF_THESE)
    found: list[Classification] = []
    for value, s in zip(values, expand_seeds(seed, len(values)), strict=True):
        found.append(contest.run(value, names, log_prior, budget=budget, seed=s))
        if progress is not None:
            progress(len(found), len(values))
    return found[0] if single else found


def _sources(
    pipe: Stage, candidates: Sequence[Any], none: NoneOfThese | None, options: Mapping[str, Any]
) -> list[tuple[Stage, dict[str, Any], list[Any]]]:
    """Pipelines with their options and conditions, whose log-probabilities are compared."""
    own = _with_cheap_likelihood(pipe, options)
    if none is None:
        return [(pipe, own, list(candidates))]
    if none.pipe is None:
        if none.options:
            raise ValueError("Options of none_of_these are for a pipeline of its own. Give pipe.")
        return [(pipe, own, [*candidates, none.y])]
    if isinstance(pipe.codec, Lossless) != isinstance(none.pipe.codec, Lossless):
        raise SpecError(
            "One of the pipeline and its background has densities of x and the other of latents "
            "that lose some of x. Give a background with the same codec."
        )
    background = _with_cheap_likelihood(none.pipe, none.options)
    return [(pipe, own, list(candidates)), (none.pipe, background, [none.y])]


def _with_cheap_likelihood(pipe: Stage, options: Mapping[str, Any]) -> dict[str, Any]:
    known = {o.name for o in pipe.options()}
    return {**CHEAP, **options} if known.issuperset(CHEAP) else dict(options)


def _log_prior(prior: Sequence[float] | None, count: int, none: NoneOfThese | None) -> Tensor:
    """log p(y) of each hypothesis, float64."""
    shares = torch.full((count,), 1 / count, dtype=torch.float64)
    if prior is not None:
        shares = torch.as_tensor(prior, dtype=torch.float64)
        if shares.shape != (count,):
            raise ValueError(
                f"The prior has one probability for each of {count} candidates, got shape "
                f"{tuple(shares.shape)}."
            )
        if not bool((shares >= 0).all()) or abs(float(shares.sum()) - 1) > 1e-4:
            raise ValueError(
                "The prior is made of probabilities that sum to 1; these sum to "
                f"{float(shares.sum()):g}. Divide them by their sum."
            )
    if none is not None:
        shares = torch.cat((shares * (1 - none.prior), shares.new_tensor([none.prior])))
    return shares.log()


class _Contest:
    """Scores hypotheses about one x after another.

    Args:
        sources: Pipelines with their options and conditions.
    """

    def __init__(self, sources: Sequence[tuple[Stage, dict[str, Any], list[Any]]]) -> None:
        self.hypotheses = [(i, y) for i, (_, _, ys) in enumerate(sources) for y in ys]
        self.sources = sources

    def run(
        self, x: Any, names: tuple[Any, ...], log_prior: Tensor, *, budget: int | None, seed: int
    ) -> Classification:
        count = len(self.hypotheses)
        num_rounds = max(1, math.ceil(math.log2(count)))
        budget = FIRST_ROUND * count * num_rounds if budget is None else budget
        if budget < count:
            raise ValueError(
                f"The budget is at least one evaluation for each of {count} hypotheses, got "
                f"{budget}."
            )
        first, records = self._score(x, range(count), derive_seeds(seed, 1))
        table = first.tolist()
        kind = max((r.kind for r in records), key=KINDS.index)
        if kind != "exact":
            least = LEAST_ROUND * count * num_rounds
            if budget < least:
                raise ValueError(
                    f"These log-probabilities are not exact, so that {count} hypotheses need a "
                    f"budget of at least {least} evaluations, got {budget}."
                )
            self._halve(x, table, log_prior, budget=budget, num_rounds=num_rounds, seed=seed)
        probability, std_error = _posterior(table, log_prior)
        means, errors = zip(*(_mean_and_error(row) for row in table), strict=True)
        return Classification(
            candidates=names,
            probability=probability,
            std_error=std_error,
            nats=torch.tensor(means, dtype=torch.float64),
            nats_error=torch.tensor(errors, dtype=torch.float64),
            kind=kind,
            how="; ".join(dict.fromkeys(r.how for r in records)),
            num_evaluations=sum(map(len, table)),
        )

    def _halve(
        self,
        x: Any,
        table: list[list[float]],
        log_prior: Tensor,
        *,
        budget: int,
        num_rounds: int,
        seed: int,
    ) -> None:
        """Add evaluations to the rows of the table, most to those that stay longest."""
        kept = list(range(len(table)))
        for i in range(num_rounds):
            done = len(table[kept[0]])
            # The first evaluation of each was made to see what kind it is.
            new = budget // (num_rounds * len(kept)) - (1 if i == 0 else 0)
            scores, _ = self._score(x, kept, derive_seeds(seed, done + new)[done:])
            for k, row in zip(kept, scores.tolist(), strict=True):
                table[k] += row
            if i + 1 < num_rounds:
                worth = {k: math.fsum(table[k]) / len(table[k]) + float(log_prior[k]) for k in kept}
                kept = sorted(kept, key=worth.__getitem__, reverse=True)[: -(-len(kept) // 2)]

    def _score(
        self, x: Any, which: Sequence[int], seeds: Sequence[int]
    ) -> tuple[Tensor, list[LogProb]]:
        """log p(x | y) (K, R), float64, of some hypotheses with some seeds; and the records."""
        cells = [(k, r) for k in which for r in range(len(seeds))]
        place = {k: i for i, k in enumerate(which)}
        scores = torch.empty(len(which), len(seeds), dtype=torch.float64)
        records = []
        for source, (pipe, options, _) in enumerate(self.sources):
            own = [(k, r) for k, r in cells if self.hypotheses[k][0] == source]
            for start in range(0, len(own), ROWS):
                rows = own[start : start + ROWS]
                given = pipe.given([self.hypotheses[k][1] for k, _ in rows], **options)
                found = given.log_prob([x] * len(rows), seed=[seeds[r] for _, r in rows])
                records.append(found)
                for (k, r), nats in zip(rows, found.nats.tolist(), strict=True):
                    scores[place[k], r] = nats
        if scores.isnan().any():
            raise ValueError(
                "log p(x | y) is not a number. Are the weights and statistics of the pipeline "
                "loaded, and x within its range?"
            )
        return scores, records


def _mean_and_error(row: Sequence[float]) -> tuple[float, float]:
    values = torch.tensor(row, dtype=torch.float64)
    if len(row) == 1:
        return row[0], 0.0
    return float(values.mean()), float(values.std()) / math.sqrt(len(row))


def _posterior(table: Sequence[Sequence[float]], log_prior: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities (K,) and their standard errors, by the delta method over shared seeds.

    With d_k the mean difference to the leader, softmax has the slopes p_k (1[j = k] - p_j), and the
    r-th seed adds p_k (e_kr - sum_j p_j e_jr) to the error of p_k, where e_kr is its share in that
    of d_k.
    """
    most = max(map(len, table))
    means = [math.fsum(row) / len(row) for row in table]
    ready = [k for k, row in enumerate(table) if len(row) == most]
    leader = max(ready, key=lambda k: means[k] + float(log_prior[k]))
    if means[leader] + float(log_prior[leader]) == -math.inf:
        raise ValueError("x is impossible under every candidate of a positive prior.")
    ahead = torch.tensor(table[leader], dtype=torch.float64)
    gap = torch.empty(len(table), dtype=torch.float64)
    share = torch.zeros(len(table), most, dtype=torch.float64)
    for k, row in enumerate(table):
        difference = torch.tensor(row, dtype=torch.float64) - ahead[: len(row)]
        gap[k] = difference.mean()
        if len(row) > 1 and gap[k].isfinite():
            scale = math.sqrt(len(row) * (len(row) - 1))
            share[k, : len(row)] = (difference - gap[k]) / scale
    probability = (log_prior + gap).softmax(0)
    centred = share - (probability[:, None] * share).sum(0)
    return probability, probability * centred.square().sum(1).sqrt()
