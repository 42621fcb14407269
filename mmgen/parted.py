r"""P(X | Y) where Y is answered part by part: a long text sentence by sentence, say.

With parts y_1 ... y_S and answers x_s that do not see one another,

    log p(x_1 ... x_S | y) = sum_s log p(x_s | y_s).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mmgen.core.conditional import LogProb, Progress
from mmgen.core.errors import SpecError
from mmgen.core.parted import Parted
from mmgen.core.rng import derive_seeds, expand_seeds
from mmgen.distribution import Distribution, Scored, check_num_samples

__all__ = ["PartedDistribution"]

# Most parts at once.
ROWS = 32


@dataclass(frozen=True)
class PartedDistribution:
    """P(X | y) for the conditions of one `given`, some of which are answered part by part.

    Args:
        given: P(X | y) of each of a list of conditions that are answered whole.
        whole: The conditions.
        single: Whether there is one condition, not a list.
    """

    given: Callable[[list[Any]], Distribution]
    whole: tuple[Parted, ...]
    single: bool

    def sample(
        self,
        num_samples: int = 1,
        *,
        seed: int | Sequence[int] | None = None,
        progress: Progress | None = None,
        preview: Any = None,
    ) -> list[Any]:
        """A list of values for one condition, a list of such lists for several.

        Each part has a seed of its own that follows from the sample's.

        Raises:
            SpecError: If previews are asked for.
            TypeError, ValueError: If num_samples or the seeds do not fit.
        """
        if preview is not None:
            raise SpecError("What is answered part by part has no previews. Use stream.")
        batch = len(self.whole)
        check_num_samples(num_samples, batch)
        seeds = expand_seeds(seed, num_samples * batch)
        own = []
        for b, parted in enumerate(self.whole):
            rows = [
                _seeds_of_parts(s, len(parted.values))
                for s in seeds[b * num_samples : (b + 1) * num_samples]
            ]
            own += [list(part) for part in zip(*rows, strict=True)]

        def draw(given: Distribution, index: Sequence[int], told: Progress | None) -> list[Any]:
            flat = [s for i in index for s in own[i]]
            return given.sample(num_samples, seed=flat, progress=told)

        found = self._each(draw, progress)
        joined = [
            [parted.join([part[n] for part in parts]) for n in range(num_samples)]
            for parted, parts in zip(self.whole, found, strict=True)
        ]
        return joined[0] if self.single else joined

    def stream(self, *, seed: int | Sequence[int] | None = None) -> Iterator[Any]:
        """One sample of each condition, while it grows, part after part.

        Args:
            seed: As in `sample`.

        Yields:
            What there is of the value so far, a list of such for several conditions. The last is
            the sample that `sample` gives for the same seed.

        Raises:
            SpecError: If samples of the model's family do not grow.
        """
        own = [
            _seeds_of_parts(s, len(parted.values))
            for s, parted in zip(expand_seeds(seed, len(self.whole)), self.whole, strict=True)
        ]
        done: list[list[Any]] = [[] for _ in self.whole]
        for s in range(max(len(parted.values) for parted in self.whole)):
            rows = [b for b, parted in enumerate(self.whole) if s < len(parted.values)]
            given = self.given([self.whole[b].values[s] for b in rows])
            grown: list[Any] = []
            for grown in given.stream(seed=[own[b][s] for b in rows]):
                now = [list(parts) for parts in done]
                for b, value in zip(rows, grown, strict=True):
                    now[b].append(value)
                values = [p.join(parts) for p, parts in zip(self.whole, now, strict=True)]
                yield values[0] if self.single else values
            for b, value in zip(rows, grown, strict=True):
                done[b].append(value)

    def best(
        self, num_best: int = 1, *, num_beams: int | None = None, length_penalty: float = 0.0
    ) -> list[Any]:
        """The likeliest values that beam searches of the parts find, likeliest first.

        Arguments, result and errors are those of `Distribution.best`. With a length penalty, those
        of several parts are ranked by the sum of the places of their parts.
        """

        def search(given: Distribution, index: Sequence[int], told: Progress | None) -> list[Any]:
            return given.best(num_best, num_beams=num_beams, length_penalty=length_penalty)

        rows = []
        for parted, parts in zip(self.whole, self._each(search, None), strict=True):
            found: list[tuple[float, float, list[Any]]] = [(0.0, 0.0, [])]
            for part in parts:
                longer = [
                    (rank + (-place if length_penalty else one.nats), n + one.nats, [*v, one.value])
                    for rank, n, v in found
                    for place, one in enumerate(part)
                ]
                found = heapq.nlargest(num_best, longer, key=lambda entry: entry[0])
            rows.append([Scored(parted.join(values), nats) for _, nats, values in found])
        return rows[0] if self.single else rows

    def log_prob(self, x: Any, *, seed: int | Sequence[int] = 0) -> LogProb:
        """log p(x | y) in nats, of a value that has as many parts as its condition.

        Args:
            x: A value for one condition, a list of one each for several.
            seed: As in `Distribution.log_prob`.

        Returns:
            A "lower bound" if there are several parts: x may be made of others in other ways.

        Raises:
            ValueError: If there is not one value for each condition, or it has not as many parts.
        """
        values = [x] if self.single else list(x)
        if len(values) != len(self.whole):
            raise ValueError(
                f"Expected {len(self.whole)} values, one for each condition, got {len(values)}."
            )
        parts, seeds = [], []
        for value, parted, own in zip(
            values, self.whole, expand_seeds(seed, len(values)), strict=True
        ):
            split = parted.split(value) if len(parted.values) > 1 else [value]
            if split is None:
                raise ValueError(
                    f"The condition has {len(parted.values)} parts, and {str(value)[:60]!r} not as "
                    'many, so it is not known which belongs to which. Give split="never" to ask '
                    "about both as a whole."
                )
            parts += split
            seeds += _seeds_of_parts(own, len(split))

        def score(given: Distribution, index: Sequence[int], told: Progress | None) -> list[Any]:
            found = given.log_prob([parts[i] for i in index], seed=[seeds[i] for i in index])
            return [(found, i) for i in range(len(index))]

        rows = self._each(score, None)

        def summed(name: str, power: int = 1) -> torch.Tensor:
            each = [[getattr(p, name)[i] ** power for p, i in row] for row in rows]
            return torch.stack([torch.stack(row).sum() for row in each])

        return LogProb(
            nats=summed("nats"),
            kind="lower bound" if len(parts) > len(values) else rows[0][0][0].kind,
            std_error=summed("std_error", 2).sqrt(),
            num_dims=summed("num_dims"),
            how=f"sum over parts, one for each of the condition; {rows[0][0][0].how}",
        )

    def _each(
        self,
        ask: Callable[[Distribution, Sequence[int], Progress | None], list[Any]],
        progress: Progress | None,
    ) -> list[list[Any]]:
        """What is answered for each part of each condition."""
        values = [value for parted in self.whole for value in parted.values]
        # Parts of about the same length are answered together.
        order = sorted(range(len(values)), key=lambda i: len(str(values[i])))
        chunks = [order[start : start + ROWS] for start in range(0, len(order), ROWS)]
        flat: list[Any] = [None] * len(values)
        for turn, index in enumerate(chunks):

            def told(done: int, total: int, *, turn: int = turn) -> None:
                if progress is not None:
                    progress(turn * total + done, len(chunks) * total)

            answers = ask(self.given([values[i] for i in index]), index, told)
            for i, answer in zip(index, answers, strict=True):
                flat[i] = answer
        found, start = [], 0
        for parted in self.whole:
            found.append(flat[start : start + len(parted.values)])
            start += len(parted.values)
        return found


def _seeds_of_parts(seed: int, count: int) -> list[int]:
    """Those of the parts of a sample. What is in one part is what it would be by itself."""
    return [seed] if count == 1 else derive_seeds(seed, count)
