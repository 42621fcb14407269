"""Records of measurements, read and put beside each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmgen.core.errors import LoadError
from mmgen.core.files import read_json, write_beside
from mmgen.evaluation.task import FoundTask

__all__ = [
    "Row",
    "filled",
    "in_words",
    "markdown",
    "marked",
    "read_records",
    "rows_of",
    "task_of",
    "value_at",
    "write_filled",
]

_MARKS = "<!-- {}: begin -->", "<!-- {}: end -->"
_COLUMNS = ("task", "what is measured", "score", "better", "beside it")


@dataclass(frozen=True)
class Row:
    """A score and what stands beside it.

    Args:
        task: Of which.
        subject: The pipeline that was measured, and with what else than its defaults; empty if the
            task trains its own.
        label: What is measured.
        score: In words.
        better: "higher" or "lower".
        reference: What it is to be compared with.
        bounds: Score, lower and upper end as numbers, None where there is none.
        marks: Numbers of the reference: those of the record, and one that it begins with.
        record: Name of the record, without its ending.
    """

    task: str
    subject: str
    label: str
    score: str
    better: str
    reference: str
    bounds: tuple[float | None, float | None, float | None]
    marks: tuple[float, ...] = ()
    record: str = ""


def read_records(folder: Path) -> dict[Path, dict[str, Any]]:
    """Every record of a folder by its file.

    Raises:
        LoadError: If there is no such folder, or a file in it is no record.
    """
    if not folder.is_dir():
        raise LoadError(f"There is no folder {str(folder)!r} of results. Run mmgen bench first.")
    found = {}
    for path in sorted(folder.glob("*.json")):
        if path.name.startswith("."):
            continue
        record = read_json(path)
        missing = [k for k in ("task", "protocol", "settings", "scores") if k not in record]
        if missing:
            raise LoadError(f"{path} is no record of a measurement: no {', '.join(missing)} in it.")
        found[path] = record
    return found


def task_of(path: Path, tasks: Mapping[str, FoundTask]) -> FoundTask | None:
    """The task that wrote a record, by the name of its file: the longest that it begins with."""
    fitting = [t for t in tasks.values() if f"{path.stem}_".startswith(f"{_stem(t)}_")]
    return max(fitting, key=lambda t: len(_stem(t)), default=None)


def _stem(task: FoundTask) -> str:
    return task.full_name.replace(" ", "_")


def rows_of(task: FoundTask, path: Path, record: Mapping[str, Any]) -> list[Row]:
    """What is shown of a record.

    Args:
        task: That wrote it.
        path: Its file, whose name tells with what else than defaults it was made.
        record: What it holds.

    Raises:
        LoadError: If it is of another protocol, with which nothing compares.
    """
    about = task.about
    if record["protocol"] != about.protocol:
        raise LoadError(
            f"A result of {task.name} is of protocol {record['protocol']}; the task is now at "
            f"{about.protocol}, and the two do not compare. Measure again: mmgen bench {task.name}"
        )
    pipeline = str(record["settings"].get("pipeline", ""))
    plain = f"{task.name}_{pipeline.rpartition('/')[2].replace(':', '_')}_"
    chosen = path.stem.removeprefix(plain) if path.stem.startswith(plain) else ""
    subject = f"{pipeline} {chosen}".strip()
    found = []
    for label, place, better, reference in about.shown:
        value = value_at(record["scores"], place)
        if value is None:
            continue
        beside = re.sub(
            r"\{([^}]*)\}",
            lambda match: in_words(value_at(record["scores"], match[1]), short=True),
            reference,
        )
        shown = (label, in_words(value), better, beside, bounds_of(value))
        marks = _marks(reference, record["scores"])
        found.append(Row(task.full_name, subject, *shown, marks, path.stem))
    return found


def _marks(reference: str, scores: Mapping[str, Any]) -> tuple[float, ...]:
    """The numbers of a reference that are in the record, and the one that it begins with."""
    places = re.findall(r"\{([^}]*)\}", reference)
    found = [bounds_of(value_at(scores, place))[0] for place in places]
    first = re.match(r"(\d+(?:\.\d+)?)( %)?", reference)
    if first:
        found.insert(0, float(first[1]) / (100 if first[2] else 1))
    return tuple(mark for mark in found if mark is not None)


def value_at(scores: Any, path: str) -> Any:
    """The value at keys with "/" between them; None if there is none."""
    for key in path.split("/"):
        if not isinstance(scores, Mapping) or key not in scores:
            return None
        scores = scores[key]
    return scores


def bounds_of(value: Any) -> tuple[float | None, float | None, float | None]:
    """A score with the ends of its interval, as numbers."""
    if not isinstance(value, Mapping):
        return (float(value) if isinstance(value, (int, float)) else None, None, None)
    middle = _middle(value)
    if "std_error" in value and middle is not None:
        half = 1.96 * value["std_error"]
        return middle, middle - half, middle + half
    return middle, value.get("low"), value.get("high")


def in_words(value: Any, *, short: bool = False) -> str:
    """A score as it stands in a table: a share as per cent, with its interval and its count."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    middle, low, high = bounds_of(value)
    if middle is None:
        return "not measured" if value is None else str(value)
    share = isinstance(value, Mapping) and ("share" in value or "relative" in value)
    shown = [
        f"{100 * v:.1f}" if share else f"{v:.4g}" for v in (middle, low, high) if v is not None
    ]
    unit = " %" if share else ""
    if short or len(shown) < 3:
        return shown[0] + unit
    count = value.get("count") or value.get("repeats")
    more = f", n = {count}" if count else ""
    return f"{shown[0]}{unit} ({shown[1]} to {shown[2]}{more})"


def _middle(value: Mapping[str, Any]) -> float | None:
    for key in ("share", "relative", "median", "mean", "value", "score"):
        if isinstance(value.get(key), (int, float)):
            return float(value[key])
    return None


def markdown(rows: Sequence[Row]) -> str:
    """A table of rows, a line each."""
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    for row in rows:
        task = f"{row.task}: `{row.subject}`" if row.subject else row.task
        cells = (task, row.label, row.score, row.better, row.reference)
        lines.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return "\n".join(lines)


def marked(text: str, table: str) -> list[str] | None:
    """The lines that a document has between the two marks of a table; None if it lacks them."""
    begin, end = (mark.format(table) for mark in _MARKS)
    _, first, rest = text.partition(begin)
    inner, last, _ = rest.partition(end)
    return inner.strip().splitlines() if first and last else None


def filled(text: str, tables: Mapping[str, Iterable[str]], *, name: str) -> str:
    """A document with the lines of each table between its two marks, as far as it has them.

    Args:
        text: The document.
        tables: Lines by the name of the table.
        name: Of the document, for the message.

    Raises:
        ValueError: If no table has its marks there.
    """
    fitting = [table for table in tables if marked(text, table) is not None]
    if not fitting:
        begin, end = (mark.format(next(iter(tables))) for mark in _MARKS)
        raise ValueError(
            f"{name} has no place for a table. Put the lines {begin} and {end} where it goes "
            f"(or another of {', '.join(tables)} in their place)."
        )
    for table in fitting:
        begin, end = (mark.format(table) for mark in _MARKS)
        before, _, rest = text.partition(begin)
        inner = "\n".join(tables[table])
        text = f"{before}{begin}\n{inner}\n{end}{rest.partition(end)[2]}"
    return text


def write_filled(path: Path, tables: Mapping[str, Iterable[str]]) -> None:
    """Put the lines of each table between its marks in a file.

    Raises:
        ValueError: If no table has its marks there.
    """
    write_beside(path, filled(path.read_text("utf-8"), tables, name=path.name).encode())
