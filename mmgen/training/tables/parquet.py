"""Tables in Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmgen.modalities.actions.parquet import read_files
from mmgen.training.tables.table import Row, Table

__all__ = ["ParquetTable"]


class ParquetTable(Table):
    """The rows of one or more Parquet files of the same columns.

    Args:
        files: The files, one after another.
        folder: Where the paths in its cells start.

    Raises:
        LoadError: If one is broken, or they do not hold the same columns.
        MissingDependency: If pyarrow is not installed.
    """

    typed = True

    def __init__(self, files: Sequence[Path], folder: Path) -> None:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        self.name = files[0].name + more
        self.folder = folder
        self._table = read_files(files)
        self.columns = tuple(self._table.column_names)

    def __len__(self) -> int:
        return len(self._table)

    def row(self, index: int) -> Row:
        return Row(self._table.slice(index, 1).to_pylist()[0], self.where(index))
