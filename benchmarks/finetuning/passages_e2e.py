"""A small language model that knows plays and programs learns to describe restaurants.

The E2E pairs (the development set of github.com/tuetschek/e2e-dataset, CC BY-SA 4.0) are fields
such as "name[Alimentum], area[city centre]" and a sentence that says them. Every tenth list of
fields is held out with all of its sentences.

The judge writes one sentence for each of some held-out lists, the likeliest word after another. How
many of their names, places, foods and areas stand in it as they are, and its BLEU beside all
sentences that people wrote for the list. What the model still knows is the loss on held-out
passages of its own.

    python -m benchmarks.finetuning.passages_e2e
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmgen_pipelines.text_to_text import passages

from benchmarks.finetuning.measured import Case, case_parser, finetuned, held_out_loss
from mmgen.evaluation.intervals import Proportion
from mmgen.evaluation.task import Task
from mmgen.pipeline import Pipeline
from mmgen.training.data import data_file
from mmgen.training.pairs import ListedPairs, SelectedPairs

__all__ = ["TASK", "main", "pairs"]

TASK = Task(
    summary="A small language model learns to describe restaurants.",
    protocol=1,
    minutes=6,
    quick=("--quick",),
    quick_minutes=1,
    quick_note="three steps",
    pipeline="text-to-text:passages",
    x="text",
    y=("text",),
    data=("text", "code"),
    needs=(("sacrebleu", "bench"),),
    shown=(
        ("loss on held-out descriptions", "loss/after", "lower", "{loss/before} before"),
        ("fields that are said", "fields/after", "higher", "{fields/before} before"),
        ("BLEU of descriptions", "bleu/after", "higher", "{bleu/before} before"),
        ("loss on held-out passages of its own", "own/after", "lower", "{own/before} before"),
    ),
)

SETTINGS = {
    "steps": 240,
    "batch_size": 32,
    "optimizer": "muon",
    "learning_rate": 2e-3,
    "warmup": 20,
    "ema": 0.98,
    "by_length": 50,
    "validate_every": 80,
}
OPTIONS = {"temperature": 0.0, "max_new_tokens": 96}
_HELD_OUT = 10
_JUDGED, _QUICKLY = 48, 2
_OWN = 96
_SHOWN = 4
_FIELD = re.compile(r"(\w[\w ]*)\[([^\]]*)\]")
# Those that stand in a sentence as they are; of prices, ratings and families it is told otherwise.
_LITERAL = {"name", "near", "food", "area"}


def pairs(split: str) -> ListedPairs:
    """Pairs (fields, sentence): "train" or "val"."""
    said = _sentences()
    lists = sorted(said)
    chosen = [y for i, y in enumerate(lists) if (i % _HELD_OUT == 0) == (split == "val")]
    return ListedPairs((y, x) for y in chosen for x in said[y])


def _sentences() -> dict[str, list[str]]:
    """All sentences of each list of fields."""
    text = gzip.decompress(data_file("text/e2e_devset.csv.gz").read_bytes()).decode("utf-8")
    said: dict[str, list[str]] = defaultdict(list)
    for row in csv.DictReader(io.StringIO(text)):
        said[row["mr"]].append(row["ref"])
    return said


def fields_said(fields: str, sentence: str) -> list[bool]:
    """Whether each literal field stands in the sentence."""
    found = [value for name, value in _FIELD.findall(fields) if name in _LITERAL]
    return [value.lower() in sentence.lower() for value in found]


def bleu(sentences: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Corpus BLEU by sacrebleu, any number of references each."""
    import sacrebleu

    most = max(map(len, references))
    columns = [[own[i] if i < len(own) else None for own in references] for i in range(most)]
    return round(sacrebleu.corpus_bleu(list(sentences), columns).score, 2)


def main(arguments: Sequence[str] | None = None) -> Path:
    """Fine-tune and measure; write benchmarks/results/finetuning_passages_e2e.json."""
    asked = case_parser("passages_e2e", TASK, __doc__).parse_args(arguments)
    said, held_out, own = _sentences(), pairs("val"), passages.pairs("val")
    lists = sorted({held_out.pair(i, np.random.default_rng(0))[0] for i in range(len(held_out))})
    count = min(_QUICKLY if asked.quick else _JUDGED, len(lists))
    chosen = [lists[i] for i in np.linspace(0, len(lists) - 1, count).astype(int)]
    some = np.linspace(0, len(own) - 1, count if asked.quick else _OWN).astype(int).tolist()

    def judge(pipe: Pipeline) -> Mapping[str, object]:
        written = pipe(chosen, seed=0, **OPTIONS)
        found = [ok for y, x in zip(chosen, written, strict=True) for ok in fields_said(y, x)]
        return {
            "fields": Proportion(sum(found), len(found)).as_dict(),
            "bleu": bleu(written, [said[y] for y in chosen]),
            "own": held_out_loss(pipe, SelectedPairs(own, some)),
        }

    references = [ok for y in chosen for x in said[y] for ok in fields_said(y, x)]
    case = Case(
        name="passages_e2e",
        task=TASK,
        learnt=pairs("train"),
        held_out=held_out,
        settings=SETTINGS,
        judge=judge,
        conditions=chosen[:: max(1, len(chosen) // _SHOWN)],
        options=OPTIONS,
        real={"fields": Proportion(sum(references), len(references)).as_dict()},
    )
    return finetuned(case, asked)[0]


if __name__ == "__main__":
    main()
