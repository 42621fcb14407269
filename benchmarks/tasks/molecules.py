"""Are drawn molecules molecules, different, new, like real ones, and as they were asked for?

From nothing, strings are drawn as the pipeline draws them, and compared with the held-out part of
ZINC. Beside each score stands that of as many molecules of the training set, the best that can be
hoped for.

- validity as drawn first (the option `checked` off, where the pipeline has it: the raw one), that
  of the network alone (`constrained` off, too, where the pipeline has it, and `min_p` 0), and as
  the pipeline draws; of all also after a repair, and of the largest fragment;
- unique, novel, the metrics of MOSES and GuacaMol, Frechet ChemNet distance;
- properties: mean distance from a property that was asked for, that of a molecule never seen, in
  its unit, beside the mean distance of two molecules, which is what paying no heed gives;
- scaffold: share of molecules drawn around a scaffold never seen that hold it.

    python -m benchmarks.tasks.molecules

Reads the set `molecules` below the folder that MMGEN_DATA names.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.arguments import asked_options, task_parser
from benchmarks.records import record_path, record_pipeline
from mmgen import Pipeline, hub
from mmgen.core.composite import CompositeEncoder
from mmgen.core.encoder import Encoder
from mmgen.evaluation.intervals import Proportion
from mmgen.evaluation.metrics.frechet import frechet_distance
from mmgen.evaluation.metrics.molecules import (
    chemnet_features,
    drawn_molecules,
    guacamol_scores,
    moses_scores,
)
from mmgen.evaluation.metrics.molecules.guacamol import flat
from mmgen.evaluation.task import Task
from mmgen.modalities.molecules import canonical, is_valid, properties, save_many, scaffold
from mmgen.modalities.molecules.properties import UNITS
from mmgen.modalities.molecules.structure import to_mol

__all__ = ["TASK", "main"]

TASK = Task(
    summary="Are drawn molecules valid, different, new, like real ones, and as asked for?",
    protocol=3,
    minutes=15,
    quick=("--count", "40", "--compared", "20", "--asked", "4"),
    quick_minutes=1,
    quick_note="distances of sets of 20 molecules say nothing",
    pipeline="properties-to-molecules:zinc",
    x="molecules",
    y=("properties", "scaffold"),
    data=("molecules",),
    needs=(("rdkit", "molecules"), ("fcd", "bench"), ("scipy", "bench")),
    shown=(
        (
            "strings that are molecules, as drawn first",
            "unchecked/valid",
            "higher",
            "99 % is aimed at",
        ),
        (
            "the same by the network alone",
            "unconstrained/valid",
            "higher",
            "99 % is aimed at",
        ),
        (
            "Frechet ChemNet distance to held-out molecules",
            "fcd",
            "lower",
            "{training/fcd} by training molecules; twice that is aimed at",
        ),
        ("the same, what is none drawn again", "drawn/valid", "higher", "99 % is aimed at"),
        ("different ones among them", "drawn/unique", "higher", "99.9 % is aimed at"),
        ("new ones among those", "drawn/novel", "higher", "90 % is aimed at"),
        ("similarity to the nearest held-out one", "moses/snn", "higher", "{training/moses/snn}"),
        ("fragments as in held-out ones", "moses/frag", "higher", "{training/moses/frag}"),
        ("scaffolds as in held-out ones", "moses/scaf", "higher", "{training/moses/scaf}"),
        ("diversity", "moses/int_div", "higher", "{training/moses/int_div}"),
        ("pass filters", "moses/filters", "higher", "{training/moses/filters}"),
        ("GuacaMol's KL score", "guacamol/kl", "higher", "1 is best"),
        (
            "error of log P asked for",
            "properties/log_p/error",
            "lower",
            "{properties/log_p/by_chance} by chance",
        ),
        (
            "error of QED asked for",
            "properties/qed/error",
            "lower",
            "{properties/qed/by_chance} by chance",
        ),
        (
            "error of the weight asked for, g/mol",
            "properties/molecular_weight/error",
            "lower",
            "{properties/molecular_weight/by_chance} by chance",
        ),
        (
            "hold the scaffold asked for",
            "scaffold/held",
            "higher",
            "{scaffold/by_chance} by chance",
        ),
        ("molecules a second of a processor", "molecules_per_cpu_second", "higher", "one thread"),
    ),
)
PROTOCOL = TASK.protocol
_BATCH = 250
_DIFFERENT = 10_000
# Seeds of what is asked for are beyond those of what is drawn from nothing.
_NEXT_SEED = 100_000


@dataclass(frozen=True)
class _Drawing:
    """How strings are drawn.

    Args:
        pipe: By which.
        seed: Of the first.
        options: Of sampling.
    """

    pipe: Pipeline
    seed: int
    options: dict[str, Any]

    def from_nothing(self, count: int, **more: Any) -> list[str]:
        """So many strings."""
        found: list[str] = []
        while len(found) < count:
            some = min(_BATCH, count - len(found))
            seed = self.seed + len(found)
            found += self.pipe(None, num_samples=some, seed=seed, **self.options, **more)
            _say(f"{len(found)} of {count} drawn")
        return found

    def given(self, conditions: Sequence[Any]) -> list[str]:
        """One string for each condition; values beyond those of training are asked for, too."""
        known = {option.name for option in self.pipe.options()}
        more = {"unseen_values": "allow"} if "unseen_values" in known else {}
        options, found = more | self.options, []
        for start in range(0, len(conditions), _BATCH):
            seed = self.seed + _NEXT_SEED + start
            found += self.pipe(conditions[start : start + _BATCH], seed=seed, **options)
        return found


def _say(text: str) -> None:
    print(f"\r{text:60}", end="", file=sys.stderr, flush=True)


def _spread(values: Sequence[Any], count: int) -> list[Any]:
    """`count` values, evenly spaced; all if there are fewer."""
    count = min(count, len(values))
    return [values[i * len(values) // count] for i in range(count)]


def _atoms(smiles: str) -> str:
    """Its heavy atoms in alphabetical order, the same for every way to write a molecule."""
    return "".join(sorted(c for c in smiles.upper() if c.isalpha() and c != "H"))


def _alike(learnt: Sequence[str], drawn: Sequence[str]) -> list[str]:
    """Those learnt from that may be one of those drawn: writing all anew takes RDKit a minute."""
    atoms = set(map(_atoms, drawn))
    return [one for one in learnt if _atoms(one) in atoms]


def _likeness(drawn: list[str], recipe: ModuleType, compared: int) -> dict[str, Any]:
    """How molecules are as a set, beside as many of the training set."""
    held_out = _spread(recipe.smiles("test"), compared)
    rng = np.random.default_rng(42)
    learnt = recipe.smiles()
    some = [learnt[i] for i in rng.permutation(len(learnt))[: len(held_out)]]
    valid = [one for one in drawn if is_valid(one)][: len(held_out)]
    features = {}
    for name, part in (("held-out", held_out), ("training", some), ("drawn", valid)):
        _say(f"ChemNet reads {name} molecules")
        features[name] = chemnet_features(part)
    _say("metrics of MOSES and GuacaMol")
    near = frechet_distance(features["drawn"], features["training"])
    return {
        "compared": len(valid),
        "fcd": round(frechet_distance(features["drawn"], features["held-out"]), 4),
        "moses": _rounded(moses_scores(valid, held_out)),
        "training": {
            "fcd": round(frechet_distance(features["training"], features["held-out"]), 4),
            "moses": _rounded(moses_scores(some, held_out)),
        },
        "guacamol": _rounded(
            guacamol_scores(
                drawn,
                {flat(one) for one in _alike(learnt, drawn)},
                training=some,
                distance=near,
                count=min(len(drawn), _DIFFERENT),
            )
        ),
    }


def _rounded(scores: dict[str, float]) -> dict[str, float | None]:
    """None for what nothing compares."""
    return {n: None if math.isnan(x) else round(x, 4) for n, x in scores.items()}


def _properties(
    drawing: _Drawing, held_out: Sequence[str], learnt: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Mean distances from what was asked for, each property asked for alone."""
    names = drawing.pipe.encoder.parts["properties"].names
    real, seen = ([properties(one, names) for one in part] for part in (held_out, learnt))
    for name in names:
        wanted = [row[name] for row in real]
        said = drawing.given([{"properties": {name: value}} for value in wanted])
        errors = [
            abs(properties(one, [name])[name] - value)
            for one, value in zip(said, wanted, strict=True)
            if is_valid(one)
        ]
        known = np.array([row[name] for row in seen])
        yield (
            name,
            {
                "unit": UNITS[name],
                "error": round(float(np.mean(errors)), 4) if errors else None,
                "by_chance": round(float(np.abs(np.subtract.outer(wanted, known)).mean()), 4),
                "spread": round(float(known.std()), 4),
                "valid": len(errors),
                "count": len(wanted),
            },
        )


def _scaffolds(drawing: _Drawing, held_out: Sequence[str], learnt: Sequence[str]) -> dict[str, Any]:
    """How often molecules drawn around a scaffold hold it, and have it as their own."""
    reader = drawing.pipe.encoder.parts["scaffold"]
    frames = [f for one in held_out if (f := scaffold(one)) and _readable(reader, f)]
    said = drawing.given([{"scaffold": frame} for frame in frames])
    read = [(to_mol(one), frame) for one, frame in zip(said, frames, strict=True) if is_valid(one)]
    patterns = {frame: to_mol(frame) for frame in frames}
    others = [to_mol(one) for one in learnt[: len(frames)]]
    pairs = list(zip(others, frames, strict=False))
    return {
        "valid": Proportion(len(read), len(said)).as_dict(),
        "held": Proportion(
            sum(mol.HasSubstructMatch(patterns[frame]) for mol, frame in read), len(said)
        ).as_dict(),
        "own": Proportion(sum(scaffold(mol) == frame for mol, frame in read), len(said)).as_dict(),
        "by_chance": Proportion(
            sum(mol.HasSubstructMatch(patterns[frame]) for mol, frame in pairs), len(pairs)
        ).as_dict(),
    }


def _readable(reader: Encoder, frame: str) -> bool:
    """Whether an encoder has all symbols of a scaffold; a few have some that training had not."""
    try:
        reader.prepare([frame])
    except ValueError:
        return False
    return True


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = task_parser("molecules", pipeline=TASK.pipeline, description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="strings drawn from nothing")
    parser.add_argument("--compared", type=int, default=5000, help="molecules of each set compared")
    parser.add_argument("--asked", type=int, default=200, help="molecules for each property")
    chosen = parser.parse_args(given)
    if chosen.count < 2 or chosen.asked < 2 or chosen.compared < 2:
        parser.error("--count, --compared and --asked are at least 2")
    return chosen


def _scores(drawing: _Drawing, chosen: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    recipe = hub.find_recipe(TASK.pipeline).module()
    started, started_cpu = time.monotonic(), time.process_time()
    drawn = drawing.from_nothing(chosen.count)
    seconds, seconds_cpu = time.monotonic() - started, time.process_time() - started_cpu
    learnt = recipe.smiles()
    known = {canonical(one) for one in _alike(learnt, drawn)}
    scores = {
        "drawn": drawn_molecules(drawn, known, most=_DIFFERENT).as_dict(),
        "molecules_per_second": round(chosen.count / seconds, 1),
        "molecules_per_cpu_second": round(chosen.count / seconds_cpu, 1),
    }
    scores |= _raw(drawing, max(2, chosen.count // 5), learnt)
    held_out, others = _spread(recipe.smiles("test"), chosen.asked), _spread(learnt, 2000)
    _say("properties and scaffolds asked for")
    encoder = drawing.pipe.encoder
    parts = encoder.parts if isinstance(encoder, CompositeEncoder) else {}
    if "properties" in parts:
        scores["properties"] = dict(_properties(drawing, held_out, others))
    if "scaffold" in parts:
        scores["scaffold"] = _scaffolds(drawing, held_out, others)
    scores |= _likeness(drawn, recipe, min(chosen.compared, chosen.count))
    return scores, drawn


def _raw(drawing: _Drawing, count: int, learnt: Sequence[str]) -> dict[str, Any]:
    """Scores without what the pipeline does for validity, as far as it can be switched off."""
    has = {option.name for option in drawing.pipe.options()}
    ways = {"unchecked": {"checked": False}}
    bare = {"constrained": False, "temperature": 1.0, "min_p": 0.0}
    ways["unconstrained"] = ways["unchecked"] | bare
    scores = {}
    for name, options in ways.items():
        if has.issuperset(options):
            plain = drawing.from_nothing(count, **options)
            known = {canonical(one) for one in _alike(learnt, plain)}
            scores[name] = drawn_molecules(plain, known).as_dict()
    return scores


def main(given: Sequence[str] | None = None, *, pipe: Pipeline | None = None) -> Path:
    """Run the task and write its result.

    Args:
        given: Arguments of the command line; those of this process if None.
        pipe: What to measure in place of what --pipeline names.

    Returns:
        The JSON file.
    """
    chosen = _arguments(given)
    TASK.require_here("molecules")
    pipe = pipe or Pipeline.from_pretrained(chosen.pipeline, device=chosen.device)
    asked = asked_options(chosen.option, pipe.options())
    scores, drawn = _scores(_Drawing(pipe, chosen.seed, asked), chosen)
    sheet = record_path(chosen, "molecules").with_suffix(".png")
    sheet.parent.mkdir(parents=True, exist_ok=True)
    return record_pipeline(
        chosen,
        "molecules",
        protocol=PROTOCOL,
        settings={
            "count": chosen.count,
            "compared": chosen.compared,
            "asked": chosen.asked,
            "seed": chosen.seed,
            "options": {o.name: o.default for o in pipe.options()} | asked,
        },
        scores=scores,
        lines=_lines(scores),
        sheets=[save_many(drawn[:24], sheet)],
    )


def _lines(scores: dict[str, Any]) -> Iterator[str]:
    for label in ("valid", "unique", "novel"):
        row = scores["drawn"][label]
        yield f"{label:8} {row['share']:.2%} ({row['successes']} of {row['count']})"
    yield f"FCD      {scores['fcd']}, {scores['training']['fcd']} by training molecules"
    for name, row in scores.get("properties", {}).items():
        yield f"{name}: {row['error']} {row['unit']} off, {row['by_chance']} by chance"
    if "scaffold" in scores:
        yield f"scaffold held {scores['scaffold']['held']['share']:.1%}"


if __name__ == "__main__":
    main()
