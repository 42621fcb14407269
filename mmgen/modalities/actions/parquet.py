"""Parquet files as tables of checked numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmgen.core.errors import LoadError, MissingDependency

if TYPE_CHECKING:
    import pyarrow

__all__ = ["numbers", "read_files", "read_table", "texts"]


def read_table(
    folder: Path, pattern: str, *, columns: Sequence[str] | None = None
) -> pyarrow.Table:
    """All files of a folder that match, one after another in the order of their names.

    Raises:
        LoadError: If there is none, one is no parquet file, or it lacks a column.
        MissingDependency: If pyarrow is not installed.
    """
    _require_pyarrow()
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise LoadError(f"There is no {pattern} in {folder}. The dataset is incomplete.")
    return read_files(paths, columns=columns)


def read_files(paths: Sequence[Path], *, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """The rows of several files, one after another.

    Raises:
        LoadError: If one is no parquet file or lacks a column, or they do not fit together.
        MissingDependency: If pyarrow is not installed.
    """
    _require_pyarrow()
    import pyarrow
    import pyarrow.parquet

    tables = []
    for path in paths:
        try:
            file = pyarrow.parquet.ParquetFile(path)
            missing = sorted(set(columns or ()) - set(file.schema_arrow.names))
            if missing:
                raise LoadError(f"{path} lacks the column {missing[0]!r}.")
            tables.append(file.read(columns=None if columns is None else list(columns)))
            file.close()
        except (pyarrow.ArrowException, OSError) as error:
            raise LoadError(f"{path} is cut short or is no parquet file: {error}") from None
    try:
        return pyarrow.concat_tables(tables, promote_options="default")
    except pyarrow.ArrowException as error:
        folder = paths[0].parent
        raise LoadError(f"The files in {folder} do not hold the same columns: {error}") from None


def numbers(table: pyarrow.Table, name: str, shape: Sequence[int] = ()) -> np.ndarray:
    """A column as an array (rows, *shape) of finite numbers; float32 if it has a shape.

    Raises:
        LoadError: If it is missing or holds anything else.
    """
    import pyarrow

    if name not in table.column_names:
        raise LoadError(f"The dataset lacks the column {name!r}.")
    column = table.column(name).combine_chunks()
    lists = 0
    lengths_fit = True
    while pyarrow.types.is_list(column.type) or pyarrow.types.is_fixed_size_list(column.type):
        column, rows = column.flatten(), len(column)
        lengths_fit &= lists < len(shape) and len(column) == rows * shape[lists]
        lists += 1
    size = math.prod(shape)
    kind = column.type
    numeric = pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)
    # Features of shape (1,) may be stored as bare numbers.
    if not numeric or column.null_count or not lengths_fit or len(column) != len(table) * size:
        raise LoadError(
            f"The column {name!r} of type {table.column(name).type} does not hold "
            f"{tuple(shape) or 'one number'} in every row."
        )
    array = column.to_numpy(zero_copy_only=False)
    if not np.isfinite(array).all():
        raise LoadError(f"The column {name!r} holds values that are not finite numbers.")
    return array.astype(np.float32).reshape(len(table), *shape) if shape else array


def texts(table: pyarrow.Table, name: str) -> list[str]:
    """A column of texts.

    Raises:
        LoadError: If it is missing or holds anything else.
    """
    found = table.column(name).to_pylist() if name in table.column_names else [None]
    if not all(isinstance(text, str) for text in found):
        raise LoadError(f"The dataset has no column {name!r} of texts.")
    return found


def _require_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise MissingDependency(
            "pyarrow", extra="policies", purpose="Reading Parquet files"
        ) from None
