"""All results on one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from mmgen.core.files import check_output, write_beside
from mmgen.evaluation.results import Row

__all__ = ["write_report"]

MAX_SHEET = 2**22
"""Bytes of a picture, or of a sound, that is taken into the page."""

MOST_EXAMPLES = 12
"""Texts of a record that are shown."""

_WIDTH = 240
_MEDIA = {
    ".png": "<img src='data:image/png;base64,{}' alt='{}'>",
    ".gif": "<img src='data:image/gif;base64,{}' alt='{}'>",
    ".wav": "<audio controls src='data:audio/wav;base64,{}' title='{}'></audio>",
}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76em; margin: 2em auto; padding: 0 1em; }
h2 { margin-top: 2.2em; border-top: 2px solid #333; padding-top: .4em; }
table { border-collapse: collapse; width: 100%; margin: 1em 0; table-layout: fixed; }
th, td { border-bottom: 1px solid #ddd; padding: .35em .8em .35em 0; text-align: left;
  vertical-align: top; overflow-wrap: anywhere; }
th.what { width: 30%; } th.score { width: 24%; } th.plot { width: 250px; }
img { max-width: 100%; border: 1px solid #ddd; } nav a { margin-right: 1em; }
summary { cursor: pointer; } summary, .about { color: #666; font-size: 13px; }
.left { color: #a00; }
"""
_READING = (
    "Scores with 95 % intervals and the number of samples (speeds: medians and the middle half of "
    "the repeats). A bar reaches to the score, the black line over it is the interval, each red "
    "line is a number that stands beside it. Shares are drawn from 0 to 100 %."
)


def write_report(
    page: Path,
    rows: Sequence[Row],
    left_out: Sequence[str],
    records: Mapping[Path, Any],
    *,
    asked: Mapping[str, str] | None = None,
) -> Path:
    """Write the page.

    Args:
        page: File ending in .html.
        rows: What is shown.
        left_out: Why other records are not.
        records: By their files, beside which samples lie as PNG, GIF and WAV files.
        asked: What each task asks, in a line, by its name.

    Returns:
        The page.

    Raises:
        ValueError: If it has another ending, or its folder is not there.
    """
    page = check_output(page, (".html",), what="a report")
    names = list(dict.fromkeys(row.task for row in rows))
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>mmgen: results</title>",
        f"<style>{_STYLE}</style>",
        f"<h1>mmgen: results</h1><p>{_READING}</p>",
        "<nav>" + "".join(f"<a href='#{_id(n)}'>{escape(n)}</a>" for n in names) + "</nav>",
    ]
    parts += [f"<p class='left'>Left out: {escape(line)}</p>" for line in left_out]
    for name in names:
        own = [row for row in rows if row.task == name]
        parts.append(f"<h2 id='{_id(name)}'>{escape(name)}</h2>")
        parts.append(f"<p>{escape((asked or {}).get(name, ''))}</p>{_table(own)}")
        stems = dict.fromkeys(row.record for row in own)
        for path in (p for p in records if p.stem in stems):
            parts += _samples(path, records)
    write_beside(page, "\n".join(parts).encode())
    return page


def _id(name: str) -> str:
    return escape(name.replace(" ", "-"))


def _table(rows: Sequence[Row]) -> str:
    head = (
        "<tr><th class='what'>what is measured</th><th class='score'>score</th>"
        "<th class='plot'></th><th>beside it</th></tr>"
    )
    lines = []
    for row in rows:
        subject = f"<br><span class='about'>{escape(row.subject)}</span>" if row.subject else ""
        better = f"<span class='about'>{row.better} is better</span>"
        cells = (
            escape(row.label) + subject,
            f"{escape(row.score)}<br>{better}",
            _plot(row),
            escape(row.reference),
        )
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f"<table>{head}{''.join(lines)}</table>"


def _plot(row: Row) -> str:
    """A bar up to the score, with its interval, and what stands beside it as lines."""
    value, low, high = row.bounds
    if value is None or value < 0:
        return ""
    marks = [mark for mark in row.marks if mark >= 0]
    most = max(value, high or 0, *marks)
    # Shares and areas are of 1; for others all that is drawn has to be on it.
    most = 1.0 if most <= 1 else 1.1 * most
    scale = _WIDTH / most
    drawn = [f"<rect width='{value * scale:.1f}' height='12' y='5' fill='#4a7ebb'/>"]
    drawn += [
        f"<path d='M{mark * scale:.1f} 0V22' stroke='#c22' stroke-width='2'/>" for mark in marks
    ]
    if low is not None and high is not None:
        ends = (max(0.0, low) * scale, high * scale)
        drawn.append(f"<path d='M{ends[0]:.1f} 11H{ends[1]:.1f}' stroke='#111' stroke-width='3'/>")
    axis = f"<path d='M0 0V22M{_WIDTH} 0V22M0 22H{_WIDTH}' stroke='#bbb' fill='none'/>"
    return f"<svg width='{_WIDTH + 2}' height='24' role='img'>{axis}{''.join(drawn)}</svg>"


def _samples(path: Path, records: Mapping[Path, Any]) -> Iterator[str]:
    """Where a record comes from, its texts, and the files that lie beside it."""
    record = records[path]
    yield (
        f"<details><summary>{escape(path.stem)}: how it was measured</summary>"
        f"<p class='about'>{_about(record)}</p></details>"
    )
    for place, rows in _examples(record["scores"]):
        columns = list(rows[0])
        head = "".join(f"<th>{escape(column)}</th>" for column in columns)
        lines = [
            "<tr>" + "".join(f"<td>{escape(str(row.get(c, '')))}</td>" for c in columns) + "</tr>"
            for row in rows[:MOST_EXAMPLES]
        ]
        yield (
            f"<details><summary>{escape(place)}, {min(len(rows), MOST_EXAMPLES)} of them</summary>"
            f"<table><tr>{head}</tr>{''.join(lines)}</table></details>"
        )
    for sheet in _sheets(path, records):
        data = base64.b64encode(sheet.read_bytes()).decode()
        shown = _MEDIA[sheet.suffix].format(data, escape(sheet.stem))
        yield f"<p><span class='about'>{escape(sheet.name)}</span><br>{shown}</p>"


def _examples(scores: Any, place: str = "") -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Lists of texts, each a record of words, wherever they are among scores."""
    if isinstance(scores, Mapping):
        for key, value in scores.items():
            yield from _examples(value, f"{place}, {key}" if place else str(key))
    elif isinstance(scores, list) and scores and all(isinstance(s, Mapping) for s in scores):
        if all(isinstance(word, str) for s in scores for word in s.values()):
            yield place, list(scores)


def _about(record: Mapping[str, Any]) -> str:
    hardware = record.get("hardware", {})
    found = {
        "task": record["task"],
        "protocol": record["protocol"],
        "date": record.get("date"),
        "commit": str(record.get("commit") or "")[:10],
        **{k: v for k, v in record["settings"].items() if isinstance(v, (str, int, float))},
        "cpu": hardware.get("cpu"),
        "cores": hardware.get("cores"),
        "gpu": hardware.get("gpu"),
        "versions": ", ".join(f"{k} {v}" for k, v in record.get("versions", {}).items()),
    }
    return escape("; ".join(f"{k} {v}" for k, v in found.items() if v not in (None, "")))


def _sheets(path: Path, records: Mapping[Path, Any]) -> list[Path]:
    """Files of samples of a record: those that begin with its name, and with no longer one."""
    longer = [p.stem for p in records if p.stem != path.stem and p.stem.startswith(path.stem)]
    return [
        sheet
        for sheet in sorted(path.parent.glob(f"{path.stem}*"))
        if sheet.suffix in _MEDIA
        and not sheet.stem.startswith(tuple(longer) or ("\0",))
        and sheet.stat().st_size <= MAX_SHEET
    ]
