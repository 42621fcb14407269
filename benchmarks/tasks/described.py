"""Do molecules drawn from descriptions fit them?

Held-out descriptions of ChEBI-20 are read, and one string that the pipeline draws for each is
compared with the molecule described: valid, the same by InChI, alike by fingerprints, and by the
letters of the string. Beside it stands another held-out molecule in place of the drawn one, which
is what paying no heed gives. One description may fit several molecules, and none but one counts.

    python -m benchmarks.tasks.described

Reads the set `molecules` below the folder that MMGEN_DATA names.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arguments import asked_options, task_parser
from benchmarks.records import record_path, record_pipeline
from mmgen import Pipeline, hub
from mmgen.evaluation.metrics.molecules import described_scores
from mmgen.evaluation.task import Task
from mmgen.modalities.molecules import save_many

__all__ = ["TASK", "main"]

TASK = Task(
    summary="Do molecules drawn from descriptions fit them?",
    protocol=1,
    minutes=3,
    quick=("--count", "8"),
    quick_minutes=0.5,
    pipeline="text-to-molecules:chebi",
    x="molecules",
    y=("text",),
    data=("molecules",),
    needs=(("rdkit", "molecules"),),
    shown=(
        ("strings that are molecules", "drawn/valid", "higher", "100 % of those described"),
        ("the molecule described", "drawn/exact", "higher", "{others/exact} by chance"),
        (
            "similarity of Morgan fingerprints",
            "drawn/morgan",
            "higher",
            "{others/morgan} by chance",
        ),
        ("similarity of MACCS keys", "drawn/maccs", "higher", "{others/maccs} by chance"),
        ("BLEU of characters", "drawn/bleu", "higher", "{others/bleu} by chance"),
    ),
)
PROTOCOL = TASK.protocol
_BATCH, _SHOWN = 32, 12


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = task_parser("described", pipeline=TASK.pipeline, description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="most descriptions to read")
    chosen = parser.parse_args(given)
    if chosen.count < 2:
        parser.error("--count is at least 2")
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
    TASK.require_here("described")
    pipe = pipe or Pipeline.from_pretrained(chosen.pipeline, device=chosen.device)
    asked = asked_options(chosen.option, pipe.options())
    rows = hub.find_recipe(TASK.pipeline).module().described("test")[: chosen.count]
    texts, wanted = [text for text, _ in rows], [smiles for _, smiles in rows]
    drawn: list[str] = []
    for start in range(0, len(rows), _BATCH):
        drawn += pipe(texts[start : start + _BATCH], seed=chosen.seed + start, **asked)
    scores = {
        "drawn": described_scores(drawn, wanted),
        "others": described_scores([*wanted[1:], wanted[0]], wanted),
    }
    sheet = record_path(chosen, "described").with_suffix(".png")
    sheet.parent.mkdir(parents=True, exist_ok=True)
    both = [one for pair in zip(drawn, wanted, strict=True) for one in pair]
    names = ["drawn", "described"] * len(rows)
    return record_pipeline(
        chosen,
        "described",
        protocol=PROTOCOL,
        settings={
            "count": len(rows),
            "seed": chosen.seed,
            "options": {o.name: o.default for o in pipe.options()} | asked,
        },
        scores=scores,
        lines=[f"{name:12} {value}" for name, value in scores["drawn"].items()],
        sheets=[save_many(both[: 2 * _SHOWN], sheet, names[: 2 * _SHOWN])],
    )


if __name__ == "__main__":
    main()
