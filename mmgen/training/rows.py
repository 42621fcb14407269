"""Rows of tables to pairs (y, x), for a pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmgen.core.encoder import Encoder
from mmgen.core.fitted import Fitted
from mmgen.modalities import modality
from mmgen.pipeline import Pipeline
from mmgen.training.columns import Columns, find_columns
from mmgen.training.tables import Row

__all__ = ["RowReader"]


class RowReader:
    """Reads pairs out of rows.

    Args:
        pipe: What shall learn from them.
        names: Columns of the table.
        typed: As that of the table.
        folder: As that of the table.
        columns: As those of `read_pairs`.
        adapt: As that of `read_pairs`.

    Raises:
        LoadError: If it is not clear which columns are meant.
    """

    def __init__(
        self,
        pipe: Pipeline,
        names: Sequence[str],
        *,
        typed: bool,
        folder: Path | None,
        columns: Mapping[str, str] | None,
        adapt: bool,
    ) -> None:
        self.columns: Columns = find_columns(pipe, names, columns)
        self._typed, self._folder, self._adapt = typed, folder, adapt
        encoder = pipe.encoder
        self._encoder, (_, self._parts) = encoder, encoder.named_parts()
        self._codec, self._kind = pipe.codec, pipe.codec.spec.modality

    def __call__(self, row: Row) -> tuple[Any, Any]:
        """The pair of a row.

        Raises:
            ValueError: If it cannot be read.
        """
        x = self._value(row, self.columns.x, self._codec, self._kind)
        if x is None:
            raise ValueError(f"{', '.join(self.columns.x)} is empty, so there is no x.")
        y = self._condition(row)
        return (self._encoder.adapt(y), self._codec.adapt(x)) if self._adapt else (y, x)

    def _condition(self, row: Row) -> Any:
        found = {
            part: self._value(row, names, self._parts[part], self._parts[part].modality)
            for part, names in self.columns.y.items()
        }
        if list(found) == [""]:
            return found[""]
        # A part that is empty is not given; of nothing, None.
        given = {part: value for part, value in found.items() if value is not None}
        return given or None

    def _value(self, row: Row, names: Sequence[str], part: Fitted, kind: str | None) -> Any:
        cells = {name: row.cells.get(name) for name in names}
        if part.columns and not (len(names) == 1 and isinstance(cells[names[0]], Mapping)):
            # Under the part's own names, which may differ in case.
            own = {name.lower(): name for name in part.columns}
            numbers = {own[n.lower()]: self._number(n, v) for n, v in cells.items()}
            given = {name: value for name, value in numbers.items() if value is not None}
            return given or None
        cell = cells[names[0]]
        if cell is None or kind is None:
            return cell
        if modality(kind).IN_FILES:
            return self._from_file(cell)
        if isinstance(cell, str) and not self._typed and isinstance(part, Encoder):
            return part.read(cell)
        return cell

    def _number(self, name: str, cell: Any) -> Any:
        if not isinstance(cell, str):
            return cell
        try:
            return float(cell)
        except ValueError:
            raise ValueError(f"Expected a number for {name}, got {cell!r:.60}.") from None

    def _from_file(self, cell: Any) -> Any:
        """What a cell stands for where values are files: a path below the table's folder."""
        if isinstance(cell, Mapping) and {"bytes", "path"} >= set(cell):
            data = cell.get("bytes")
            return data if data is not None else self._from_file(cell.get("path"))
        if not isinstance(cell, str):
            return cell
        if self._folder is None:
            raise ValueError(f"{cell!r:.60} is a text, where the value itself is expected.")
        folder = self._folder.resolve()
        path = (folder / cell).resolve()
        if not path.is_relative_to(folder):
            raise ValueError(f"{cell!r:.200} lies outside of the folder {str(folder)!r}.")
        try:
            there = path.is_file()
        except OSError:  # a name that no file can have, such as a whole text
            there = False
        if not there:
            raise ValueError(f"There is no file {cell!r:.200} in {str(folder)!r}.")
        return path
