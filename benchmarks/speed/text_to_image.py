"""How long an image takes, what of that is overhead, and how near it comes to the machine's limit.

Timed in turns, in one run: a pipeline of mmgen, pipelines of diffusers of about the same size and
as many steps, and plain matrix products. Of each pipeline, from a text to a PIL image ("call"), the
steps alone from an encoded text to a latent ("loop"), and the calls that those make of the network,
made again in a plain loop ("network"). Overhead is loop / network - 1, in each repeat.

Peak memory is that of one image in a process of its own, imports included. Beside these, of the
pipeline that comes first to hand (`text-to-image`, which need not be of diffusion): one image, and
`mmgen generate` in a fresh process.

    python -m benchmarks.speed.text_to_image --pipeline text-to-image:emoji --repeats 15
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.calls import Calls, matmul
from benchmarks.speed.diffusers_reference import Reference
from benchmarks.speed.memory import child_environment, peak
from benchmarks.speed.shape import Shape, kinds
from benchmarks.speed.subject import Subject, texts
from benchmarks.speed.table import table
from benchmarks.speed.timing import Spread, interleave, ratio
from mmgen.core.rng import Generators
from mmgen.evaluation.record import write_result
from mmgen.evaluation.task import Task
from mmgen.pipeline import Pipeline

__all__ = ["TASK", "main", "run"]

TASK = Task(
    summary="An image by diffusion, beside diffusers with a network of the same size.",
    protocol=1,
    minutes=12,
    quick=("--quick",),
    quick_minutes=1,
    quick_note="tiny networks",
    shown=(
        (
            "what the loop adds to the calls of the network, eight at once",
            "batches/8/mmgen/overhead",
            "lower",
            "{batches/8/diffusers-unet/overhead} by diffusers",
        ),
        (
            "seconds of an image, eight at once",
            "batches/8/mmgen/seconds_per_image/call",
            "lower",
            "{batches/8/diffusers-unet/seconds_per_image/call} by diffusers with a UNet, "
            "{batches/8/diffusers-pixart/seconds_per_image/call} with a transformer",
        ),
        (
            "share of the machine's rate of matrix products",
            "batches/8/mmgen/share_of_limit",
            "higher",
            "{batches/8/diffusers-unet/share_of_limit} by diffusers",
        ),
        (
            "peak memory, MB",
            "peak_memory_mb/mmgen",
            "lower",
            "{peak_memory_mb/diffusers-unet} by diffusers",
        ),
    ),
)
PROTOCOL = TASK.protocol
BATCHES = (1, 8)
LIMITS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
MAX_OVERHEAD, MAX_IMAGE_SECONDS, MAX_COMMAND_SECONDS = 0.05, 3.0, 15.0
FIRST, CAPTION = "text-to-image", "a red circle left of a blue square"
RESULTS = Path(__file__).resolve().parent.parent / "results"

Case = Callable[[], object]
Scores = dict[str, Any]


@dataclass(frozen=True)
class _Batch:
    """What is timed for one number of images.

    Args:
        count: Images at once.
        cases: By "<pipeline> <part>".
        flops: Operations of one run of the network's calls, by pipeline.
        num_calls: How many calls that is, by pipeline.
    """

    count: int
    cases: Mapping[str, Case]
    flops: Mapping[str, int]
    num_calls: Mapping[str, int]

    @classmethod
    def of(cls, subject: Subject, references: Mapping[str, Reference], count: int) -> _Batch:
        given = texts(subject.name, count)
        conditional = subject.pipe.given(given, **subject.chosen).conditional

        def loop() -> None:
            conditional.sample(1, Generators.from_seed(0, num_samples=1, batch=count))

        calls = {"mmgen": Calls.of(subject.network, loop)}
        cases: dict[str, Case] = {
            "mmgen call": lambda: subject.pipe(given, seed=0, **subject.chosen),
            "mmgen loop": loop,
            "mmgen network": calls["mmgen"].replay,
        }
        for name, reference in references.items():
            prepared = reference.prepared(given)
            calls[name] = reference.calls(prepared)
            cases[f"{name} call"] = lambda r=reference: r.draw(given)
            cases[f"{name} loop"] = lambda r=reference, p=prepared: r.loop(p)
            cases[f"{name} network"] = calls[name].replay
        return cls(
            count,
            cases,
            {name: own.flops() for name, own in calls.items()},
            {name: len(own.arguments) for name, own in calls.items()},
        )


def run(
    subject: Subject, references: Mapping[str, Reference], *, repeats: int, side: int
) -> Scores:
    """Time everything in this process.

    Args:
        subject: The pipeline of mmgen.
        references: Those of diffusers by name.
        repeats: Of each time.
        side: Of the square matrices whose product is the limit.

    Returns:
        Scores by batch size, and the rates of matrix products.
    """
    products = {name: matmul(side, dtype) for name, dtype in LIMITS.items()}
    limits = {name: case for name, (case, _) in products.items()}
    rates: dict[str, list[float]] = {name: [] for name in products}
    found: dict[str, Scores] = {}
    for count in BATCHES:
        batch = _Batch.of(subject, references, count)
        print(f"{count} at once, {repeats} times ...", file=sys.stderr)
        seconds = interleave({**batch.cases, **limits}, repeats)
        here = {n: [flops / s for s in seconds[n]] for n, (_, flops) in products.items()}
        found[str(count)] = _scores(batch, seconds, ["mmgen", *references], here["float32"])
        for name, own in here.items():
            rates[name] += own
    return {
        "batches": found,
        "limit": {
            "matrix": side,
            "gflops": {n: Spread.of([r / 1e9 for r in own]).as_dict() for n, own in rates.items()},
        },
    }


def _scores(
    batch: _Batch, seconds: Mapping[str, list[float]], names: Sequence[str], rate: Sequence[float]
) -> Scores:
    def spread(values: Sequence[float]) -> dict[str, float | int]:
        return Spread.of(values).as_dict()

    scores: Scores = {}
    for name in names:
        parts = {part: seconds[f"{name} {part}"] for part in ("call", "loop", "network")}
        speed = [batch.flops[name] / s for s in parts["network"]]
        scores[name] = {
            "seconds_per_image": {
                part: spread([s / batch.count for s in own]) for part, own in parts.items()
            },
            "network_calls": batch.num_calls[name],
            "overhead": spread([r - 1 for r in ratio(parts["loop"], parts["network"])]),
            "gflop_per_image": round(batch.flops[name] / batch.count / 1e9, 3),
            "network_gflops": spread([s / 1e9 for s in speed]),
            "share_of_limit": spread(ratio(speed, rate)),
        }
        if name != "mmgen":
            scores[name]["over_mmgen"] = {
                part: spread(ratio(own, seconds[f"mmgen {part}"])) for part, own in parts.items()
            }
    return scores


def _references(subject: Subject) -> dict[str, Reference]:
    given = texts(subject.name, max(BATCHES))
    condition = subject.pipe.given(given).conditional.c
    options = subject.options
    found = {}
    for kind in kinds(subject.network):
        shape = Shape.like(
            subject.network,
            kind=kind,
            size=subject.size,
            num_tokens=condition.tokens.shape[1],
            num_steps=options["num_inference_steps"],
            guidance_scale=options["guidance_scale"],
        )
        found[f"diffusers-{kind}"] = Reference.build(kind, shape, given)
    return found


def _parameters(subject: Subject, references: Mapping[str, Reference]) -> Scores:
    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    found = {"mmgen": {"network": count(subject.network), "all": count(subject.pipe.parts)}}
    for name, own in references.items():
        found[name] = {"network": count(own.network), "all": own.num_parameters}
    return found


def _memory(subject: Subject, references: Mapping[str, Reference]) -> dict[str, float]:
    given = texts(subject.name, max(BATCHES))
    print("Peak memory ...", file=sys.stderr)
    work = {"what": "mmgen", "pipeline": subject.name, "texts": given}
    found = {"mmgen": peak(work)}
    for name, own in references.items():
        kind = name.removeprefix("diffusers-")
        found[name] = peak({"what": kind, "shape": own.shape.as_dict(), "texts": given})
    return found


def _first(repeats: int) -> dict[str, dict[str, float | int]]:
    """Wall time of one image, and of `mmgen generate`, a fresh process each time."""
    pipe = Pipeline.from_pretrained(FIRST)
    program = shutil.which("mmgen", path=Path(sys.executable).parent)
    if program is None:
        raise FileNotFoundError(f"No mmgen beside {sys.executable}. Install it: pip install -e .")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "image.png"
        command = [program, "generate", FIRST, CAPTION, "--seed", "0", "--output", str(output)]

        def generate() -> None:
            subprocess.run(command, env=child_environment(), capture_output=True, check=True)

        print(f"{FIRST} and its command ...", file=sys.stderr)
        cases = {"image": lambda: pipe(CAPTION, seed=0), "command": generate}
        return {k: Spread.of(v).as_dict() for k, v in interleave(cases, repeats).items()}


def _bars(scores: Scores) -> Scores:
    """What was asked for, and what came."""
    batches = scores["batches"]
    found = {
        f"overhead, {count} at once": (own["mmgen"]["overhead"]["median"], MAX_OVERHEAD)
        for count, own in batches.items()
    }
    one = batches["1"]["mmgen"]["seconds_per_image"]["call"]["median"]
    found["seconds of one image"] = (one, MAX_IMAGE_SECONDS)
    first = scores["first"]
    if first is not None:
        found[f"seconds of one image of {FIRST}"] = (first["image"]["median"], MAX_IMAGE_SECONDS)
        found["seconds of the command"] = (first["command"]["median"], MAX_COMMAND_SECONDS)
    return {
        name: {"value": value, "at_most": most, "met": value <= most}
        for name, (value, most) in found.items()
    }


def _settings(subject: Subject, references: Mapping[str, Reference], repeats: int) -> Scores:
    options = subject.options
    names = ("num_inference_steps", "guidance_scale", "sampler")
    return {
        "pipeline": subject.name,
        "weights": subject.weights,
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "cores_allowed": len(os.sched_getaffinity(0)) if sys.platform == "linux" else None,
        "dtype": "float32",
        "texts": texts(subject.name, max(BATCHES)),
        "options": {name: options[name] for name in names},
        "references": {
            name: {**own.shape.as_dict(), "num_tokens": own.num_tokens}
            for name, own in references.items()
        },
        "work": (
            "call: text to PIL image; loop: encoded text to latent; network: the calls that the "
            "loop makes of its network, with the same arguments, and nothing else. Wall time, one "
            "untimed run of each first, then in turns. Peak memory: one image in a process of its "
            "own, imports included (ru_maxrss). Command: mmgen generate in a fresh process."
        ),
    }


def main(argv: Sequence[str] | None = None) -> Path:
    parser = argparse.ArgumentParser(description="Time text-to-image beside diffusers.")
    parser.add_argument("--pipeline", default="text-to-image:emoji", help="recipe or folder")
    parser.add_argument("--repeats", type=int, default=15, help="of each time")
    parser.add_argument("--threads", type=int, default=None, help="those of torch")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the record")
    parser.add_argument(
        "--quick", action="store_true", help="tiny, four steps, twice, no further processes"
    )
    args = parser.parse_args(argv)
    if args.repeats < 1:
        parser.error("--repeats is at least 1.")
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    repeats = 2 if args.quick else args.repeats
    subject = Subject.load(args.pipeline, quick=args.quick)
    if subject.weights == "fresh":
        print(f"{args.pipeline} ships no weights: measured with fresh ones.", file=sys.stderr)
    references = _references(subject)
    scores = run(subject, references, repeats=repeats, side=256 if args.quick else 1024)
    scores["parameters"] = _parameters(subject, references)
    scores["peak_memory_mb"] = None if args.quick else _memory(subject, references)
    saved = subject.weights == "saved"
    scores["first"] = _first(min(repeats, 3)) if saved else None
    # Nothing is asked of a tiny network.
    scores["bars"] = {} if args.quick else _bars(scores)
    path = write_result(
        args.output / "speed_text_to_image.json",
        task="speed of text to image",
        protocol=PROTOCOL,
        settings=_settings(subject, references, repeats),
        scores=scores,
    )
    print(table(scores))
    print(path)
    return path


if __name__ == "__main__":
    main()
