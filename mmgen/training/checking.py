"""What is in a collection of pairs, and which of them a pipeline cannot learn from."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmgen.core.conditional import Progress
from mmgen.modalities import modality
from mmgen.pipeline import Pipeline
from mmgen.training.digests import digest
from mmgen.training.pairs import Pairs

__all__ = ["BadPair", "PairsReport", "check_pairs"]

_SHOWN = 60
_MANY = 20


@dataclass(frozen=True)
class BadPair:
    """A pair that cannot be learnt from.

    Attributes:
        where: Where it stands.
        message: What is wrong with it.
    """

    where: str
    message: str


@dataclass
class PairsReport:
    """What `check_pairs` finds.

    Attributes:
        count: Number of pairs, the bad ones among them.
        bad: Those that cannot be learnt from.
        good: Indices of the others.
        first: The first pairs (y, x), as text.
        twice: Pairs that are the same, by where they stand: (first, again).
        elsewhere: Pairs that also stand in another collection, such as the validation split.
        doubtful: Pairs in which something may be wrong, by what: "x is silent".
        numbers: (least, median, greatest) of what can be counted: "x.width", "y.characters".
        words: How often each value of a label stands there, by "y" or "y.<part>".
    """

    count: int = 0
    bad: list[BadPair] = field(default_factory=list)
    good: list[int] = field(default_factory=list)
    first: list[tuple[str, str]] = field(default_factory=list)
    twice: list[tuple[str, str]] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    doubtful: dict[str, list[str]] = field(default_factory=dict)
    numbers: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    words: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def share_bad(self) -> float:
        """Of the pairs, those that cannot be learnt from."""
        return len(self.bad) / max(1, self.count)

    @property
    def warnings(self) -> list[str]:
        """What should be looked at before training, in words."""
        found = []
        good = self.count - len(self.bad)
        if good == 0:
            found.append("There is no pair that can be learnt from.")
        elif good < _MANY:
            few = "1 pair is few: it" if good == 1 else f"{good} pairs are few: they"
            found.append(f"{few} will be learnt by heart.")
        if self.twice:
            again = "stands" if len(self.twice) == 1 else "stand"
            found.append(
                f"{_counted(len(self.twice), 'pair')} {again} there twice, such as "
                f"{self.twice[0][0]} and {self.twice[0][1]}."
            )
        if self.elsewhere:
            also = "is" if len(self.elsewhere) == 1 else "are"
            found.append(
                f"{_counted(len(self.elsewhere), 'pair')} {also} also in the other split, such as "
                f"{self.elsewhere[0]}: what is measured there will look too good."
            )
        for what, places in self.doubtful.items():
            found.append(f"{what} in {_counted(len(places), 'pair')}, such as {places[0]}.")
        for part, counts in self.words.items():
            most, least = max(counts.values()), min(counts.values())
            if most >= 100 * least:
                rare = min(counts, key=counts.__getitem__)
                found.append(
                    f"{part}: {rare!r} stands there {_counted(least, 'time')}, another {most} "
                    "times. It will hardly be learnt: add pairs of it, or leave some of the others "
                    "out."
                )
        return found


def check_pairs(
    pipe: Pipeline,
    pairs: Pairs,
    *,
    against: Pairs | None = None,
    num_first: int = 3,
    progress: Progress | None = None,
) -> PairsReport:
    """Read every pair as training would, and count.

    Args:
        pipe: What shall learn from them. It is not changed: what lacks a vocabulary gets none.
        pairs: The pairs.
        against: Another split, which should share no pair with them.
        num_first: How many pairs to show.
        progress: Called with (pairs read, pairs in all).
    """
    report = PairsReport(count=len(pairs))
    known = set() if against is None else {own for own, _ in _digests(against)}
    seen: dict[bytes, str] = {}
    told: dict[bytes, bytes] = {}
    measured: dict[str, list[Any]] = {}
    for index in range(len(pairs)):
        where = pairs.where(index)
        try:
            y, x = pairs.pair(index, np.random.default_rng([0, index]))
            _prepare(pipe, y, x)
        except (ValueError, TypeError, OSError) as error:
            report.bad.append(BadPair(where, str(error).removeprefix(f"{where}: ")))
        else:
            report.good.append(index)
            _note_same(report, digest(y, x), where, seen, known)
            for doubt in (*_doubts(pipe, x), *_otherwise_told(pipe, y, x, told)):
                report.doubtful.setdefault(doubt, []).append(where)
            for name, value in _measures(pipe, y, x):
                measured.setdefault(name, []).append(value)
            if len(report.first) < num_first:
                report.first.append((_shown(y), _shown(x)))
        if progress is not None:
            progress(index + 1, len(pairs))
    for name, values in measured.items():
        if isinstance(values[0], str):
            report.words[name] = dict(Counter(values).most_common())
        else:
            report.numbers[name] = (min(values), statistics.median(values), max(values))
    return report


def _note_same(
    report: PairsReport, own: bytes, where: str, seen: dict[bytes, str], known: set[bytes]
) -> None:
    """Note whether a pair has been seen before, or is known from elsewhere."""
    if own in seen:
        report.twice.append((seen[own], where))
    seen.setdefault(own, where)
    if own in known:
        report.elsewhere.append(where)


def _prepare(pipe: Pipeline, y: Any, x: Any) -> None:
    """Read a pair as training would; texts only once there is a vocabulary to read them with."""
    encoder, codec = pipe.encoder, pipe.codec
    if encoder.fitted:
        encoder.prepare([y])
    if codec.fitted:
        codec.prepare([x])
    elif modality(codec.spec.modality).IN_FILES:
        modality(codec.spec.modality).load(x)


def _doubts(pipe: Pipeline, x: Any) -> list[str]:
    kind = modality(pipe.codec.spec.modality)
    return [f"x is {doubt}" for doubt in kind.doubts(x)] if hasattr(kind, "doubts") else []


def _otherwise_told(pipe: Pipeline, y: Any, x: Any, told: dict[bytes, bytes]) -> Iterator[str]:
    """Whether a value of files was there before with another y, as a wrong name makes it be."""
    if modality(pipe.codec.spec.modality).IN_FILES:
        own = digest(None, x)
        if told.setdefault(own, digest(y, None)) != digest(y, None):
            yield "x has another y elsewhere"


def _measures(pipe: Pipeline, y: Any, x: Any) -> Iterator[tuple[str, float | str]]:
    """What can be counted of a pair, by name."""
    yield from _measured("x", modality(pipe.codec.spec.modality), x)
    encoder = pipe.encoder
    main, parts = encoder.named_parts()
    if main:
        for name, value in y.items() if isinstance(y, Mapping) else ():
            kind = parts[name].modality if name in parts else None
            if kind is not None and value is not None:
                yield from _measured(f"y.{name}", modality(kind), value)
    elif y is not None and encoder.modality is not None:
        yield from _measured("y", modality(encoder.modality), y)


def _measured(what: str, kind: Any, value: Any) -> Iterator[tuple[str, float | str]]:
    for name, measure in kind.measures(value).items() if hasattr(kind, "measures") else ():
        yield (f"{what}.{name}" if name else what), measure


def _digests(pairs: Pairs) -> Iterator[tuple[bytes, str]]:
    for index in range(len(pairs)):
        try:
            y, x = pairs.pair(index, np.random.default_rng([0, index]))
        except (ValueError, TypeError, OSError):
            continue
        yield digest(y, x), pairs.where(index)


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, (str, Path)) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _counted(number: int, what: str) -> str:
    """A number of things, in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"
