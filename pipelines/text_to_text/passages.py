"""A small language model: what is said next, after what was said before or after nothing.

Data: the sets `text` (tinyshakespeare.txt.gz) and `code` (mbpp_prompt_train_val.jsonl.gz) below the
folder that MMGEN_DATA names.
"""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from typing import Any

from mmgen.core.card import Card
from mmgen.modalities.text import SubwordText, TextEncoder
from mmgen.pipeline import Pipeline
from mmgen.texts import text_to_text
from mmgen.training.data import data_file
from mmgen.training.pairs import ListedPairs, Pairs

__all__ = ["CARD", "DEBUG", "PREVIEW", "TRAINING", "build", "debug", "pairs"]

CARD = Card(
    x="text",
    y="text",
    family="autoregressive",
    summary="A small language model: speeches of Shakespeare and short programs; a base to tune.",
    data="Tiny Shakespeare (public domain) and 474 tasks of MBPP (CC BY 4.0, Google).",
    licence="Apache-2.0",
    parameters=1_385_409,
    trained="By this recipe on one core of an AMD EPYC: 600 steps of 32 in 6 minutes.",
    scores={
        "passages: bits for a byte of what follows": "2.145",
        "passages: perplexity of its tokens": "34.4",
    },
    limits="Writes like its two sources and knows nothing else. A base for fine-tuning.",
)

TRAINING = {
    "steps": 600,
    "batch_size": 32,
    "optimizer": "muon",
    "learning_rate": 2e-3,
    "warmup": 50,
    "by_length": 50,
    "statistics_from": 2**14,
    "sample_every": 0,
    "checkpoint_every": 100,
}

DEBUG = {"dim": 32, "encoder_depth": 1, "depth": 1, "num_heads": 2, "vocabulary": 512}

PREVIEW = [None, "What say you?", "Write a function to add two numbers."]

_MOST_CHARACTERS = 240
# Speeches in a row that are held out together, or not at all: the answer of one pair is what the
# next one begins with, so that single pairs held out would be half known.
_BLOCK = 60
# Of twenty blocks, and of twenty tasks, the last is held out.
_HELD_OUT = 20


def pairs(split: str = "train") -> Pairs:
    """Pairs (what was said or asked, what follows): "train" or "val"."""
    if split not in ("train", "val"):
        raise ValueError(f"Expected the split 'train' or 'val', got {split!r}.")
    speeches = _read("text/tinyshakespeare.txt.gz").split("\n\n")
    rows = [json.loads(line) for line in _read("code/mbpp_prompt_train_val.jsonl.gz").splitlines()]
    blocks = [speeches[i : i + _BLOCK] for i in range(0, len(speeches), _BLOCK)]
    told = [pair for block in _of_split(blocks, split) for pair in pairwise(block)]
    told += [(row["text"], row["code"].replace("\r", "")) for row in _of_split(rows, split)]
    short = [(_short(before), _short(after)) for before, after in told]
    return ListedPairs((before, after) for before, after in short if before and after)


def _of_split(items: list[Any], split: str) -> list[Any]:
    held = split == "val"
    return [e for i, e in enumerate(items) if (i % _HELD_OUT == _HELD_OUT - 1) == held]


def _read(name: str) -> str:
    return gzip.decompress(data_file(name).read_bytes()).decode()


def _short(text: str) -> str:
    """The beginning of a text, in whole lines where it has some."""
    text = text.strip()
    if len(text) <= _MOST_CHARACTERS:
        return text
    return text[:_MOST_CHARACTERS].rpartition("\n")[0] or text[:_MOST_CHARACTERS]


def build(
    *,
    dim: int = 128,
    encoder_depth: int = 1,
    depth: int = 3,
    num_heads: int = 4,
    vocabulary: int = 1024,
) -> Pipeline:
    """The pipeline with fresh weights."""
    encoder = TextEncoder(
        vocabulary=vocabulary,
        dim=dim,
        depth=encoder_depth,
        num_heads=num_heads,
        max_tokens=256,
        words=False,
    )
    codec = SubwordText(vocabulary, max_length=256)
    # Half of what it learns is P(text) alone.
    return text_to_text(encoder, codec, depth=depth, num_heads=num_heads, condition_dropout=0.5)


def debug() -> Pipeline:
    """A tiny one with random weights."""
    pipe = build(**DEBUG)
    pipe.encoder.fit(["What say you?", "Write a function to add two numbers."])
    pipe.codec.fit(["Nothing, my lord.", "def add(a, b):\n    return a + b"])
    return pipe
