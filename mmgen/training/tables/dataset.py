"""A `datasets.Dataset` as a table. That library is not needed: what it gives tells all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmgen.core.errors import LoadError
from mmgen.training.tables.finding import SPLITS
from mmgen.training.tables.table import Row, Table

__all__ = ["DatasetTable", "one_of"]


class DatasetTable(Table):
    """The rows of a `datasets.Dataset`.

    Args:
        dataset: Anything with `column_names`, a length, and dicts by their index.
    """

    typed = True
    folder = None

    def __init__(self, dataset: Any) -> None:
        self.name = type(dataset).__name__
        self.columns = tuple(dataset.column_names or ())
        self._dataset = dataset
        # A transform of the user's own may draw.
        form = getattr(dataset, "format", None)
        self.fixed = isinstance(form, Mapping) and form.get("type") != "custom"

    def __len__(self) -> int:
        return len(self._dataset)

    def row(self, index: int) -> Row:
        return Row(self._dataset[index], self.where(index))


def one_of(splits: Any, split: str | None) -> Any:
    """The data set of a split, out of several by their names.

    Args:
        splits: The data sets.
        split: Which; train if not given.

    Raises:
        LoadError: If it is not among them.
    """
    names = list(splits.column_names)
    found = [name for name in SPLITS.get(split or "train", ()) if name in names]
    if not found:
        raise LoadError(
            f"Expected one split, got all of {', '.join(names)}, none of which is "
            f"{split or 'train'!r}. Take one: dataset[{names[0]!r}]."
        )
    return splits[found[0]]
