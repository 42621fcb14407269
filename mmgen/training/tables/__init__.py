"""Tables of pairs, in the files and folders that people keep them in."""

from mmgen.training.tables.finding import SPLITS, read_table
from mmgen.training.tables.table import Row, Table

__all__ = ["SPLITS", "Row", "Table", "read_table"]
