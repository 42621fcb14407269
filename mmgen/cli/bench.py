"""`mmgen bench`: the benchmark suite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mmgen import hub
from mmgen.cli.console import Stopped, answer, write_error, write_json, write_table
from mmgen.cli.parameters import AsJson
from mmgen.core.errors import LoadError, SpecError
from mmgen.evaluation.claims import pipeline_table
from mmgen.evaluation.results import (
    Row,
    markdown,
    read_records,
    rows_of,
    task_of,
    write_filled,
)
from mmgen.evaluation.task import KINDS, FoundTask, find_tasks
from mmgen.evaluation.weights import of_other_weights

__all__ = ["bench", "rows_in", "tables_of"]

RECORDED = Path("benchmarks/results")
OUTPUT = Path("runs/bench")


def bench(  # noqa: PLR0913 - a parameter is an option of the command line
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TASK...]",
            help="Tasks of --list, all if none is named. `speed [NAME...]`: what it takes beside "
            "other libraries. `finetuning [NAME...]`: before and after it. `report`: records of "
            "--output as one HTML page. `table`: as Markdown.",
        ),
    ] = None,
    pipeline: Annotated[
        str | None,
        typer.Option(metavar="NAME_OR_PATH", help="What to measure, if not what the task names."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="As little as shows that all of it runs.")
    ] = False,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A sampling option of `mmgen show NAME`."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of samples and of training.")] = 0,
    device: Annotated[str, typer.Option(help="Where pipelines compute.")] = "cpu",
    output: Annotated[
        Path | None,
        typer.Option(
            help=f"Folder of records: {OUTPUT}, {OUTPUT}/quick with --quick; to `report` and "
            f"`table`, {RECORDED}."
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Of `report`: the page. Of `table`: a document that holds one."
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Do not go on with a run that was interrupted.")
    ] = False,
    list_them: Annotated[bool, typer.Option("--list", help="Name the tasks.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure pipelines, and put references beside."""
    first, *rest = tasks or [""]
    if list_them:
        _list(as_json)
    elif first in ("report", "table"):
        if rest:
            raise typer.BadParameter(f"{first} stands alone, got {' '.join(rest)!r}, too.")
        folder = output or RECORDED
        _table(folder, write, as_json) if first == "table" else _report(folder, write)
    else:
        kind, names = (first, rest) if first in KINDS[1:] else (KINDS[0], tasks or [])
        asked = {"pipeline": pipeline, "options": tuple(option or ()), "seed": seed}
        asked |= {"device": device, "quick": quick}
        folder = output or (OUTPUT / "quick" if quick else OUTPUT)
        answer(lambda: _run(kind, tuple(names), asked, folder, restart), _print, as_json=as_json)


def _run(
    kind: str, names: tuple[str, ...], asked: Mapping[str, Any], output: Path, restart: bool
) -> dict[str, Any]:
    chosen = _fitting(find_tasks(kind, names), asked["pipeline"], named=bool(names))
    from contextlib import redirect_stdout
    from sys import stderr

    from mmgen.evaluation.suite import Asked, Suite
    from mmgen.evaluation.untrained import NOTE

    suite = Suite(chosen, Asked(**asked), output, lambda line: typer.echo(line, err=True))
    try:
        # What tasks print in between is progress here: their tables stand in the last one.
        with redirect_stdout(stderr):
            found = suite.run(restart=restart)
    except KeyboardInterrupt:
        raise Stopped(
            f"Stopped. What was measured is in {output}; the same command goes on from there."
        ) from None
    recorded = {} if asked["quick"] else _recorded()
    results = []
    for name, path in found.items():
        record = read_records(path.parent)[path]
        rows = [_as_dict(row, recorded) for row in rows_of(chosen[name], path, record)]
        results.append({"task": name, "record": str(path), "protocol": record["protocol"]})
        note = NOTE if name in suite.hardly else chosen[name].about.quick_note
        results[-1] |= {"quick": asked["quick"], "note": note}
        results[-1] |= {"rows": rows, "scores": record["scores"]}
    return {"results": results, "failed": suite.failed}


def _fitting(
    tasks: dict[str, FoundTask], pipeline: str | None, *, named: bool
) -> dict[str, FoundTask]:
    """Those that can measure the pipeline; all of them must if they were named."""
    if pipeline is None:
        return tasks
    from mmgen.cli.naming import find_named

    what = find_named(pipeline)
    fitting, reasons = {}, []
    for name, task in tasks.items():
        try:
            task.about.require_fit(name, pipeline=pipeline, x=what.x, y=what.y)
        except SpecError as error:
            if named:
                raise
            reasons.append(str(error))
        else:
            fitting[name] = task
    if not fitting:
        raise SpecError(f"No task measures {pipeline}, P({what.x} | {what.y or 'nothing'}).")
    return fitting


def _recorded() -> dict[tuple[str, str, str], Row]:
    """Rows of the records of the repository, by task, pipeline and label; none of older ones."""
    if not RECORDED.is_dir():
        return {}
    rows, _ = rows_in(RECORDED)
    return {(r.task, r.subject, r.label): r for r in rows}


def rows_in(folder: Path) -> tuple[list[Row], list[str]]:
    """Rows of a folder of records, and why others are left out."""
    tasks = {f"{t.kind}/{t.name}": t for kind in KINDS for t in find_tasks(kind).values()}
    rows, left = [], []
    for path, record in read_records(folder).items():
        task = task_of(path, tasks)
        if task is None:
            left.append(f"{path.name}: no task wrote it that there is now.")
            continue
        if of_other_weights(record):
            name = record["settings"]["pipeline"]
            again = f"Measure again: mmgen bench {task.name} --pipeline {name}"
            left.append(f"{path.name}: {name} has other weights by now. {again}")
            continue
        try:
            rows += rows_of(task, path, record)
        except LoadError as error:
            left.append(f"{path.name}: {error}")
    return rows, left


def tables_of(rows: list[Row]) -> dict[str, list[str]]:
    """Lines of the tables that documents may hold: of all results, and of what is shipped."""
    shipped = [r for r in hub.recipes().values() if r.weights.is_file()]
    return {"results": markdown(rows).splitlines(), "pipelines": pipeline_table(shipped, rows)}


def _as_dict(row: Row, recorded: Mapping[tuple[str, str, str], Row]) -> dict[str, Any]:
    before = recorded.get((row.task, row.subject, row.label))
    return {
        "label": row.label,
        "score": row.score,
        "value": row.bounds[0],
        "better": row.better,
        "recorded": before.score if before else None,
        "reference": row.reference,
    }


def _print(result: Mapping[str, Any]) -> None:
    lines = []
    for one in result["results"]:
        for row in one["rows"]:
            recorded = f"recorded: {row['recorded']}" if row["recorded"] else ""
            cells = filter(None, (row["score"], recorded, f"beside: {row['reference']}"))
            lines.append((f"{one['task']}: {row['label']}", "\n".join(cells)))
    write_table(("what is measured", "score"), lines)
    for one in result["results"]:
        if one["quick"]:
            note = one["note"] or "few samples"
            typer.echo(f"{one['task']} was quick ({note}): its scores compare with nothing.")
        typer.echo(one["record"])
    for name, why in result["failed"].items():
        write_error(f"{name} was not measured: {why}")
    if result["failed"]:
        raise typer.Exit(1)


def _list(as_json: bool) -> None:
    found = [t for kind in KINDS for t in find_tasks(kind).values()]
    if as_json:
        from dataclasses import asdict

        write_json([{"name": t.name, "kind": t.kind, **asdict(t.about)} for t in found])
        return
    rows = []
    for task in found:
        about = task.about
        needs = ", ".join((*about.data, *(module for module, _ in about.needs)))
        lines = [about.summary, about.pipeline or "", f"Needs {needs}." if needs else ""]
        time = f"{about.minutes:g} / {about.quick_minutes:g}"
        rows.append((task.full_name, "\n".join(filter(None, lines)), time))
    write_table(("task", "what it asks", "minutes: all / quick"), rows)


def _table(folder: Path, document: Path | None, as_json: bool) -> None:
    rows, left = rows_in(folder)
    if as_json:
        write_json([_as_dict(row, {}) | {"task": row.task, "of": row.subject} for row in rows])
    elif document is None:
        typer.echo(markdown(rows))
    else:
        write_filled(document, tables_of(rows))
        typer.echo(document)
    for line in left:
        write_error(line, label="left out")


def _asked() -> dict[str, str]:
    """What each task asks, and how it is measured again, by the name that its rows have."""
    tasks = [task for kind in KINDS for task in find_tasks(kind).values()]
    return {t.full_name: f"{t.about.summary} (mmgen bench {t.full_name})" for t in tasks}


def _report(folder: Path, page: Path | None) -> None:
    from mmgen.evaluation.report import write_report

    rows, left = rows_in(folder)
    page = page or folder / "report.html"
    typer.echo(write_report(page, rows, left, read_records(folder), asked=_asked()))
    for line in left:
        write_error(line, label="left out")
