"""Reading and writing properties."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmgen.core.files import check_output, read_json, write_beside

__all__ = ["PREVIEW_SUFFIX", "SUFFIXES", "load", "save", "save_many"]

SUFFIXES = (".json",)
PREVIEW_SUFFIX = SUFFIXES[0]


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The properties of a .json file that holds an object: what `save` was given.

    Raises:
        LoadError: If there is no such file, or it holds something else.
    """
    return read_json(Path(path))


def save(value: Mapping[str, float], path: str | os.PathLike[str]) -> Path:
    """Write one set of properties as a JSON object.

    Raises:
        ValueError: If the ending is not .json, the folder does not exist, or a number is not
            finite.
    """
    return _write(dict(value), path)


def save_many(
    values: Sequence[Mapping[str, float]], path: str | os.PathLike[str], titles: Sequence[str] = ()
) -> Path:
    """Write several as a JSON list.

    With titles, it holds objects {"condition": title, "properties": {...}}.
    """
    rows: list[Any] = [dict(v) for v in values]
    if titles:
        rows = [{"condition": t, "properties": v} for t, v in zip(titles, rows, strict=True)]
    return _write(rows, path)


def _write(content: Any, path: str | os.PathLike[str]) -> Path:
    path = check_output(path, SUFFIXES, what="properties")
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
    write_beside(path, (text + "\n").encode())
    return path
