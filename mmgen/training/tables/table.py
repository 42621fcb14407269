"""A table of named cells, whatever file or folder it lies in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["JoinedTable", "Row", "SelectedTable", "Table"]


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        cells: By column. A cell that is empty is None.
        where: Where it stands, for messages: "pairs.jsonl, line 3".
    """

    cells: Mapping[str, Any]
    where: str


class Table(ABC):
    """Rows of named cells, each read when it is asked for.

    Attributes:
        name: What messages call it.
        columns: Names of the columns.
        folder: Where the paths in its cells start; None if cells cannot be paths.
        typed: Whether cells have types of their own. Otherwise all are text, as it was typed.
        fixed: Whether a row is the same each time it is read.
    """

    name: str
    columns: tuple[str, ...]
    folder: Path | None
    typed: bool
    fixed: bool = True

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @abstractmethod
    def row(self, index: int) -> Row:
        """A row.

        Raises:
            ValueError: If it is broken. The message says where it stands.
        """

    def where(self, index: int) -> str:
        """Where a row stands, also if it is broken."""
        return f"{self.name}, row {index + 1}"


class SelectedTable(Table):
    """Some rows of a table.

    Args:
        table: The table.
        rows: Which of its rows, in which order.
    """

    def __init__(self, table: Table, rows: Sequence[int]) -> None:
        self._table, self._rows = table, list(rows)
        self.name, self.columns = table.name, table.columns
        self.folder, self.typed, self.fixed = table.folder, table.typed, table.fixed

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, index: int) -> Row:
        return self._table.row(self._rows[index])

    def where(self, index: int) -> str:
        return self._table.where(self._rows[index])


class JoinedTable(Table):
    """The rows of several tables of one folder and one kind, one table after another.

    Args:
        tables: At least one. Columns are those of any of them.
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        first = tables[0]
        self._places = [(table, i) for table in tables for i in range(len(table))]
        self.name, self.folder, self.typed = first.name, first.folder, first.typed
        self.fixed = all(table.fixed for table in tables)
        self.columns = tuple(dict.fromkeys(c for table in tables for c in table.columns))

    def __len__(self) -> int:
        return len(self._places)

    def row(self, index: int) -> Row:
        table, place = self._places[index]
        return table.row(place)

    def where(self, index: int) -> str:
        table, place = self._places[index]
        return table.where(place)
