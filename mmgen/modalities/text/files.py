"""Writing text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mmgen.core.files import check_output, write_beside

__all__ = ["SUFFIXES", "save", "save_many"]

SUFFIXES = (".txt", ".md")


def save(value: str, path: str | os.PathLike[str]) -> Path:
    """Write one text as UTF-8."""
    return save_many([value], path)


def save_many(
    values: Sequence[str], path: str | os.PathLike[str], titles: Sequence[str] = ()
) -> Path:
    """Write several texts, a line each, after their titles if titles are given."""
    path = check_output(path, SUFFIXES, what="text")
    lines = [f"{t}\t{v}" for t, v in zip(titles, values, strict=True)] if titles else values
    write_beside(path, ("\n".join(lines) + "\n").encode())
    return path
