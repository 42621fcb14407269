"""How fast the shipped pipelines of tokens decode, beside transformers' generate on the same shape.

A pipeline's own weights, so that no text ends before it has as many tokens as are asked for; and a
Marian of as many layers of the same width, with random weights, by `generate`. As many tokens of
each, in the pipeline's own way of drawing, timed in turns in one run. Beside them the calls of the
network alone, token by token, with the same ids ("network"): overhead is mmgen / network - 1.

Of one text, the bytes of weights that a token needs, times the tokens in a second, are put over
the rate at which the machine reads its memory. Weights of a few megabytes stay in the cache, so
that the share says how far a small model is from being bound by memory, and may be above 1.
Peak memory is that of one translation in a process of its own, imports included; the one of
transformers has loaded the pipeline too, of which it takes the shape.

    python -m benchmarks.speed.decoding --repeats 9
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.limits import gigabytes_per_second, reading, weight_bytes
from benchmarks.speed.memory import peak_of
from benchmarks.speed.timing import Spread, interleave, ratio
from mmgen.core.errors import LoadError
from mmgen.evaluation.record import write_result
from mmgen.evaluation.task import Task
from mmgen.nn.tokens import TokenTransformer
from mmgen.pipeline import Pipeline

__all__ = ["TASK", "alone", "main"]

TASK = Task(
    summary="Translations and molecules by mmgen, and by transformers' generate on the same shape.",
    protocol=1,
    minutes=5,
    quick=("--quick",),
    quick_minutes=0.5,
    quick_note="tiny networks",
    shown=(
        (
            "translation, tokens per second over transformers', one at once",
            "translation/1/times_transformers",
            "higher",
            "1; the network's bare calls {translation/1/network_times_transformers}",
        ),
        (
            "translation, tokens per second over transformers', sixteen at once",
            "translation/16/times_transformers",
            "higher",
            "1; the network's bare calls {translation/16/network_times_transformers}",
        ),
        (
            "molecules, tokens per second over transformers', 64 at once",
            "molecules/64/times_transformers",
            "higher",
            "1; the network's bare calls {molecules/64/network_times_transformers}",
        ),
        (
            "molecules in a second, 64 at once",
            "molecules/64/per_second",
            "higher",
            "of 32 tokens each",
        ),
        (
            "share of the rate of reading memory, one translation at once",
            "translation/1/share_of_limit",
            "higher",
            "{translation/1/transformers_share_of_limit} by transformers",
        ),
        (
            "peak memory of a translation, MB",
            "translation/peak_memory_mb/mmgen",
            "lower",
            "{translation/peak_memory_mb/transformers} by transformers",
        ),
    ),
)
PROTOCOL = TASK.protocol


@dataclass(frozen=True)
class _Subject:
    """A pipeline, and how it is asked.

    Args:
        pipeline: Name of the recipe.
        conditions: One or more, over again until there are enough.
        options: Of sampling.
        encoder_depth: Layers of the reference that read the condition.
        batches: Numbers of values drawn together.
    """

    pipeline: str
    conditions: tuple[Any, ...]
    options: dict[str, Any]
    encoder_depth: int
    batches: tuple[int, ...]


SUBJECTS = {
    "translation": _Subject(
        "text-to-text:zh-en",
        ("我不知道你在说什么。", "你明天早上想吃什么？", "他昨天去了公园。"),
        {"temperature": 0.0, "split": "never"},
        2,
        (1, 16),
    ),
    # As transformers draws them, and no string of so many tokens is a molecule.
    "molecules": _Subject(
        "properties-to-molecules:zinc",
        (None,),
        {"checked": False, "constrained": False, "min_p": 0.0},
        1,
        (1, 64),
    ),
}


def _pipeline(subject: _Subject, quick: bool) -> tuple[Pipeline, str]:
    """The pipeline, never ending a text of itself, and whose weights it has."""
    weights = "debug" if quick else "shipped"
    try:
        pipe = (
            Pipeline.debug(subject.pipeline)
            if quick
            else Pipeline.from_pretrained(subject.pipeline)
        )
    except LoadError:
        # Its speed is that of its shape.
        pipe, weights = Pipeline.debug(subject.pipeline), "debug"
    network = _network(pipe)
    with torch.no_grad():
        # The end is the last of what it gives logits of.
        network.out.bias[-1] = -1e4
    return pipe, weights


def _network(pipe: Pipeline) -> TokenTransformer:
    return next(m for m in pipe.model.modules() if isinstance(m, TokenTransformer))


def _bare(pipe: Pipeline, conditions: Sequence[Any], tokens: int) -> Callable[[], object]:
    """The calls of the network alone, with ids that are there before."""
    network = _network(pipe)
    with torch.no_grad():
        c = pipe.encoder.encode(pipe.encoder.prepare(list(conditions)))
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(network.vocabulary - 1, (len(conditions), tokens), generator=generator)

    @torch.no_grad()
    def run() -> Tensor:
        cache = network.cache()
        for place in range(tokens):
            logits = network.extend(ids[:, place : place + 1], c, cache)
        return logits

    return run


def _library(
    network: TokenTransformer, subject: _Subject, count: int, tokens: int
) -> tuple[Callable[[], object], nn.Module]:
    """The same number of tokens by transformers, of a decoder of the same width and depth."""
    from transformers import MarianConfig, MarianMTModel

    words = network.num_outputs + 1
    dim = network.embed.embedding_dim
    blocks = network.transformer.blocks
    heads = blocks[0].attention.num_heads
    config = MarianConfig(
        vocab_size=words,
        d_model=dim,
        encoder_layers=subject.encoder_depth,
        decoder_layers=len(blocks),
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        # A gated perceptron of 8/3 of the width has as many weights as a plain one of 4 times.
        encoder_ffn_dim=4 * dim,
        decoder_ffn_dim=4 * dim,
        pad_token_id=words - 1,
        eos_token_id=words - 2,
        decoder_start_token_id=words - 1,
        forced_eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MarianMTModel(config).eval()
    model.final_logits_bias[0, -2:] = -1e4
    source = torch.randint(words - 2, (count, 8), generator=torch.Generator().manual_seed(0))
    greedy = subject.options.get("temperature") == 0

    def run() -> object:
        asked = {"do_sample": not greedy, "num_beams": 1, "max_new_tokens": tokens}
        return model.generate(input_ids=source, attention_mask=torch.ones_like(source), **asked)

    return run, nn.ModuleList([model.get_decoder(), model.lm_head])


def alone(name: str, way: str, tokens: int) -> None:
    """One value in one way, for the memory of this process to be measured.

    Args:
        name: Of `SUBJECTS`.
        way: "mmgen" or "transformers".
        tokens: Of the value.
    """
    subject = SUBJECTS[name]
    pipe, _ = _pipeline(subject, quick=False)
    if way == "mmgen":
        pipe(subject.conditions[0], max_new_tokens=tokens, seed=0, **subject.options)
    else:
        _library(_network(pipe), subject, 1, tokens)[0]()


def _peaks(name: str, tokens: int) -> dict[str, float]:
    own = "from benchmarks.speed.decoding import alone; alone({!r}, {!r}, {})"
    return {
        way: peak_of(["-c", own.format(name, way, tokens)], what=f"{name} by {way}")
        for way in ("mmgen", "transformers")
    }


def _measure(subject: _Subject, *, tokens: int, repeats: int, quick: bool) -> dict[str, Any]:
    pipe, weights = _pipeline(subject, quick)
    network = _network(pipe)
    found: dict[str, Any] = {"pipeline": subject.pipeline, "weights": weights}
    found["decoder_parameters"] = sum(p.numel() for p in network.parameters())
    memory, num_bytes = reading(8 if quick else 256)
    for count in subject.batches:
        conditions = [subject.conditions[i % len(subject.conditions)] for i in range(count)]
        asked = {"max_new_tokens": tokens, "seed": 0, **subject.options}
        library, reference = _library(network, subject, count, tokens)
        cases = {
            "mmgen": partial(pipe, conditions, **asked),
            "network": _bare(pipe, conditions, tokens),
            "transformers": library,
            "memory": memory,
        }
        seconds = interleave(cases, repeats)
        bandwidth = Spread.of(gigabytes_per_second(num_bytes, seconds.pop("memory")))
        over = {n: Spread.of(ratio(seconds["transformers"], seconds[n])) for n in seconds}
        rates = {n: Spread.of([count * tokens / s for s in own]) for n, own in seconds.items()}
        needed = {
            "mmgen": weight_bytes(network, without=("cross.key_value",)),
            "transformers": weight_bytes(reference, without=("encoder_attn.k_", "encoder_attn.v_")),
        }
        # Weights are read once for all that are drawn together.
        shares = {
            n: round(rates[n].median / count * size / 1e9 / bandwidth.median, 4)
            for n, size in needed.items()
        }
        overhead = [a - 1 for a in ratio(seconds["mmgen"], seconds["network"])]
        found[str(count)] = {
            "tokens_per_second": {n: own.as_dict() for n, own in rates.items()},
            "per_second": Spread.of([count / s for s in seconds["mmgen"]]).as_dict(),
            "times_transformers": over["mmgen"].as_dict(),
            "network_times_transformers": over["network"].as_dict(),
            "overhead": Spread.of(overhead).as_dict(),
            "bytes_per_token": needed,
            "gigabytes_per_second": bandwidth.as_dict(),
            "share_of_limit": shares["mmgen"],
            "transformers_share_of_limit": shares["transformers"],
        }
        print(
            f"{subject.pipeline}, {count} at once: {rates['mmgen'].median:.0f} tokens/s, "
            f"{over['mmgen'].median:.2f} times transformers, overhead "
            f"{100 * Spread.of(overhead).median:.0f} %, {100 * shares['mmgen']:.0f} % of "
            f"{bandwidth.median:.1f} GB/s"
        )
    return found


def main(arguments: Sequence[str] | None = None) -> Path:
    """Measure, and write benchmarks/results/speed_decoding.json."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.speed.decoding",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=32, help="of each value, at most 48")
    parser.add_argument("--quick", action="store_true", help="tiny networks, a glance")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    asked = parser.parse_args(arguments)
    if not 1 <= asked.tokens <= 48 or asked.repeats < 1:
        parser.error("--tokens is from 1 to 48 and --repeats at least 1")
    repeats, tokens = (1, 4) if asked.quick else (asked.repeats, asked.tokens)
    scores = {}
    for name, subject in SUBJECTS.items():
        print(f"{name}, {repeats} times ...", file=sys.stderr)
        scores[name] = _measure(subject, tokens=tokens, repeats=repeats, quick=asked.quick)
        # Each is a process of its own, too slow for a glance.
        scores[name]["peak_memory_mb"] = None if asked.quick else _peaks(name, tokens)
        print(f"peak memory, MB: {scores[name]['peak_memory_mb']}")
    return write_result(
        asked.output / "speed_decoding.json",
        task="speed of decoding",
        protocol=PROTOCOL,
        settings={
            "quick": asked.quick,
            "repeats": repeats,
            "tokens": tokens,
            "threads": torch.get_num_threads(),
            "cores_allowed": len(os.sched_getaffinity(0)),
        },
        scores=scores,
    )


if __name__ == "__main__":
    main()
