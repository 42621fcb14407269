"""Tables of pairs, in the files and folders that people keep them in."""

from mmgen.training.tables.finding import SPLITS, of_split, read_table
from mmgen.training.tables.table import Row, Table

__all__ = ["SPLITS", "Row", "Table", "of_split", "read_table"]
