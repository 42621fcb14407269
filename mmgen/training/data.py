"""Where the data sets of recipes and benchmarks lie."""

from __future__ import annotations

import os
from pathlib import Path

from mmgen.core.errors import LoadError

__all__ = ["DATA_VARIABLE", "data_file"]

DATA_VARIABLE = "MMGEN_DATA"
"""The environment variable that names the folder of data sets."""


def data_file(name: str) -> Path:
    """A file of a data set.

    Args:
        name: `<set>/<file>` below the folder that the environment variable MMGEN_DATA names.

    Raises:
        LoadError: If the variable is not set, or there is no such file.
    """
    kind = name.partition("/")[0]
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        raise LoadError(
            f"Expected {name} of the data set {kind!r}, but the environment variable "
            f"{DATA_VARIABLE} is not set. Set it to the folder that holds {kind}/."
        )
    path = Path(folder) / name
    if not path.is_file():
        raise LoadError(
            f"Expected {name} of the data set {kind!r} in the folder that {DATA_VARIABLE} names, "
            f"{folder!r}; there is no file {str(path)!r}. Put the set there, or set "
            f"{DATA_VARIABLE} to the folder that holds it."
        )
    return path
