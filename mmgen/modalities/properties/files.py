"""Writing properties."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmgen.core.files import check_output, write_beside

__all__ = ["SUFFIXES", "save", "save_many"]

SUFFIXES = (".json",)


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
