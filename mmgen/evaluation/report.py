"""All results on one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from mmgen.core.files import check_output, write_beside
from mmgen.evaluation.results import Row

__all__ = ["write_report"]

MAX_SHEET = 2**22
"""Bytes of a picture that is taken into the page."""

_WIDTH = 260
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; width: 100%; margin: 1em 0; }
th, td { border-bottom: 1px solid #ddd; padding: .3em .6em; text-align: left; }
img { max-width: 100%; border: 1px solid #ddd; }
.left { color: #a00; } .about { color: #666; font-size: 13px; }
"""


def write_report(
    page: Path, rows: Sequence[Row], left_out: Sequence[str], records: Mapping[Path, Any]
) -> Path:
    """Write the page.

    Args:
        page: File ending in .html.
        rows: What is shown.
        left_out: Why other records are not.
        records: By their files, beside which samples lie as PNG files.

    Returns:
        The page.

    Raises:
        ValueError: If it has another ending, or its folder is not there.
    """
    page = check_output(page, (".html",), what="a report")
    parts = ["<!doctype html><meta charset='utf-8'><title>mmgen: results</title>"]
    parts += [f"<style>{_STYLE}</style>", "<h1>mmgen: results</h1>"]
    for name in dict.fromkeys(row.task for row in rows):
        parts += [f"<h2>{escape(name)}</h2>", _table([r for r in rows if r.task == name])]
    parts += [f"<p class='left'>Left out: {escape(line)}</p>" for line in left_out]
    parts.append("<h2>Records and samples</h2>")
    for path, record in records.items():
        parts += [f"<h3>{escape(path.stem)}</h3>", f"<p class='about'>{_about(record)}</p>"]
        for sheet in _sheets(path, records):
            data = base64.b64encode(sheet.read_bytes()).decode()
            source = f"data:image/png;base64,{data}"
            parts.append(f"<p><img src='{source}' alt='{escape(sheet.stem)}'></p>")
    write_beside(page, "\n".join(parts).encode())
    return page


def _table(rows: Sequence[Row]) -> str:
    head = "<tr><th>what is measured</th><th>score</th><th></th><th>beside it</th></tr>"
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
    """A bar up to the score, with its interval."""
    value, low, high = row.bounds
    if value is None or value < 0:
        return ""
    # Shares and areas are of 1; for others the end of the interval has to be on it.
    most = 1.0 if max(value, high or 0) <= 1 else 1.15 * max(value, high or 0)
    bar = f"<rect width='{value / most * _WIDTH:.1f}' height='14' y='3' fill='#4a7ebb'/>"
    whisker = ""
    if low is not None and high is not None:
        ends = (max(0.0, low) / most * _WIDTH, high / most * _WIDTH)
        whisker = f"<path d='M{ends[0]:.1f} 10H{ends[1]:.1f}' stroke='#222' stroke-width='2'/>"
    return f"<svg width='{_WIDTH}' height='20' role='img'>{bar}{whisker}</svg>"


def _about(record: Mapping[str, Any]) -> str:
    hardware = record.get("hardware", {})
    seed = record["settings"].get("seed")
    found = {
        "protocol": record["protocol"],
        "date": record.get("date"),
        "commit": str(record.get("commit") or "")[:10],
        "seed": seed,
        "cpu": hardware.get("cpu"),
        "cores": hardware.get("cores"),
        "gpu": hardware.get("gpu"),
        "versions": ", ".join(f"{k} {v}" for k, v in record.get("versions", {}).items()),
    }
    return escape("; ".join(f"{k} {v}" for k, v in found.items() if v not in (None, "")))


def _sheets(path: Path, records: Mapping[Path, Any]) -> list[Path]:
    """Pictures that belong to a record: those that begin with its name, and with no longer one."""
    longer = [p.stem for p in records if p.stem != path.stem and p.stem.startswith(path.stem)]
    return [
        sheet
        for sheet in sorted(path.parent.glob(f"{path.stem}*.png"))
        if not sheet.stem.startswith(tuple(longer) or ("\0",)) and sheet.stat().st_size <= MAX_SHEET
    ]
