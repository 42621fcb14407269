"""Pairs out of what people keep them in, for a pipeline."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmgen.core.errors import LoadError
from mmgen.modalities import modality
from mmgen.modalities.actions.lerobot import LeRobotFolder
from mmgen.modalities.actions.windows import Windows
from mmgen.pipeline import Pipeline
from mmgen.training.pairs import IndexedPairs, ListedPairs, Pairs
from mmgen.training.recordings import is_recording, read_recording
from mmgen.training.rows import RowReader
from mmgen.training.streaming import StreamedPairs
from mmgen.training.tables import Row, Table, of_split, read_table
from mmgen.training.tables.dataset import DatasetTable, one_of

__all__ = ["TablePairs", "read_pairs"]

Source = str | os.PathLike[str] | Sequence[Any] | Any


def read_pairs(
    source: Source,
    pipe: Pipeline,
    *,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    adapt: bool = False,
) -> Pairs | StreamedPairs:
    """Pairs (y, x) that a pipeline can learn from.

    Args:
        source: A file or folder: JSON lines, CSV, TSV, Parquet, SMILES, LJSpeech, WebDataset's tar
            files, folders of classes, files with a .txt beside, a LeRobotDataset v3,
            a Minari dataset (docs/pairs.md); several text files whose lines are aligned, y first; a
            `datasets.Dataset`, streamed or not; or any iterable of pairs (y, x). What has no length
            and can be read again and again is read as a stream.
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
    if isinstance(source, (Pairs, StreamedPairs)):
        _refuse_choices(split, columns)
        return source
    if hasattr(source, "column_names"):
        several = isinstance(source.column_names, Mapping)
        one = one_of(source, split) if several else source
        if not hasattr(one, "__len__"):
            return _streamed_rows(one, pipe, None if several else split, columns, adapt)
        table = DatasetTable(one) if several else of_split(DatasetTable(one), split)
        return TablePairs(table, pipe, columns=columns, adapt=adapt)
    listed = not isinstance(source, (str, os.PathLike))
    if isinstance(source, (LeRobotFolder, Windows)):
        _refuse_choices(split, columns)
        return IndexedPairs(source)
    if listed and not hasattr(source, "__len__") and not isinstance(source, Iterator):
        _refuse_choices(split, columns)
        return StreamedPairs(source)
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

    Attributes:
        columns: What is read from which columns.
        unread: Columns from which nothing is read.

    Args:
        table: The rows.
        pipe: What shall learn from them.
        columns: As those of `read_pairs`.
        adapt: As that of `read_pairs`.

    Raises:
        LoadError: If there is no row, or it is not clear which columns are meant.
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
        own = {"typed": table.typed, "folder": table.folder, "columns": columns, "adapt": adapt}
        self._table, self._read, self.fixed = (
            table,
            RowReader(pipe, table.columns, **own),
            table.fixed,
        )
        self.columns = self._read.columns
        read = {name for names in (*self.columns.y.values(), self.columns.x) for name in names}
        self.unread = tuple(n for n in table.columns if n not in read and n != "split")

    def __len__(self) -> int:
        return len(self._table)

    def where(self, index: int) -> str:
        return self._table.where(index)

    def pair(self, index: int, rng: np.random.Generator) -> tuple[Any, Any]:
        row = self._table.row(index)
        try:
            return self._read(row)
        except (ValueError, TypeError, OSError) as error:
            raise ValueError(f"{row.where}: {error}") from None


def _streamed_rows(
    dataset: Any,
    pipe: Pipeline,
    split: str | None,
    columns: Mapping[str, str] | None,
    adapt: bool,
) -> StreamedPairs:
    """The pairs of a dataset that is streamed."""
    if split not in (None, "train"):
        raise LoadError(
            f"A stream has no split {split!r}: it is one. Give that of the split, such as "
            f"load_dataset(..., split={split!r}, streaming=True)."
        )
    names = dataset.column_names or next(iter(dataset), {}).keys()
    own = {"typed": True, "folder": None, "columns": columns, "adapt": adapt}
    read = RowReader(pipe, tuple(names), **own)
    return StreamedPairs(dataset, read=lambda cells: read(Row(cells, "")))


def _refuse_choices(split: str | None, columns: Mapping[str, str] | None) -> None:
    """Refuse what says how to read a table, for pairs that are there already."""
    for name, value in (("split", split), ("columns", columns)):
        if value:
            raise LoadError(
                f"{name} says how a table is read; these are pairs (y, x) already. Leave it out, "
                "and give the pairs that are meant."
            )
