"""Pairs out of what people keep them in, for a pipeline."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmgen.core.composite import CompositeEncoder
from mmgen.core.encoder import Encoder
from mmgen.core.errors import LoadError
from mmgen.core.fitted import Fitted
from mmgen.modalities import modality
from mmgen.modalities.actions.lerobot import LeRobotFolder
from mmgen.pipeline import Pipeline
from mmgen.training.columns import Columns, find_columns
from mmgen.training.pairs import IndexedPairs, ListedPairs, Pairs
from mmgen.training.recordings import is_recording, read_recording
from mmgen.training.tables import Row, Table, of_split, read_table
from mmgen.training.tables.dataset import DatasetTable

__all__ = ["TablePairs", "read_pairs"]

Source = str | os.PathLike[str] | Sequence[Any] | Any


def read_pairs(
    source: Source,
    pipe: Pipeline,
    *,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    adapt: bool = False,
) -> Pairs:
    """Pairs (y, x) that a pipeline can learn from.

    Args:
        source: A file or folder: JSON lines, CSV, TSV, Parquet, SMILES, LJSpeech, WebDataset's tar
            files, folders of classes, files with a .txt beside, a LeRobotDataset v3
            (docs/pairs.md); several text files whose lines are aligned, y first; a
            `datasets.Dataset`; or any iterable of pairs (y, x).
        pipe: What shall learn from them: it tells which columns are y and x, and how they are read.
        split: "train", "validation" or "test". If not given, train where there are splits. Pairs
            that are there already have none.
        columns: Columns by what they hold: "x", "y", or a part of the condition. What is not said
            is found by usual names.
        adapt: Bring values of x to what the pipeline takes: images are scaled and cropped, sounds
            resampled and mixed to one channel. Otherwise others are refused.

    Raises:
        LoadError: If there is nothing to read, or it is not clear how.
    """
    if isinstance(source, Pairs):
        _refuse_choices(split, columns)
        return source
    if hasattr(source, "column_names"):
        several = isinstance(source.column_names, Mapping)
        table = DatasetTable(source, split=split)
        table = table if several else of_split(table, split)
        return TablePairs(table, pipe, columns=columns, adapt=adapt)
    listed = not isinstance(source, (str, os.PathLike))
    if isinstance(source, LeRobotFolder):
        _refuse_choices(split, columns)
        return IndexedPairs(source)
    if listed:
        source = list(source)
        if not source or not all(isinstance(item, (str, os.PathLike)) for item in source):
            _refuse_choices(split, columns)
            return ListedPairs(source)
    elif is_recording(Path(source)):
        return read_recording(Path(source), pipe, split=split, columns=columns)
    suffixes = modality(pipe.codec.spec.modality).SUFFIXES
    table = read_table(source, split=split, suffixes=suffixes)
    if listed and columns is None and len(table.columns) == 2 and len(source) == 2:  # noqa: PLR2004
        columns = dict(zip(("y", "x"), table.columns, strict=True))
    return TablePairs(table, pipe, columns=columns, adapt=adapt)


class TablePairs(Pairs):
    """The pairs in the rows of a table, each read when it is asked for.

    Args:
        table: The rows.
        pipe: What shall learn from them.
        columns: As those of `read_pairs`.
        adapt: As that of `read_pairs`.

    Raises:
        LoadError: If it is not clear which columns are meant.
    """

    def __init__(
        self,
        table: Table,
        pipe: Pipeline,
        *,
        columns: Mapping[str, str] | None = None,
        adapt: bool = False,
    ) -> None:
        if len(table) == 0:
            raise LoadError(f"{table.name} holds no rows.")
        self.columns: Columns = find_columns(pipe, table.columns, columns)
        self._table, self._adapt, self.fixed = table, adapt, table.fixed
        encoder = pipe.encoder
        self._parts = encoder.parts if isinstance(encoder, CompositeEncoder) else {"": encoder}
        self._codec, self._kind = pipe.codec, pipe.codec.spec.modality

    def __len__(self) -> int:
        return len(self._table)

    def where(self, index: int) -> str:
        return self._table.where(index)

    def pair(self, index: int, rng: np.random.Generator) -> tuple[Any, Any]:
        row = self._table.row(index)
        try:
            x = self._value(row, self.columns.x, self._codec, self._kind)
            if x is None:
                raise ValueError(f"{', '.join(self.columns.x)} is empty, so there is no x.")
            if self._adapt:
                x = self._codec.adapt(x)
            return self._condition(row), x
        except (ValueError, TypeError, OSError) as error:
            raise ValueError(f"{row.where}: {error}") from None

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
        if isinstance(cell, str) and not self._table.typed and isinstance(part, Encoder):
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
        if self._table.folder is None:
            raise ValueError(f"{cell!r:.60} is a text, where the value itself is expected.")
        folder = self._table.folder.resolve()
        path = (folder / cell).resolve()
        if not path.is_relative_to(folder):
            raise ValueError(f"{cell!r:.200} lies outside of the folder {str(folder)!r}.")
        if not path.is_file():
            raise ValueError(f"There is no file {cell!r:.200} in {str(folder)!r}.")
        return path


def _refuse_choices(split: str | None, columns: Mapping[str, str] | None) -> None:
    """Refuse what says how to read a table, for pairs that are there already."""
    for name, value in (("split", split), ("columns", columns)):
        if value:
            raise LoadError(
                f"{name} says how a table is read; these are pairs (y, x) already. Leave it out, "
                "and give the pairs that are meant."
            )
