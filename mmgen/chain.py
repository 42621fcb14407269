r"""P(X | Y) through Z: one conditional after another.

With P(Z | Y) and P(X | Z), and X independent of Y given Z,

    p(x | y) = E_{z ~ P(Z | y)} p(x | z),

so a sample of the chain is a sample of z and then one of x, and a density is an average of
densities over samples of z, not of their logarithms: log p from M draws is log-mean-exp of
log p(x | z_m), too low by about half of its squared standard error.

Source: Importance Weighted Autoencoders (Burda et al., 2015), Eq. 8 and Sec. 3, arXiv:1509.00519,
with the prior P(Z | y) in the place of q.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch

from mmgen.core.codec import Codec
from mmgen.core.conditional import LogProb, Progress
from mmgen.core.options import Option, resolve_options
from mmgen.core.rng import derive_seeds, expand_seeds
from mmgen.distribution import Seen
from mmgen.door import Door

__all__ = ["Chain", "ChainDistribution", "Stage"]

# Most conditions of a later stage at once.
ROWS = 256


@runtime_checkable
class Stage(Protocol):
    """What can be a part of a chain: a pipeline, or anything with its door."""

    @property
    def codec(self) -> Codec:
        """Of what it generates."""

    def options(self) -> tuple[Option, ...]:
        """What `given` takes."""

    def given(self, y: Any = None, **options: Any) -> Any:
        """P(X | y), with `sample` and `log_prob`."""


class Chain(Door):
    """P(X | Y) made of stages, each conditioned on what the one before it generates.

    It has the door of a pipeline: it is called, it has `given` and `options`. `first >> second`
    makes one. An option that one stage alone takes keeps its name; one that several take is
    `stage1_<name>`, `stage2_<name>` and so on.

    Args:
        stages: Two or more, first to last. A chain among them counts as its stages.

    Raises:
        TypeError: If one has no `given`.
        ValueError: If there are fewer than two.
    """

    def __init__(self, *stages: Stage) -> None:
        for stage in stages:
            if not isinstance(stage, Stage):
                raise TypeError(
                    f"A chain is made of pipelines, got {type(stage).__name__}. Load it first, "
                    "with Pipeline.from_pretrained(name)."
                )
        flat = [s for stage in stages for s in (stage.stages if _is_chain(stage) else (stage,))]
        if len(flat) < 2:
            raise ValueError(f"A chain has at least two stages, got {len(flat)}.")
        self.stages: tuple[Stage, ...] = tuple(flat)

    def __repr__(self) -> str:
        return " >> ".join(map(repr, self.stages))

    def __rshift__(self, then: Stage) -> Chain:
        return Chain(self, then) if isinstance(then, Stage) else NotImplemented

    @property
    def codec(self) -> Codec:
        """Of what the last stage generates."""
        return self.stages[-1].codec

    def options(self) -> tuple[Option, ...]:
        """What `given` and a call take, with defaults and one line each."""
        draws = Option(
            "num_chain_draws",
            64,
            "Draws of what lies between, over which log_prob averages.",
            minimum=2,
            maximum=10_000,
        )
        return (*(replace(o, name=name) for name, (_, o) in self._routes().items()), draws)

    def given(self, y: Any = None, **options: Any) -> ChainDistribution:
        """P(X | y), or one for each y of a list.

        Args:
            y: A condition of the first stage, a list of them, or None for none.
            options: Those that `options()` lists.

        Raises:
            OptionError: If an option is unknown, or belongs to several stages.
            TypeError, ValueError: If a condition or an option cannot be read.
        """
        routes = self._routes()
        settings = resolve_options(self.options(), options)
        own: list[dict[str, Any]] = [{} for _ in self.stages]
        for name in options:
            if name in routes:
                i, option = routes[name]
                own[i][option.name] = settings[name]
        first = self.stages[0].given(y, **own[0])
        single = first.single
        return ChainDistribution(
            first=first,
            then=tuple(zip(self.stages[1:], own[1:], strict=True)),
            batch=1 if single else len(y),
            single=single,
            num_draws=settings["num_chain_draws"],
        )

    def _routes(self) -> dict[str, tuple[int, Option]]:
        """Which option of which stage each name stands for."""
        owned = [(i, o) for i, stage in enumerate(self.stages) for o in stage.options()]
        takers = Counter(o.name for _, o in owned)
        return {
            o.name if takers[o.name] == 1 else f"stage{i + 1}_{o.name}": (i, o) for i, o in owned
        }


@dataclass(frozen=True)
class ChainDistribution:
    """P(X | y) for the conditions of one `given` of a chain.

    Args:
        first: P(Z | y) of the first stage.
        then: The later stages, each with its options.
        batch: Number of conditions.
        single: Whether there is one condition, not a list.
        num_draws: Draws of Z over which `log_prob` averages.
    """

    first: Any
    then: tuple[tuple[Stage, dict[str, Any]], ...]
    batch: int
    single: bool
    num_draws: int

    def sample(
        self,
        num_samples: int = 1,
        *,
        seed: int | Sequence[int] | None = None,
        progress: Progress | None = None,
        preview: Seen | None = None,
    ) -> list[Any]:
        """A list of values for one condition, a list of such lists for several.

        Each stage has a seed of its own that follows from the sample's: with one seed for all, two
        stages of the same shape would draw the same noise.

        Raises:
            TypeError, ValueError: If num_samples or the seeds do not fit.
        """
        if isinstance(num_samples, bool) or not isinstance(num_samples, int):
            raise TypeError(f"num_samples is an integer, got {num_samples!r}.")
        seeds = expand_seeds(seed, max(num_samples, 0) * self.batch)
        values, _ = self._draw(num_samples, seeds, self.then, progress, preview)
        rows = [values[b * num_samples : (b + 1) * num_samples] for b in range(self.batch)]
        return rows[0] if self.single else rows

    def log_prob(self, x: Any, *, seed: int | Sequence[int] = 0) -> LogProb:
        """log p(x | y) in nats, from draws of what lies between.

        Args:
            x: A value for one condition, a list of one each for several.
            seed: For the draws, and for dequantisation, which each draw has its own of.

        Returns:
            An "estimate", with the standard error that the spread of p(x | z) tells (by the delta
            method). It is too small where few draws count: `how` says how many do.

        Raises:
            SpecError: If the last stage has no density.
            ValueError: If there is not one value for each condition.
        """
        values = [x] if self.single else list(x)
        if len(values) != self.batch:
            raise ValueError(
                f"Expected {self.batch} values, one for each condition, got {len(values)}."
            )
        draws = self.num_draws
        seeds = [s for own in expand_seeds(seed, self.batch) for s in derive_seeds(own, draws)]
        between, stage_seeds = self._draw(draws, seeds, self.then[:-1])
        last, options = self.then[-1]
        parts = []
        for start in range(0, len(between), ROWS):
            rows = range(start, min(start + ROWS, len(between)))
            given = last.given([between[i] for i in rows], **options)
            own = [stage_seeds[i][-1] for i in rows]
            parts.append(given.log_prob([values[i // draws] for i in rows], seed=own))
        nats = torch.cat([p.nats for p in parts]).reshape(self.batch, draws)
        num_dims = torch.cat([p.num_dims for p in parts]).reshape(self.batch, draws)[:, 0]
        average, std_error, effective = _log_mean(nats.double())
        how = (
            f"mean over {draws} draws between, at least {float(effective.min()):.1f} of which "
            f"count; each {parts[0].kind} by {parts[0].how}"
        )
        return LogProb(average.to(nats), "estimate", std_error.to(nats), num_dims, how)

    def _draw(
        self,
        num_samples: int,
        seeds: Sequence[int],
        then: Sequence[tuple[Stage, dict[str, Any]]],
        progress: Progress | None = None,
        preview: Seen | None = None,
    ) -> tuple[list[Any], list[list[int]]]:
        """Samples through the first and `then`, conditions outermost, and the stages' seeds."""
        stage_seeds = [derive_seeds(s, 1 + len(self.then)) for s in seeds]

        chunks = range(0, len(seeds), ROWS)
        count = 1 + len(then) * len(chunks)

        def told(i: int, *, last: bool) -> dict[str, Any]:
            """What the i-th of all the samplings reports to."""
            own: dict[str, Any] = {}
            if progress is not None:
                own["progress"] = lambda done, total: progress(i * total + done, count * total)
            if preview is not None:
                own["preview"] = lambda done, total, guess: preview(
                    i * total + done, count * total, guess if last else None
                )
            return own

        first = [s[0] for s in stage_seeds]
        rows = self.first.sample(num_samples, seed=first, **told(0, last=not then))
        values = rows if self.single else [v for row in rows for v in row]
        for i, (stage, options) in enumerate(then, 1):
            drawn = []
            for j, start in enumerate(chunks):
                some = slice(start, start + ROWS)
                given = stage.given(values[some], **options)
                own = [s[i] for s in stage_seeds[some]]
                report = told(1 + (i - 1) * len(chunks) + j, last=i == len(then))
                drawn += [row[0] for row in given.sample(1, seed=own, **report)]
            values = drawn
        return values, stage_seeds


def _is_chain(stage: Stage) -> bool:
    return isinstance(stage, Chain)


def _log_mean(nats: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """log of the mean of exp(nats) (B, M), its standard error, and the draws that count, (B,)."""
    count = nats.shape[1]
    # Where no draw has any density the greatest is -inf, and so shall the answer be.
    top = nats.amax(1, keepdim=True).clamp(min=torch.finfo(nats.dtype).min)
    weights = (nats - top).exp()
    mean = weights.mean(1)
    std_error = weights.std(1) / (mean * math.sqrt(count))
    effective = weights.sum(1).square() / weights.square().sum(1)
    return mean.log() + top[:, 0], std_error.nan_to_num(nan=math.inf), effective.nan_to_num(nan=0.0)
