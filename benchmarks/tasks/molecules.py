"""Are drawn molecules molecules, different ones, new ones, and of the properties asked for?

Strings are drawn from nothing, as the model writes them, and

- valid: share that RDKit reads as a molecule; nothing is repaired;
- unique: share of the valid ones that are different molecules;
- novel: share of the different ones that are not in the training set;
- properties: mean distance from a property that was asked for, that of a molecule never seen, in
  units and as a share of the mean distance of two molecules of the training set, which is what
  paying no heed gives.

    python -m benchmarks.tasks.molecules

Reads the set `molecules` below the folder that MMGEN_DATA names.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import asked_options, task_parser
from mmgen import Pipeline, hub
from mmgen.evaluation.metrics.molecules import drawn_molecules
from mmgen.evaluation.record import write_result
from mmgen.evaluation.task import Task
from mmgen.modalities.molecules import canonical, is_valid, properties, save_many

__all__ = ["TASK", "main"]

TASK = Task(
    summary="Are drawn molecules valid, different, new, and of the properties asked for?",
    protocol=1,
    minutes=5,
    quick=("--count", "50", "--asked", "10"),
    quick_minutes=1,
    pipeline="properties-to-molecules:zinc",
    x="molecules",
    y=("properties", "scaffold"),
    data=("molecules",),
    needs=(("rdkit", "molecules"),),
    shown=(
        ("strings that are molecules", "valid", "higher", "0.99 is aimed at"),
        ("different ones among them", "unique", "higher", "0.999 is aimed at"),
        ("new ones among those", "novel", "higher", "0.90 is aimed at"),
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
    ),
)
PROTOCOL = TASK.protocol
ASKED = ("log_p", "qed")
_BATCH = 250


def _drawn(pipe: Pipeline, count: int, seed: int, options: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for start in range(0, count, _BATCH):
        some = min(_BATCH, count - start)
        found += pipe(None, num_samples=some, seed=seed + start, **options)
    return found


def _errors(
    pipe: Pipeline, held_out: Sequence[str], seed: int, options: dict[str, Any]
) -> dict[str, Any]:
    """Mean distances from what was asked for, each property asked for alone."""
    found: dict[str, Any] = {}
    for name in ASKED:
        wanted = [properties(one, [name])[name] for one in held_out]
        given = [{"properties": {name: value}} for value in wanted]
        said: list[str] = []
        for start in range(0, len(given), _BATCH):
            said += pipe(given[start : start + _BATCH], seed=seed + start, **options)
        errors = [
            abs(properties(one, [name])[name] - value)
            for one, value in zip(said, wanted, strict=True)
            if is_valid(one)
        ]
        # Held-out molecules are of the training set's law.
        chance = np.abs(np.subtract.outer(wanted, wanted)).sum() / (len(wanted) * (len(wanted) - 1))
        found[name] = {
            "error": round(float(np.mean(errors)), 4) if errors else None,
            "by_chance": round(float(chance), 4),
            "valid": len(errors),
            "count": len(wanted),
        }
    return found


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = task_parser("molecules", pipeline=TASK.pipeline, description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="strings drawn from nothing")
    parser.add_argument("--asked", type=int, default=500, help="molecules for each property")
    chosen = parser.parse_args(given)
    if chosen.count < 1 or chosen.asked < 2:
        parser.error("--count is at least 1 and --asked at least 2")
    return chosen


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
    recipe = hub.find_recipe(TASK.pipeline).module()
    asked = asked_options(chosen.option, pipe.options())
    started = time.monotonic()
    drawn = _drawn(pipe, chosen.count, chosen.seed, asked)
    seconds = time.monotonic() - started
    found = drawn_molecules(drawn, [canonical(one) for one in recipe.smiles()])
    held_out = recipe.smiles("test")
    spaced = [held_out[i * len(held_out) // chosen.asked] for i in range(chosen.asked)]
    scores: dict[str, Any] = {
        "valid": found.valid.as_dict(),
        "unique": found.unique.as_dict(),
        "novel": found.novel.as_dict(),
        "properties": _errors(pipe, spaced, chosen.seed, asked),
        "molecules_per_second": round(chosen.count / seconds, 1),
    }
    name = "_".join(["molecules", Path(chosen.pipeline).name.replace(":", "_"), *chosen.option])
    name = name.replace("=", "-")
    path = write_result(
        chosen.output / f"{name}.json",
        task="molecules",
        protocol=PROTOCOL,
        settings={
            "pipeline": chosen.pipeline,
            "count": chosen.count,
            "asked": chosen.asked,
            "seed": chosen.seed,
            "device": chosen.device,
            "options": {o.name: o.default for o in pipe.options()} | asked,
        },
        scores=scores,
    )
    sheet = save_many(drawn[:24], chosen.output / f"{name}.png")
    print(f"valid   {found.valid}\nunique  {found.unique}\nnovel   {found.novel}")
    for asked_for, row in scores["properties"].items():
        print(f"{asked_for}: {row['error']} off, {row['by_chance']} by chance")
    print(f"{path}\n{sheet}")
    return path


if __name__ == "__main__":
    main()
