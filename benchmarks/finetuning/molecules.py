"""The generator of drug-like molecules learns to draw greasy ones, of log P from 4 to 5.

The pairs are those molecules of ZINC, with nothing given; of the held-out ones, which the base has
not seen either, the same.

    python -m benchmarks.finetuning.molecules
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmgen_pipelines.properties_to_molecules import zinc

from benchmarks.finetuning.measured import Case, case_parser, finetuned
from mmgen.evaluation.task import Task
from mmgen.modalities.molecules import canonical, is_valid, properties, save_many
from mmgen.pipeline import Pipeline
from mmgen.training.pairs import ListedPairs

__all__ = ["RANGE", "SETTINGS", "TASK", "main", "pairs"]

TASK = Task(
    summary="The generator of molecules learns a range of log P.",
    protocol=1,
    minutes=5,
    quick=("--quick",),
    quick_minutes=1,
    quick_note="three steps",
    pipeline="properties-to-molecules:zinc",
    x="molecules",
    y=("properties", "scaffold"),
    data=("molecules",),
    needs=(("rdkit", "molecules"),),
    shown=(
        ("loss on held-out molecules of the range", "loss/after", "lower", "{loss/before} before"),
        (
            "share of samples in the range",
            "in_range/after",
            "higher",
            "{in_range/before} before, 1 of real ones",
        ),
        ("share that is new", "new/after", "higher", "{new/before} before"),
    ),
)

RANGE = (4.0, 5.0)
SETTINGS = {
    "steps": 150,
    "batch_size": 64,
    "optimizer": "muon",
    "learning_rate": 1e-3,
    "warmup": 10,
    "ema": 0.98,
    "validate_every": 50,
}
_JUDGED, _QUICKLY = 200, 8
_SHOWN = 12


def pairs(split: str) -> ListedPairs:
    """Pairs (nothing, molecule): "train", or "test", whose log P is in the range."""
    least, most = RANGE
    found = (one for one in zinc.smiles(split) if least <= _log_p(one) <= most)
    return ListedPairs(({}, one) for one in found)


def _log_p(smiles: str) -> float:
    return properties(smiles, ["log_p"])["log_p"]


def judged(drawn: Sequence[str], learnt: frozenset[str]) -> dict[str, float]:
    """Shares of drawn strings: molecules, those in the range, those not in the training set."""
    valid = [canonical(one) for one in drawn if is_valid(one)]
    inside = sum(RANGE[0] <= _log_p(one) <= RANGE[1] for one in valid)
    new = sum(one not in learnt for one in valid)
    counts = {"valid": len(valid), "in_range": inside, "new": new}
    return {name: round(count / len(drawn), 4) for name, count in counts.items()}


def main(arguments: Sequence[str] | None = None) -> Path:
    """Fine-tune and measure; write benchmarks/results/finetuning_molecules.json."""
    asked = case_parser("molecules", TASK, __doc__).parse_args(arguments)
    learnt = pairs("train")
    known = frozenset(canonical(one) for one in zinc.smiles())
    count = _QUICKLY if asked.quick else _JUDGED

    def judge(pipe: Pipeline) -> Mapping[str, Any]:
        return judged(pipe(None, num_samples=count, seed=0), known)

    case = Case(
        name="molecules",
        task=TASK,
        learnt=learnt,
        held_out=pairs("test"),
        settings=SETTINGS,
        judge=judge,
        conditions=[None] * _SHOWN,
    )
    record, before, after = finetuned(case, asked)
    titles = ["before"] * len(before) + ["after"] * len(after)
    save_many([*before, *after], record.with_suffix(".png"), titles)
    return record


if __name__ == "__main__":
    main()
