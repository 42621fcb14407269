"""Files: written beside and renamed, read without trust."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmgen.core.errors import LoadError

__all__ = [
    "check_output",
    "folder_beside",
    "read_bytes",
    "read_json",
    "read_tensors",
    "write_beside",
]

_PICKLES = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def check_output(path: str | os.PathLike[str], suffixes: Sequence[str], *, what: str) -> Path:
    """The path, if something of this kind can be written there.

    Raises:
        ValueError: If the ending is none of `suffixes`, or the folder does not exist.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ValueError(
            f"{path.name!r} cannot hold {what}: its ending is none of {', '.join(suffixes)}. "
            f"Call it {path.stem + suffixes[0]!r}, say."
        )
    if not path.parent.is_dir():
        raise ValueError(f"There is no folder {str(path.parent)!r}. Make it first.")
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder. Name a file.")
    return path


def write_beside(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part.

    Raises:
        OSError: If it cannot be written; what was there before is still there.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `path` when all went well.

    Raises:
        OSError: If it cannot be written; what was there before is still there.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    old = path.with_name(f".{path.name}.{secrets.token_hex(4)}.old")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
    except BaseException:
        if old.exists() and not path.exists():
            os.replace(old, path)
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def read_bytes(path: str | os.PathLike[str], most: int, *, kind: str = "") -> bytes:
    """What a file holds.

    Args:
        path: Of the file.
        most: Most bytes that are read, whatever the file system says of its size.
        kind: What it is read as, for the message.

    Raises:
        ValueError: If it cannot be read, or is larger.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:
        read_as = f" as {kind}" if kind else ""
        raise ValueError(f"Could not read {str(path)!r}{read_as}: {error}") from None
    if len(data) > most:
        raise ValueError(
            f"{str(path)!r} is larger than {most} bytes, the most that is read. Split it."
        )
    return data


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        LoadError: If it is not there or is not one.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise LoadError(f"There is no {path.name} in {path.parent}.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise LoadError(f"{path} does not hold JSON: {error}") from None
    if not isinstance(content, dict):
        raise LoadError(f"{path} holds {type(content).__name__}, expected an object.")
    return content


def read_tensors(path: Path) -> Mapping[str, Any]:
    """The tensors of a safetensors file.

    Raises:
        LoadError: If it is missing, cut short, altered so that it cannot be read, or is no
            safetensors file (a pickle, say, which is never opened).
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    if not path.is_file():
        raise LoadError(f"There is no {path.name} in {path.parent}. The save is incomplete.")
    data = path.read_bytes()
    # The length of a header may begin as a pickle does; the JSON after its eight bytes does not.
    if data[8:9] != b"{" and data[:2] in _PICKLES:
        raise LoadError(
            f"{path} is a pickle, which can run code when it is opened, so it is not. Expected "
            "safetensors: convert it where you trust it, with safetensors.torch.save_file."
        )
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise LoadError(
            f"{path} is cut short or altered: {error}. Get it again from where it came from."
        ) from None
