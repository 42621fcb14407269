r"""P(X | y) drawn by way of candidates: of several the one from which y is read best.

By Bayes' rule p(x | y) is proportional to p(y | x) p(x). A model of P(X | Y) proposes K candidates,
and a model of the other direction, the channel, keeps

    argmax_k log p(y | x_k),

which mends what a direct model is prone to: leaving out parts of y.

Sources: Learning to Summarize with Human Feedback (Stiennon et al., 2020), Sec. 4.3 (best of n),
arXiv:2009.01325; Zero-Shot Text-to-Image Generation (Ramesh et al., 2021), Sec. 2.6 (images ranked
by how well they match their caption), arXiv:2102.12092; the channel in place of a contrastive
score: Simple and Effective Noisy Channel Modeling for Neural Machine Translation (Yee et al.,
2019), Eq. 2, arXiv:1908.05731.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mmgen.chain import Stage
from mmgen.core.conditional import LogProb, Progress
from mmgen.core.errors import SpecError
from mmgen.core.options import Option
from mmgen.core.rng import derive_seeds, expand_seeds
from mmgen.distribution import Distribution, Seen, Summary, check_num_samples

__all__ = ["RankedDistribution", "Ranking", "log_probs"]

# Most values scored at once.
ROWS = 64


@dataclass(frozen=True)
class Ranking:
    """How a pipeline's samples are chosen from candidates.

    Args:
        channel: P(Y | X), a pipeline or the name of a shipped one.
        num_candidates: How many there are for each sample, if not asked otherwise.
    """

    channel: Stage | str
    num_candidates: int = 4

    def option(self) -> Option:
        """The option that says how many candidates there are."""
        return Option(
            "num_candidates",
            self.num_candidates,
            "Draw so many for each sample and keep the one that tells its condition best.",
            minimum=1,
            maximum=256,
        )


def log_probs(
    pipe: Stage,
    conditions: Sequence[Any],
    values: Sequence[Any],
    *,
    seed: int = 0,
    **options: Any,
) -> list[LogProb]:
    """log p(value | condition) of each pair, in records of at most `ROWS`.

    Args:
        pipe: What has a density.
        conditions: One for each value.
        values: What is scored.
        seed: Of estimates and dequantisation, the same for all.
        options: Of `pipe.given`.

    Raises:
        SpecError: If it has no density.
    """
    found = []
    for start in range(0, len(values), ROWS):
        some = slice(start, start + ROWS)
        own = list(values[some])
        given = pipe.given(list(conditions[some]), **options)
        found.append(given.log_prob(own, seed=[seed] * len(own)))
    return found


@dataclass(frozen=True)
class RankedDistribution:
    """P(X | y) whose samples are the best of several, as a channel reads them.

    **This changes samples and not densities**: all but `sample` is about the distribution that
    proposes them.

    Args:
        inner: What proposes.
        channel: P(Y | X).
        conditions: y, one for each; None where nothing is to be read, and the first is kept.
        num_candidates: K.
    """

    inner: Distribution
    channel: Stage
    conditions: tuple[Any, ...]
    num_candidates: int

    @property
    def single(self) -> bool:
        """Whether there is one condition, not a list."""
        return self.inner.single

    def sample(
        self,
        num_samples: int = 1,
        *,
        seed: int | Sequence[int] | None = None,
        progress: Progress | None = None,
        preview: Seen | None = None,
    ) -> list[Any]:
        """A list of values for one condition, a list of such lists for several.

        Args:
            num_samples: N. Of the candidates of a sample the first is what its seed gives without
                ranking.
            seed: As in `Distribution.sample`.
            progress: As in `Distribution.sample`.
            preview: As in `Distribution.sample`; it shows all candidates.

        Raises:
            ValueError: If num_samples is below 1, there are more than MAX_SAMPLES candidates, or
                the seeds do not fit.
        """
        batch, count = len(self.conditions), self.num_candidates
        check_num_samples(num_samples, batch * count)
        seeds = expand_seeds(seed, num_samples * batch)
        own = [t for s in seeds for t in (s, *derive_seeds(s, count - 1))]
        found = self.inner.sample(num_samples * count, seed=own, progress=progress, preview=preview)
        rows = [found] if self.single else found
        flat = [x for row in rows for x in row]
        asked = [y for y in self.conditions for _ in range(num_samples * count)]
        best = self._scores(flat, asked).reshape(-1, count).argmax(1).tolist()
        kept = [flat[i * count + k] for i, k in enumerate(best)]
        chosen = [kept[b * num_samples : (b + 1) * num_samples] for b in range(batch)]
        return chosen[0] if self.single else chosen

    def stream(self, *, seed: int | Sequence[int] | None = None) -> Iterator[Any]:
        """Refuses: which candidate is kept shows when all have ended.

        Raises:
            SpecError: Always.
        """
        raise SpecError(
            "Of several candidates the best is known when all have ended. Use num_candidates=1 to "
            "see one grow."
        )

    def best(self, num_best: int = 1, **told: Any) -> list[Any]:
        """As `Distribution.best`, of what proposes."""
        return self.inner.best(num_best, **told)

    def summary(self, num_samples: int = 100, **told: Any) -> Summary:
        """As `Distribution.summary`, of what proposes."""
        return self.inner.summary(num_samples, **told)

    def log_prob(self, x: Any, *, seed: int | Sequence[int] = 0) -> LogProb:
        """As `Distribution.log_prob`, of what proposes."""
        return self.inner.log_prob(x, seed=seed)

    def _scores(self, values: Sequence[Any], conditions: Sequence[Any]) -> torch.Tensor:
        """log p(y | x) of each, zero where there is no y."""
        scores = torch.zeros(len(values), dtype=torch.float64)
        there = [i for i, y in enumerate(conditions) if y is not None]
        if there:
            read = log_probs(
                self.channel, [values[i] for i in there], [conditions[i] for i in there]
            )
            scores[there] = torch.cat([found.nats.double().cpu() for found in read])
        return scores
