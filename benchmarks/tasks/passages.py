"""How well is a text foretold from what was said before it?

Held-out pairs of `text-to-text:passages`, speeches and programs, are scored by log p of the second
given the first, and of the second given nothing: bits per byte of UTF-8, and perplexities. Beside
them stands what a compressor that has read all training pairs, LZMA, needs for the same texts.

    python -m benchmarks.tasks.passages

Reads the sets `text` and `code` below the folder that MMGEN_DATA names.
"""

from __future__ import annotations

import argparse
import lzma
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.arguments import task_parser
from benchmarks.records import record_pipeline
from mmgen import Pipeline, hub
from mmgen.evaluation.metrics.perplexity import perplexities
from mmgen.evaluation.task import Task
from mmgen.training.pairs import Pairs

__all__ = ["TASK", "main"]

TASK = Task(
    summary="How well is a text foretold from what was said before it?",
    protocol=1,
    minutes=1,
    quick=("--count", "8"),
    quick_minutes=0.5,
    pipeline="text-to-text:passages",
    x="text",
    y=("text",),
    data=("text", "code"),
    shown=(
        (
            "bits for a byte of what follows",
            "given/bits_per_byte",
            "lower",
            "{nothing/bits_per_byte} given nothing, {compressed} by LZMA",
        ),
        (
            "perplexity of its tokens",
            "given/per_token",
            "lower",
            "{nothing/per_token} given nothing",
        ),
    ),
)
PROTOCOL = TASK.protocol
_BATCH = 16


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = task_parser("passages", pipeline=TASK.pipeline, description=__doc__)
    parser.add_argument("--count", type=int, default=400, help="most texts to score")
    chosen = parser.parse_args(given)
    if chosen.count < 1:
        parser.error("--count is at least 1")
    return chosen


def _rows(pairs: Pairs) -> list[tuple[str, str]]:
    rng = np.random.default_rng(0)
    return [pairs.pair(i, rng) for i in range(len(pairs))]


@torch.no_grad()
def _scored(
    pipe: Pipeline, conditions: Sequence[str | None], texts: Sequence[str]
) -> dict[str, float]:
    nats: list[float] = []
    for start in range(0, len(texts), _BATCH):
        batch = slice(start, start + _BATCH)
        nats += pipe.given(list(conditions[batch])).log_prob(list(texts[batch])).nats.tolist()
    tokens = [int(pipe.codec.encode(pipe.codec.prepare([text])).lengths[0]) + 1 for text in texts]
    return perplexities(nats, texts, tokens)


def _compressed(learnt: Sequence[str], texts: Sequence[str]) -> float:
    """Bits for a byte of texts that LZMA needs after it has read others."""
    before, own = "\n\n".join(learnt).encode(), "\n\n".join(texts).encode()
    more = len(lzma.compress(before + own, preset=9)) - len(lzma.compress(before, preset=9))
    return round(8 * more / len(own), 4)


def main(given: Sequence[str] | None = None, *, pipe: Pipeline | None = None) -> Path:
    """Run the task and write its result.

    Args:
        given: Arguments of the command line; those of this process if None.
        pipe: What to measure in place of what --pipeline names.

    Returns:
        The JSON file.
    """
    chosen = _arguments(given)
    TASK.require_here("passages")
    pipe = pipe or Pipeline.from_pretrained(chosen.pipeline, device=chosen.device)
    recipe = hub.find_recipe(TASK.pipeline).module()
    held_out = _rows(recipe.pairs("val"))
    # Of both sources, whatever the count.
    rows = held_out[:: -(-len(held_out) // chosen.count)]
    befores, texts = [y for y, _ in rows], [x for _, x in rows]
    scores = {
        "given": _scored(pipe, befores, texts),
        "nothing": _scored(pipe, [None] * len(texts), texts),
        "compressed": _compressed([x for _, x in _rows(recipe.pairs("train"))], texts),
    }
    return record_pipeline(
        chosen,
        "passages",
        protocol=PROTOCOL,
        settings={"count": len(rows)},
        scores=scores,
        lines=[f"{name:12} {value}" for name, value in scores.items()],
    )


if __name__ == "__main__":
    main()
