"""A `datasets.Dataset` as a table. That library is not needed: what it gives tells all."""

from __future__ import annotations

from typing import Any

from mmgen.core.errors import LoadError
from mmgen.training.tables.table import Row, Table

__all__ = ["DatasetTable"]


class DatasetTable(Table):
    """The rows of a `datasets.Dataset`.

    Args:
        dataset: Anything with `column_names`, a length, and dicts by their index.

    Raises:
        LoadError: If it is a stream, or holds several splits.
    """

    typed = True
    folder = None

    def __init__(self, dataset: Any) -> None:
        if isinstance(dataset.column_names, dict):
            raise LoadError(
                f"Expected one split, got all of {', '.join(dataset.column_names)}. Take one: "
                "dataset['train']."
            )
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise LoadError(
                "A stream cannot be taken up where a run stopped. Load it without streaming, or "
                "take as many rows as fit: list(dataset.take(100_000))."
            )
        self.name = type(dataset).__name__
        self.columns = tuple(dataset.column_names or ())
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def row(self, index: int) -> Row:
        return Row(self._dataset[index], self.where(index))
