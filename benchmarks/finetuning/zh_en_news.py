"""The translator of everyday Chinese learns to translate news.

The pairs are the lines of NTREX, which people translated from English (CC BY-SA 4.0, Microsoft), as
far as the translator can read them: it takes 64 tokens. The base has seen sentences of Tatoeba and
a dictionary. News stories follow one another, so that whole runs of a hundred lines are held out.

The judge translates some held-out lines by the likeliest word after another, and sacrebleu compares
them with the original. What the translator still knows is its loss on held-out Tatoeba sentences.

    python -m benchmarks.finetuning.zh_en_news
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.finetuning.measured import Case, case_parser, finetuned, held_out_loss
from mmgen import hub
from mmgen.evaluation.metrics.translation import translation_scores
from mmgen.evaluation.task import Task
from mmgen.pipeline import Pipeline
from mmgen.training import check_pairs
from mmgen.training.pairs import ListedPairs, Pairs, SelectedPairs

__all__ = ["TASK", "main", "pairs"]

TASK = Task(
    summary="The translator of everyday Chinese learns to translate news.",
    protocol=1,
    minutes=6,
    quick=("--quick",),
    quick_minutes=1,
    quick_note="three steps",
    pipeline="text-to-text:zh-en",
    x="text",
    y=("text",),
    data=("translation",),
    needs=(("sacrebleu", "bench"),),
    shown=(
        ("loss on held-out news", "loss/after", "lower", "{loss/before} before"),
        ("chrF of held-out news", "chrf/after", "higher", "{chrf/before} before"),
        ("BLEU of held-out news", "bleu/after", "higher", "{bleu/before} before"),
        ("loss on held-out everyday sentences", "own/after", "lower", "{own/before} before"),
    ),
)

SETTINGS = {
    "steps": 120,
    "batch_size": 32,
    "optimizer": "muon",
    "learning_rate": 1e-3,
    "warmup": 10,
    "ema": 0.98,
    "by_length": 30,
    "validate_every": 40,
}
OPTIONS = {"temperature": 0.0, "max_new_tokens": 96}
_RUN, _HELD_OUT = 100, 8
_JUDGED, _QUICKLY = 48, 2
_OWN = 128
_SHOWN = 4


def pairs(pipe: Pipeline, split: str) -> Pairs:
    """Pairs (Chinese, English) that the pipeline can read: "train" or "val"."""
    news = hub.find_recipe(TASK.pipeline).module().pairs("news")
    good = check_pairs(pipe, news).good
    held = [i for i in good if i // _RUN % _HELD_OUT == _HELD_OUT - 1]
    return SelectedPairs(news, held if split == "val" else sorted(set(good) - set(held)))


def _some(pairs: Pairs, count: int) -> list[tuple[Any, Any]]:
    places = np.linspace(0, len(pairs) - 1, min(count, len(pairs))).astype(int).tolist()
    return [pairs.pair(i, np.random.default_rng(0)) for i in places]


def main(arguments: Sequence[str] | None = None) -> Path:
    """Fine-tune and measure; write benchmarks/results/finetuning_zh_en_news.json."""
    asked = case_parser("zh_en_news", TASK, __doc__).parse_args(arguments)
    reader = Pipeline.from_pretrained(asked.pipeline)
    learnt, held_out = pairs(reader, "train"), pairs(reader, "val")
    everyday = hub.find_recipe(TASK.pipeline).module().pairs("val")
    own = ListedPairs(_some(everyday, _QUICKLY if asked.quick else _OWN))
    some = _some(held_out, _QUICKLY if asked.quick else _JUDGED)
    sources, references = [y for y, _ in some], [x for _, x in some]

    def judge(pipe: Pipeline) -> Mapping[str, Any]:
        found = translation_scores(pipe(sources, seed=0, **OPTIONS), references)
        return {**found, "own": held_out_loss(pipe, own)}

    case = Case(
        name="zh_en_news",
        task=TASK,
        learnt=learnt,
        held_out=held_out,
        settings=SETTINGS,
        judge=judge,
        conditions=sources[:: max(1, len(sources) // _SHOWN)],
        options=OPTIONS,
    )
    return finetuned(case, asked)[0]


if __name__ == "__main__":
    main()
