r"""Is x one of ours? A p-value from a calibration set.

Scores, all in bits per dimension and greater for what is less like the calibration set:

- log_prob: -log2 p(x). What the model finds unlikely.
- typicality: its distance from its mean, either way. In many dimensions a model can find an outlier
  *more* likely than its own data, a flat image say, which is then as suspicious.
- complexity: -log2 p(x) - L(x), with L(x) the size of a lossless compression of x. The likelihood
  against that of a universal model, so that simple values are not forgiven for being simple.

**P-values are conformal.** If x came from where the n calibration values came from, all n + 1 would
be exchangeable, so the rank of its score among theirs is uniform, and

    p = (1 + #{i: score_i >= score}) / (n + 1)

is valid for any model, however bad, in P(p <= a) <= a. What a score takes from the set (a mean) is
taken from all n + 1, which keeps that exact. The p-value of several scores together ranks, in the
same way, the least of their p-values.

Sources: PixelDefend (Song et al., 2017), Sec. 3.3, arXiv:1710.10766 (the rank of a likelihood);
Detecting Out-of-Distribution Inputs Using a Test for Typicality (Nalisnick et al., 2019), Sec. 4,
arXiv:1906.02994; Input Complexity and Out-of-Distribution Detection (Serrà et al., 2019), Eq. 2,
arXiv:1909.11480; Algorithmic Learning in a Random World (Vovk et al., 2005), Sec. 2.2.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmgen.chain import Stage
from mmgen.core.conditional import Progress
from mmgen.core.errors import LoadError, UnknownNameError, close_names
from mmgen.core.files import check_output, read_json, write_beside
from mmgen.core.rng import derive_seeds, expand_seeds
from mmgen.inference.compression import compressed_bits

__all__ = ["SCORES", "OutlierDetector", "OutlierTest"]

SCORES = ("log_prob", "typicality", "complexity")

# Most values scored at once.
ROWS = 64

# With fewer values no p-value could be below a tenth.
LEAST_CALIBRATION = 10

# Raised whenever an older mmgen could not read what a newer one writes.
FORMAT = 1


@dataclass(frozen=True)
class OutlierTest:
    """What a detector says of one value.

    Args:
        p_value: How often a value like those of the calibration set would look so odd in its oddest
            score, at most.
        p_values: The same by each score alone.
        scores: In bits per dimension, greater for what is odder.
        kind: That of the log-probability: "exact", "estimate" or "lower bound".
    """

    p_value: float
    p_values: dict[str, float]
    scores: dict[str, float]
    kind: str


class OutlierDetector:
    """Tells values that are unlike a calibration set, which the model was not trained on.

    Args:
        pipe: P(X | Y) with a density.
        values: The calibration set, ten values or more. The least p-value is 1 / (n + 1).
        y: The condition of all, a list of one each, or None for P(X).
        scores: Those of SCORES to look at. "complexity" needs values of integers.
        seed: For estimates and dequantisation.
        progress: Called with (values done, values in all).
        options: Of `pipe.given`, here and in every test.

    Raises:
        SpecError: If the pipeline has no density, or a score does not suit the values.
        UnknownNameError: If there is no such score.
        ValueError: If there are too few values, or not one condition for each.
    """

    def __init__(
        self,
        pipe: Stage,
        values: Sequence[Any],
        *,
        y: Any = None,
        scores: Sequence[str] = SCORES,
        seed: int = 0,
        progress: Progress | None = None,
        **options: Any,
    ) -> None:
        self._set(pipe, scores, options)
        if len(values) < LEAST_CALIBRATION:
            raise ValueError(
                f"A calibration set has {LEAST_CALIBRATION} values or more, got {len(values)}. Its "
                "size n bounds p-values by 1 / (n + 1)."
            )
        # Derived, so that no test with a seed of its own draws the noise of a calibration value.
        seeds = derive_seeds(seed, len(values))
        self.statistics, self.kind = self._measure(list(values), y, seeds, progress)

    def _set(self, pipe: Stage, scores: Sequence[str], options: Mapping[str, Any]) -> None:
        if not scores:
            raise ValueError(f"Expected one or more of {', '.join(SCORES)}, got no score.")
        for name in scores:
            if name not in SCORES:
                raise UnknownNameError(f"No score {name!r}. {close_names(name, SCORES)}")
        self.pipe, self.scores, self.options = pipe, tuple(scores), dict(options)

    def __repr__(self) -> str:
        count = len(self.statistics["bits"])
        return f"OutlierDetector({', '.join(self.scores)}; {count} calibration values)"

    def test(
        self,
        x: Any,
        y: Any = None,
        *,
        seed: int | Sequence[int] = 0,
        progress: Progress | None = None,
    ) -> Any:
        """An OutlierTest for a value, or a list of them for a list.

        Args:
            x: A value, or a list of them.
            y: The condition of all, a list of one each, or None for P(X).
            seed: s for s, s + 1, ...; or a list of one each.
            progress: Called with (values done, values in all).

        Raises:
            SpecError, ValueError: As when the detector was made.
        """
        single = self.pipe.codec.is_one(x)
        values = [x] if single else list(x)
        measured, kind = self._measure(values, y, expand_seeds(seed, len(values)), progress)
        found = [
            self._judge({name: column[i] for name, column in measured.items()}, kind)
            for i in range(len(values))
        ]
        return found[0] if single else found

    def _judge(self, own: dict[str, Tensor], kind: str) -> OutlierTest:
        """The test of one value from its statistics."""
        both = {name: torch.cat((old, own[name][None])) for name, old in self.statistics.items()}
        scores = {name: _score(name, both) for name in self.scores}
        # Of all n + 1, so that the least of a value's p-values can be ranked among the others'.
        p_values = {name: _p_values(score) for name, score in scores.items()}
        least = torch.stack(list(p_values.values())).amin(0)
        return OutlierTest(
            p_value=float(_p_values(-least)[-1]),
            p_values={name: float(column[-1]) for name, column in p_values.items()},
            scores={name: float(column[-1]) for name, column in scores.items()},
            kind=kind,
        )

    def _measure(
        self, values: list[Any], y: Any, seeds: Sequence[int], progress: Progress | None
    ) -> tuple[dict[str, Tensor], str]:
        """Statistics of each value (n,), float64, and the kind of the log-probabilities."""
        conditions = list(y) if isinstance(y, (list, tuple)) else [y] * len(values)
        if len(conditions) != len(values):
            raise ValueError(
                f"Expected {len(values)} conditions, one for each value, got {len(conditions)}."
            )
        records = []
        for start in range(0, len(values), ROWS):
            some = slice(start, start + ROWS)
            given = self.pipe.given(conditions[some], **self.options)
            records.append(given.log_prob(values[some], seed=list(seeds[some])))
            if progress is not None:
                progress(min(start + ROWS, len(values)), len(values))
        bits = torch.cat([r.bits_per_dim for r in records]).double().cpu()
        if not bits.isfinite().all():
            raise ValueError(
                "log p(x) is not finite for one of the values. Are the weights and statistics of "
                "the pipeline loaded, and all values within its range?"
            )
        found = {"bits": bits}
        if "complexity" in self.scores:
            num_dims = torch.cat([r.num_dims for r in records]).double().cpu()
            sizes = [compressed_bits(self.pipe.codec.prepare([v])) for v in values]
            found["compressed"] = torch.tensor(sizes, dtype=torch.float64) / num_dims
        return found, records[0].kind

    # Files --------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the calibration, without the pipeline, as JSON.

        Raises:
            ValueError: If the ending is not .json, or the folder does not exist.
            TypeError: If an option cannot be written as JSON.
        """
        path = check_output(path, (".json",), what="a calibration")
        content = {
            "format": FORMAT,
            "scores": self.scores,
            "options": self.options,
            "kind": self.kind,
            "statistics": {name: column.tolist() for name, column in self.statistics.items()},
        }
        write_beside(path, json.dumps(content, indent=1).encode())
        return path

    @classmethod
    def load(cls, pipe: Stage, path: str | os.PathLike[str]) -> OutlierDetector:
        """A detector from what `save` wrote, for the same pipeline.

        Raises:
            LoadError: If the file is missing, or does not hold a calibration.
        """
        content = read_json(Path(path))
        if content.get("format") != FORMAT:
            raise LoadError(
                f"{path} has format {content.get('format')!r}, this mmgen reads {FORMAT}. "
                "Calibrate again, or update mmgen."
            )
        detector = cls.__new__(cls)
        try:
            detector._set(pipe, content["scores"], content["options"])
            needed = ("bits", "compressed") if "complexity" in detector.scores else ("bits",)
            detector.statistics = {n: _column(content["statistics"][n]) for n in needed}
            detector.kind = str(content["kind"])
        except (KeyError, TypeError, ValueError) as error:
            raise LoadError(f"{path} does not hold a calibration: {error}") from None
        if len({len(column) for column in detector.statistics.values()}) > 1:
            raise LoadError(f"{path} is altered: its statistics differ in length.")
        return detector


def _score(name: str, statistics: Mapping[str, Tensor]) -> Tensor:
    bits = statistics["bits"]
    if name == "typicality":
        return (bits - bits.mean()).abs()
    return bits - statistics["compressed"] if name == "complexity" else bits


def _p_values(scores: Tensor) -> Tensor:
    """Share of the scores (n,) that are as great as each, itself included, (n,)."""
    below = torch.searchsorted(scores.sort().values, scores, right=False)
    return (len(scores) - below).double() / len(scores)


def _column(numbers: Any) -> Tensor:
    column = torch.tensor(numbers, dtype=torch.float64)
    if column.ndim != 1 or len(column) < LEAST_CALIBRATION or not column.isfinite().all():
        raise ValueError(f"a statistic is a list of {LEAST_CALIBRATION} or more finite numbers")
    return column
