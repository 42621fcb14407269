"""How fast translations are, by each way that mmgen has: its door, its library, its engine.

A Marian in the size of an opus-mt model, 74 M weights, or of a big one, 235 M, with random weights,
is saved as transformers saves it and loaded by transformers, by `mmgen.Pipeline.from_pretrained`,
and by that with CTranslate2 in float32 and in eight bits. The same sentences, greedily, as many
tokens of each; timed in turns in one run. What comes out is compared, too. A conversion is made
once, before.

Of one sentence, the bytes of weights that a token needs, times the tokens in a second, are put over
the rate at which the machine reads its memory, measured in the same turns. Peak memory is that of
one sentence in a process of its own, imports included.

    python -m benchmarks.speed.translation --repeats 5
    python -m benchmarks.speed.translation --size debug --repeats 2
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.limits import gigabytes_per_second, reading, weight_bytes
from benchmarks.speed.memory import peak_of
from benchmarks.speed.timing import Spread, interleave, ratio
from mmgen.evaluation.record import write_result
from mmgen.evaluation.task import Task
from mmgen.pipeline import Pipeline

__all__ = ["TASK", "SIZES", "Size", "main"]

TASK = Task(
    summary="A Marian by mmgen, by transformers' generate and by CTranslate2.",
    protocol=1,
    minutes=6,
    quick=("--size=debug", "--repeats=2"),
    quick_minutes=1,
    quick_note="a tiny network",
    needs=(("ctranslate2", "engines"),),
    shown=(
        (
            "tokens per second over transformers', one sentence",
            "batches/1/mmgen/times_transformers",
            "higher",
            "{batches/1/ctranslate2 int8/times_transformers} with the engine in eight bits",
        ),
        (
            "tokens per second over transformers', sixteen sentences",
            "batches/16/mmgen/times_transformers",
            "higher",
            "{batches/16/ctranslate2 int8/times_transformers} with the engine in eight bits",
        ),
        (
            "share of the rate of reading memory that one sentence reaches",
            "share_of_limit/mmgen",
            "higher",
            "{share_of_limit/transformers} by transformers, "
            "{share_of_limit/ctranslate2 float32} by CTranslate2 in float32",
        ),
        (
            "peak memory, MB",
            "peak_memory_mb/mmgen",
            "lower",
            "{peak_memory_mb/transformers} by transformers, "
            "{peak_memory_mb/ctranslate2 int8} with the engine in eight bits",
        ),
    ),
)
PROTOCOL = TASK.protocol
CORPUS = [
    f"The {colour} {thing} is {place} the {other}, and number {i} of them stays there all day."
    for i in range(20)
    for colour, thing in (("red", "house"), ("blue", "garden"), ("old", "river"))
    for place, other in (("behind", "church"), ("left of", "street"), ("near", "mountain"))
]
ENGINES = {"ctranslate2 float32": "float32", "ctranslate2 int8": "int8"}


@dataclass(frozen=True)
class Size:
    """How large a model is, and how much it is asked for.

    Args:
        words: Rows of its embeddings.
        width: Of its states.
        depth: Layers of the encoder, and of the decoder.
        new_tokens: Of each translation, none of which ends before.
        batches: Numbers of sentences that are translated together.
        read_mb: Megabytes that are read to measure the rate of it.
        peaks: Whether peak memory is measured.
    """

    words: int
    width: int
    depth: int
    new_tokens: int
    batches: tuple[int, ...]
    read_mb: int
    peaks: bool


SIZES = {
    "debug": Size(
        words=400, width=32, depth=1, new_tokens=6, batches=(1, 3), read_mb=8, peaks=False
    ),
    "base": Size(
        words=58_101, width=512, depth=6, new_tokens=48, batches=(1, 16), read_mb=256, peaks=True
    ),
}

Case = Callable[[int], list[str]]


def _tokenizer(folder: Path, count: int) -> Any:
    """Pieces of the corpus, and as many words beside as the model has rows."""
    import sentencepiece
    from transformers import MarianTokenizer

    (folder / "corpus.txt").write_text("\n".join(CORPUS), "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "corpus.txt"),
        model_prefix=str(folder / "source"),
        vocab_size=200,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    trained = (folder / "source.model").rename(folder / "source.spm")
    (folder / "target.spm").write_bytes(trained.read_bytes())
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(trained))
    own = [pieces.id_to_piece(i) for i in range(len(pieces))]
    own = ["</s>", "<unk>", *(p for p in own if p not in ("<s>", "</s>", "<unk>"))]
    own += [f"\u2581word{i}" for i in range(count - 1 - len(own))]
    ids = {piece: i for i, piece in enumerate([*own, "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(ids), "utf-8")
    files = ("source.spm", "target.spm", "vocab.json")
    return MarianTokenizer(*(str(folder / name) for name in files))


def _build(folder: Path, size: Size) -> int:
    """Save a model that never ends a text before it has to. Returns its number of weights."""
    from transformers import MarianConfig, MarianMTModel

    folder.mkdir()
    tokenizer = _tokenizer(folder, size.words)
    pad = size.words - 1
    heads = max(2, size.width // 64)
    config = MarianConfig(
        vocab_size=size.words,
        d_model=size.width,
        encoder_layers=size.depth,
        decoder_layers=size.depth,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * size.width,
        decoder_ffn_dim=4 * size.width,
        max_position_embeddings=512,
        pad_token_id=pad,
        eos_token_id=0,
        decoder_start_token_id=pad,
        forced_eos_token_id=None,
        scale_embedding=True,
        # So large that what is likeliest is so by far, in eight bits, too.
        init_std=0.08,
    )
    model = MarianMTModel(config).eval()
    model.final_logits_bias[0, [0, 1, pad]] = -1e4
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.num_parameters()


def _sentences(count: int) -> list[str]:
    return [CORPUS[7 * i % len(CORPUS)] for i in range(count)]


def _library(folder: Path, new_tokens: int) -> Case:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def translated(count: int) -> list[str]:
        inputs = tokenizer(_sentences(count), return_tensors="pt", padding=True)
        ids = model.generate(**inputs, do_sample=False, num_beams=1, max_new_tokens=new_tokens)
        return tokenizer.batch_decode(ids, skip_special_tokens=True)

    return translated


def _own(folder: Path, new_tokens: int) -> Case:
    pipe = Pipeline.from_pretrained(folder)
    asked = {"temperature": 0.0, "max_new_tokens": new_tokens, "split": "never"}
    return lambda count: pipe(_sentences(count), **asked)


def _engine(folder: Path, new_tokens: int, *, compute_type: str) -> Case:
    pipe = Pipeline.from_pretrained(folder, engine="ctranslate2", compute_type=compute_type)
    asked = {"temperature": 0.0, "max_new_tokens": new_tokens}
    return lambda count: pipe(_sentences(count), **asked)


WAYS: dict[str, Callable[[Path, int], Case]] = {
    "transformers": _library,
    "mmgen": _own,
    **{name: partial(_engine, compute_type=kind) for name, kind in ENGINES.items()},
}
"""From a checkpoint and a number of tokens to what translates so many sentences."""


def _limit(folder: Path, batches: dict[str, Any], read: list[float]) -> dict[str, Any]:
    """How near the tokens of one sentence come to the rate at which memory is read."""
    from transformers import AutoModelForSeq2SeqLM

    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    parts = torch.nn.ModuleList([model.get_decoder(), model.lm_head])
    size = weight_bytes(parts, without=("encoder_attn.k_proj", "encoder_attn.v_proj"))
    bandwidth = Spread.of(read)
    shares = {}
    for name, own in batches["1"].items():
        needed = size / 4 if name.endswith("int8") else size
        rate = needed * own["tokens_per_second"]["median"] / 1e9
        shares[name] = round(rate / bandwidth.median, 4)
    return {
        "gigabytes_per_second": bandwidth.as_dict(),
        "bytes_per_token": size,
        "share_of_limit": shares,
    }


def _peaks(folder: Path, new_tokens: int) -> dict[str, float]:
    child = ["-m", "benchmarks.speed.decoding_memory", "translation"]
    return {name: peak_of([*child, name, str(folder), str(new_tokens)], what=name) for name in WAYS}


def _measure(folder: Path, size: Size, repeats: int) -> dict[str, Any]:
    cases = {name: way(folder, size.new_tokens) for name, way in WAYS.items()}
    found: dict[str, Any] = {}
    read: list[float] = []
    memory, num_bytes = reading(size.read_mb)
    for count in size.batches:
        calls = {name: partial(case, count) for name, case in cases.items()}
        expected = calls["transformers"]()
        alike = {
            name: sum(a == b for a, b in zip(call(), expected, strict=True)) / count
            for name, call in calls.items()
        }
        seconds = interleave({**calls, "memory": memory}, repeats)
        read += gigabytes_per_second(num_bytes, seconds.pop("memory"))
        tokens = count * size.new_tokens
        found[str(count)] = {
            name: {
                "tokens_per_second": Spread.of([tokens / s for s in own]).as_dict(),
                "times_transformers": Spread.of(ratio(seconds["transformers"], own)).as_dict(),
                "same_texts": alike[name],
            }
            for name, own in seconds.items()
        }
    limit = _limit(folder, found, read)
    # Each is a process of its own, too slow for a glance.
    peaks = _peaks(folder, size.new_tokens) if size.peaks else None
    return {"batches": found, **limit, "peak_memory_mb": peaks}


def main(arguments: list[str] | None = None) -> Path:
    """Measure, and write benchmarks/results/speed_translation.json."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.speed.translation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", choices=sorted(SIZES), default="base")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    settings = parser.parse_args(arguments)
    size, before = SIZES[settings.size], os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # Where conversions are kept.
        os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
        try:
            count = _build(Path(folder) / "made", size)
            shown = f"Marian, {count / 1e6:.1f} M, {settings.repeats} times ..."
            print(shown, file=sys.stderr)
            scores = _measure(Path(folder) / "made", size, settings.repeats)
        finally:
            if before is None:
                del os.environ["XDG_CACHE_HOME"]
            else:
                os.environ["XDG_CACHE_HOME"] = before
    for batch, rows in scores["batches"].items():
        for name, row in rows.items():
            speed, times = row["tokens_per_second"]["median"], row["times_transformers"]["median"]
            print(f"{batch:>3} x {name:20} {speed:9.1f} tokens/s, {times:.2f} times transformers")
    print(f"share of the rate of reading memory: {scores['share_of_limit']}")
    print(f"peak memory, MB: {scores['peak_memory_mb']}")
    return write_result(
        settings.output / "speed_translation.json",
        task="speed of translation",
        protocol=PROTOCOL,
        settings={
            "size": settings.size,
            "new_tokens": size.new_tokens,
            "repeats": settings.repeats,
            "threads": torch.get_num_threads(),
            "cores_allowed": len(os.sched_getaffinity(0)),
        },
        scores={"parameters": count, **scores},
    )


if __name__ == "__main__":
    main()
