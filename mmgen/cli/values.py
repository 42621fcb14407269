"""Files of X that a command is to judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmgen.core.codec import Codec

__all__ = ["check_values", "files_of", "load_values"]


def load_values(files: Sequence[Path], kind: ModuleType) -> list[Any]:
    """The value of each file.

    Args:
        files: The files.
        kind: The modality of their values.

    Raises:
        ValueError: If one cannot be read. The message names it.
    """
    values = []
    for file in files:
        with _named(file):
            values.append(kind.load(file))
    return values


def check_values(files: Sequence[Path], values: Sequence[Any], codec: Codec) -> None:
    """Refuse values that a codec does not take, before any is scored.

    Raises:
        ValueError: If there is one. The message names its file.
    """
    for file, value in zip(files, values, strict=True):
        with _named(file):
            codec.prepare([value])


def files_of(folder: Path) -> list[Path]:
    """The files in a folder by their names, without hidden ones and without those of its folders.

    Raises:
        ValueError: If there is no such folder, or no file in it.
    """
    if not folder.is_dir():
        raise ValueError(f"There is no folder {str(folder)!r}.")
    found = sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))
    if not found:
        raise ValueError(f"There is no file in the folder {str(folder)!r}.")
    return found


@contextmanager
def _named(file: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError) as error:
        if str(file) in str(error):
            raise
        raise ValueError(f"{file}: {error}") from None
