"""Does a translator of Chinese say in English what people said?

Each sentence of the held-out part of Tatoeba, and each line of NTREX (news, translated by people),
is translated by a beam search, the answer taken that ranks first by log p / length: the likeliest
of all is often empty where a model is unsure (--length-penalty 0 takes it). Measured is

- bleu, chrf: by sacrebleu with its defaults, in the signature, with bootstrap intervals;
- perplexity: of the reference, for each of the model's tokens and each byte, exactly;
- seconds, and sentences in a second.

A text of several sentences is translated one by one. No perplexity is told of NTREX: its lines are
split so, too, and references are not.

    python -m benchmarks.tasks.translation --pipeline text-to-text:zh-en
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.arguments import asked_options, task_parser
from benchmarks.records import record_pipeline
from mmgen import Pipeline, hub
from mmgen.evaluation.metrics.perplexity import perplexities
from mmgen.evaluation.metrics.translation import translation_scores
from mmgen.evaluation.task import Task

__all__ = ["TASK", "main"]

TASK = Task(
    summary="Does a translator of Chinese say in English what people said?",
    protocol=1,
    minutes=15,
    quick=("--count", "32"),
    quick_minutes=1,
    pipeline="text-to-text:zh-en",
    x="text",
    y=("text",),
    data=("translation",),
    needs=(("sacrebleu", "bench"),),
    shown=(
        (
            "BLEU, Tatoeba",
            "val/bleu",
            "higher",
            "opus-mt-zh-en 36.1 on its own Tatoeba test set, by its card (not these sentences)",
        ),
        ("chrF, Tatoeba", "val/chrf", "higher", "opus-mt-zh-en 54.8, likewise"),
        ("perplexity per byte, Tatoeba", "val/perplexity/per_byte", "lower", "none"),
        ("BLEU, NTREX", "news/bleu", "higher", "none published that compares"),
        ("chrF, NTREX", "news/chrf", "higher", "none published that compares"),
    ),
)
PROTOCOL = TASK.protocol
SPLITS = ("val", "news")
BEAMS, LENGTH_PENALTY = 4, 1.0
_BATCH = 32


def _translated(
    pipe: Pipeline, sources: Sequence[str], options: dict[str, Any], **search: Any
) -> list[str]:
    """The best translation of each, found in batches of sources about as long."""
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    found = [""] * len(sources)
    for start in range(0, len(order), _BATCH):
        some = order[start : start + _BATCH]
        best = pipe.given([sources[i] for i in some], **options).best(1, **search)
        for i, answers in zip(some, best, strict=True):
            found[i] = answers[0].value
    return found


def _perplexity(
    pipe: Pipeline, sources: Sequence[str], references: Sequence[str]
) -> dict[str, float]:
    nats: list[float] = []
    tokens: list[int] = []
    for start in range(0, len(sources), _BATCH):
        some = slice(start, start + _BATCH)
        plain = {"split": "never"} if any(o.name == "split" for o in pipe.options()) else {}
        scored = pipe.given(list(sources[some]), **plain).log_prob(list(references[some]))
        nats += scored.nats.double().tolist()
        tokens += scored.num_dims.tolist()
    return perplexities(nats, references, tokens)


def _measured(pipe: Pipeline, split: str, chosen: argparse.Namespace) -> dict[str, Any]:
    pairs = hub.find_recipe(TASK.pipeline).module().pairs(split)
    count = min(len(pairs), chosen.count or len(pairs))
    # The files are sorted by length or topic, so that a part of them is taken from everywhere.
    rows = [pairs.pair(i * len(pairs) // count, None) for i in range(count)]
    sources, references = ([row[i] for row in rows] for i in (0, 1))
    started = time.monotonic()
    search = {"num_beams": chosen.beams, "length_penalty": chosen.length_penalty}
    said = _translated(pipe, sources, asked_options(chosen.option, pipe.options()), **search)
    seconds = time.monotonic() - started
    found: dict[str, Any] = translation_scores(said, references)
    if split == "val":
        found["perplexity"] = _perplexity(pipe, sources, references)
    found["seconds"], found["sentences_per_second"] = round(seconds, 1), round(count / seconds, 2)
    found["examples"] = [
        {"source": sources[i], "translation": said[i], "reference": references[i]}
        for i in range(0, count, max(1, count // 12))
    ]
    return found


def main(given: Sequence[str] | None = None, *, pipe: Pipeline | None = None) -> Path:
    """Run the task and write its result.

    Args:
        given: Arguments of the command line; those of this process if None.
        pipe: What to measure in place of what --pipeline names.

    Returns:
        The JSON file.
    """
    parser = task_parser("translation", pipeline=TASK.pipeline, description=__doc__)
    parser.add_argument("--count", type=int, default=0, help="sentences of each split; 0 for all")
    parser.add_argument("--beams", type=int, default=BEAMS, help="width of the beam")
    parser.add_argument("--length-penalty", type=float, default=LENGTH_PENALTY)
    chosen = parser.parse_args(given)
    if chosen.count == 1 or chosen.count < 0:
        parser.error(f"--count is at least 2, or 0 for all, got {chosen.count}")
    TASK.require_here("translation")
    pipe = pipe or Pipeline.from_pretrained(chosen.pipeline, device=chosen.device)
    scores = {split: _measured(pipe, split, chosen) for split in SPLITS}
    return record_pipeline(
        chosen,
        "translation",
        protocol=PROTOCOL,
        settings={
            "count": chosen.count,
            "beams": chosen.beams,
            "length_penalty": chosen.length_penalty,
            "options": chosen.option,
        },
        scores=scores,
        lines=_lines(scores),
        more=[
            *[f"beams-{chosen.beams}"] * (chosen.beams != BEAMS),
            *[f"length_penalty-{chosen.length_penalty:g}"]
            * (chosen.length_penalty != LENGTH_PENALTY),
        ],
    )


def _lines(scores: dict[str, Any]) -> Iterator[str]:
    for split in SPLITS:
        for metric in ("bleu", "chrf"):
            one = scores[split][metric]
            yield f"{split} {metric}: {one['score']} ({one['low']} to {one['high']})"
    yield f"val perplexity: {scores['val']['perplexity']}"


if __name__ == "__main__":
    main()
