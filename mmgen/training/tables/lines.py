"""Tables in files of lines: JSON lines, and texts that are aligned line by line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmgen.training.tables.table import Row, Table

__all__ = ["AlignedLines", "JSONLines"]

_ROWS_FOR_COLUMNS = 1000


class JSONLines(Table):
    """A JSON object on each line (.jsonl, .ndjson). Empty lines do not count.

    Args:
        path: The file.
    """

    typed = True

    def __init__(self, path: Path) -> None:
        self.name, self.folder = path.name, path.parent
        lines = enumerate(path.read_bytes().splitlines(), start=1)
        self._lines = [(number, line) for number, line in lines if line.strip()]
        self.columns = self._read_columns()

    def __len__(self) -> int:
        return len(self._lines)

    def where(self, index: int) -> str:
        return f"{self.name}, line {self._lines[index][0]}"

    def row(self, index: int) -> Row:
        where = self.where(index)
        try:
            cells = json.loads(self._lines[index][1], object_pairs_hook=_once_each)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where}: this is no JSON: {error}") from None
        if not isinstance(cells, dict):
            raise ValueError(
                f'{where}: expected an object such as {{"text": ...}}, got {type(cells).__name__}.'
            )
        return Row(cells, where)

    def _read_columns(self) -> tuple[str, ...]:
        names: dict[str, None] = {}
        for index in range(min(len(self), _ROWS_FOR_COLUMNS)):
            try:
                names |= dict.fromkeys(self.row(index).cells)
            except ValueError:
                continue
        return tuple(names)


def _once_each(entries: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Entries of an object, none of which would be lost to another of its name."""
    found = dict(entries)
    if len(found) < len(entries):
        names = [name for name, _ in entries]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it names {twice!r} twice.")
    return found


class AlignedLines(Table):
    """Files whose lines belong together, one file a column.

    Args:
        files: The file of each column.
        columns: Their names.

    Raises:
        ValueError: If they differ in their number of lines, or one is not UTF-8.
    """

    typed = False
    folder = None

    def __init__(self, files: Sequence[Path], columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self.name = " and ".join(file.name for file in files)
        self._lines = [_read_lines(file) for file in files]
        counts = [len(lines) for lines in self._lines]
        if len(set(counts)) > 1:
            several = ", ".join(f"{f.name} has {n}" for f, n in zip(files, counts, strict=True))
            raise ValueError(
                f"Expected as many lines in each file, since line i of one belongs to line i of "
                f"the other; {several}."
            )

    def __len__(self) -> int:
        return len(self._lines[0])

    def where(self, index: int) -> str:
        return f"{self.name}, line {index + 1}"

    def row(self, index: int) -> Row:
        cells = [lines[index].strip() or None for lines in self._lines]
        return Row(dict(zip(self.columns, cells, strict=True)), self.where(index))


def _read_lines(file: Path) -> list[str]:
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file.name} is not UTF-8: {error}. Save it as UTF-8.") from None
    # Not `splitlines`, which also breaks at characters that are part of a sentence.
    return text.removesuffix("\n").split("\n") if text else []
