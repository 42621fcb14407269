"""`mmgen pairs check`: what is in a collection of pairs, before anything learns from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmgen.cli.console import FAILED, answer, progress_bar, spinner, write_table
from mmgen.cli.options import split_pairs
from mmgen.cli.parameters import Adapt, AsJson, ColumnNames, PairsPaths

if TYPE_CHECKING:
    from mmgen.pipeline import Pipeline
    from mmgen.training.pairs import Pairs

__all__ = ["pairs", "read_source"]

_SHOWN = 10

pairs = typer.Typer(help="Look at pairs (y, x) to train on.", rich_markup_mode=None)


@pairs.callback()
def _pairs() -> None:
    """Look at pairs (y, x) to train on."""


@pairs.command()
def check(
    paths: PairsPaths,
    pipeline: Annotated[
        str, typer.Option("--for", metavar="PIPELINE", help="What shall learn from them.")
    ],
    split: Annotated[
        str | None, typer.Option(help="train, validation or test; train if there are splits.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Another split, which should share no pair with this one.")
    ] = None,
    column: ColumnNames = None,
    adapt: Adapt = False,
    as_json: AsJson = False,
) -> None:
    """Read every pair, count, and name each that cannot be learnt from.

    The exit code is 1 if there is one.
    """
    columns = split_pairs(column or (), flag="--column")
    result: dict[str, Any] = {}

    def run() -> dict[str, Any]:
        result.update(_run(paths, pipeline, (split, against), columns, adapt))
        return result

    answer(run, partial(_print, pipeline=pipeline), as_json=as_json)
    if result["bad"]:
        raise typer.Exit(FAILED)


def read_source(
    paths: Sequence[Path],
    pipe: Pipeline,
    *,
    split: str | None,
    columns: Mapping[str, str],
    adapt: bool,
) -> Pairs:
    """The pairs in what was named on the command line."""
    from mmgen.training import read_pairs

    source = paths[0] if len(paths) == 1 else list(paths)
    return read_pairs(source, pipe, split=split, columns=dict(columns) or None, adapt=adapt)


def _run(
    paths: Sequence[Path],
    name: str,
    splits: tuple[str | None, str | None],
    columns: Mapping[str, str],
    adapt: bool,
) -> dict[str, Any]:
    with spinner(f"Loading {name}"):
        from mmgen.pipeline import Pipeline
        from mmgen.training import check_pairs

        pipe = Pipeline.from_pretrained(name)
        how = {"columns": columns, "adapt": adapt}
        found = read_source(paths, pipe, split=splits[0], **how)
        other = read_source(paths, pipe, split=splits[1], **how) if splits[1] else None
    with progress_bar("Reading") as step:
        report = check_pairs(pipe, found, against=other, progress=step)
    read = getattr(found, "columns", None)
    return {
        "paths": [str(path) for path in paths],
        "columns": None if read is None else {"y": dict(read.y), "x": list(read.x)},
        "unread": list(getattr(found, "unread", ())),
        **{k: v for k, v in asdict(report).items() if k != "good"},
        "warnings": report.warnings,
    }


def _print(result: Mapping[str, Any], *, pipeline: str) -> None:
    good = result["count"] - len(result["bad"])
    count = result["count"]
    pairs = f"{count} pair{'' if count == 1 else 's'}"
    typer.echo(f"{pairs}, {good} of which {pipeline} can learn from.")
    if result["columns"]:
        parts = [(part or "y", names) for part, names in result["columns"]["y"].items()]
        for what, names in [*parts, ("x", result["columns"]["x"])]:
            typer.echo(f"{what} is read from {', '.join(names)}.")
    if result["unread"]:
        typer.echo(f"Nothing is read from {', '.join(result['unread'])}.")
    _print_table(("y", "x"), [tuple(pair) for pair in result["first"]])
    numbers = [(n, *(f"{v:g}" for v in values)) for n, values in result["numbers"].items()]
    _print_table(("", "least", "median", "most"), numbers)
    for part, counts in result["words"].items():
        _print_table((part, "pairs"), [(w, str(n)) for w, n in counts.items()])
    for warning in result["warnings"]:
        typer.echo(f"\nLook: {warning}")
    if result["bad"]:
        rows = [(bad["where"], bad["message"]) for bad in result["bad"]]
        _print_table(("cannot be learnt from", "why"), rows)


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        return
    typer.echo()
    write_table(head, rows[:_SHOWN])
    if len(rows) > _SHOWN:
        typer.echo(f"and {len(rows) - _SHOWN} more; --json lists them all")
