"""The arguments that all tasks take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmgen.core.options import Option

__all__ = ["asked_options", "task_parser", "training_parser"]


def task_parser(task: str, *, pipeline: str, description: str | None) -> argparse.ArgumentParser:
    """A parser of --pipeline, --option, --seed, --device and --output.

    Args:
        task: Name of the task's module.
        pipeline: What is measured if nothing else is named.
        description: What the task says of itself.
    """
    parser = argparse.ArgumentParser(
        prog=f"benchmarks.tasks.{task}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pipeline", default=pipeline)
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a sampling option that `mmgen show` lists; may be given several times",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the samples")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    return parser


def training_parser(task: str, *, description: str | None) -> argparse.ArgumentParser:
    """A parser of what tasks take that train their own model.

    Args:
        task: Name of the task's module.
        description: What the task says of itself.
    """
    parser = argparse.ArgumentParser(
        prog=f"benchmarks.tasks.{task}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", default="small", help="of the model, such as debug or small")
    parser.add_argument("--steps", type=int, default=1000, help="of training")
    parser.add_argument("--seed", type=int, default=0, help="of training and of what is drawn")
    parser.add_argument("--model", type=Path, default=Path("runs") / task)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    return parser


def asked_options(texts: Sequence[str], options: Sequence[Option]) -> dict[str, Any]:
    """What --option was given, in the options' own types.

    Raises:
        ValueError: If a text is no name=value, or of another type. Unknown names stay, for the
            pipeline to refuse.
    """
    known = {o.name: o for o in options}
    asked: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--option is NAME=VALUE, got {text!r}.")
        asked[name] = known[name].parse(value) if name in known else value
    return asked
