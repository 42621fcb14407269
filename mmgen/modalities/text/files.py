"""Reading and writing text files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmgen.core.files import check_output, read_bytes, write_beside

__all__ = [
    "MAX_BYTES",
    "PREVIEW_SUFFIX",
    "SUFFIXES",
    "doubts",
    "load",
    "measures",
    "save",
    "save_many",
]

SUFFIXES = (".txt", ".md")
PREVIEW_SUFFIX = SUFFIXES[0]
MAX_BYTES = 2**26


def load(path: str | os.PathLike[str]) -> str:
    """The text of a UTF-8 file, without the newline that ends the file: what `save` was given.

    Raises:
        TypeError: If this is no path.
        ValueError: If there is no such file, it is larger than MAX_BYTES, or it is no UTF-8.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"Expected the path of a text file, got {type(path).__name__}.")
    data = read_bytes(path, MAX_BYTES, kind="a text file")
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{str(path)!r} is no UTF-8 at byte {error.start}. Convert it to UTF-8 first."
        ) from None


def measures(value: Any) -> dict[str, float]:
    """Length of a text, in characters."""
    return {"characters": len(value)} if isinstance(value, str) else {}


def doubts(value: Any) -> list[str]:
    """What may be wrong with a text: there is nothing in it."""
    return ["empty"] if isinstance(value, str) and not value.strip() else []


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
