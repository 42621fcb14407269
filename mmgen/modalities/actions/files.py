"""Reading what people hold as actions, and writing them."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mmgen.core.files import check_output, write_beside
from mmgen.core.npy import MAX_BYTES, parse_npy
from mmgen.modalities.actions.plot import plot

__all__ = ["PREVIEW_SUFFIX", "SUFFIXES", "as_numbers", "load", "save", "save_many"]

SUFFIXES = (".npy", ".csv", ".png")
PREVIEW_SUFFIX = ".png"


def load(value: Any) -> np.ndarray:
    """Any sequence of actions to float32 (T, A).

    Args:
        value: Array, tensor or nested list (T, A) of real numbers; path of a .npy or .csv file, a
            row for each step; bytes of a .npy file.

    Raises:
        TypeError: If it is none of these.
        ValueError: If it cannot be read, or holds what is no finite number.
    """
    if isinstance(value, (str, os.PathLike)):
        value = _read(Path(value))
    elif isinstance(value, bytes):
        value = parse_npy(value, f"{len(value)} bytes")
    return as_numbers(value, what="actions", axes=("steps", "action size"))


def as_numbers(value: Any, *, what: str, axes: Sequence[str]) -> np.ndarray:
    """An array, tensor or nested list of finite real numbers, as float32 with these axes.

    Raises:
        TypeError: If it is none of these.
        ValueError: If it has other axes, or holds what is no finite number.
    """
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    if isinstance(value, (list, tuple)):
        try:
            value = np.asarray(value)
        except (ValueError, TypeError) as error:
            raise ValueError(f"The rows of {what} do not make an array: {error}") from None
    if not isinstance(value, np.ndarray):
        raise TypeError(
            f"Expected {what} as an array, a tensor or nested lists, got {type(value).__name__}."
        )
    if value.ndim != len(axes) or 0 in value.shape:
        raise ValueError(
            f"Expected {what} of shape ({', '.join(axes)}), none of them zero, got {value.shape}."
        )
    if not np.issubdtype(value.dtype, np.floating) and not np.issubdtype(value.dtype, np.integer):
        raise TypeError(f"Expected {what} of real numbers, got entries of type {value.dtype}.")
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(value, dtype=np.float32)
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        place = ", ".join(map(str, wrong[0].tolist()))
        raise ValueError(
            f"Expected {what} of finite numbers below 3.4e38, got {value[tuple(wrong[0])]} at "
            f"({place})."
        )
    return numbers


def save(value: np.ndarray, path: str | os.PathLike[str]) -> Path:
    """Write one sequence of actions (T, A): numbers as .npy or .csv, a plot as .png.

    Raises:
        ValueError: If the ending is none of these, or the folder does not exist.
    """
    return _write(np.asarray(value, dtype=np.float32), [value], path, ())


def save_many(
    values: Sequence[np.ndarray], path: str | os.PathLike[str], titles: Sequence[str] = ()
) -> Path:
    """Write several sequences of one shape.

    As .png a plot of each, under its title; as .npy one array (N, T, A); as .csv all rows, the
    number of the sequence first.

    Raises:
        ValueError: If the ending is none of these, or the folder does not exist.
    """
    array = np.stack([np.asarray(v, dtype=np.float32) for v in values])
    return _write(array, values, path, titles)


def _write(
    array: np.ndarray,
    values: Sequence[np.ndarray],
    path: str | os.PathLike[str],
    titles: Sequence[str],
) -> Path:
    path = check_output(path, SUFFIXES, what="actions")
    buffer = io.BytesIO()
    if path.suffix.lower() == ".png":
        plot(values, titles).save(buffer, "PNG")
    elif path.suffix.lower() == ".npy":
        np.save(buffer, array, allow_pickle=False)
    else:
        rows = [[*map(str, row)] for row in array.reshape(-1, array.shape[-1])]
        if array.ndim == 3:
            rows = [[str(i // array.shape[1]), *row] for i, row in enumerate(rows)]
        buffer.write("".join(",".join(row) + "\n" for row in rows).encode())
    write_beside(path, buffer.getvalue())
    return path


def _read(path: Path) -> np.ndarray:
    name = repr(str(path))
    readers = {".npy": parse_npy, ".csv": _from_csv}
    if path.suffix.lower() not in readers:
        raise ValueError(f"Expected actions in a .npy or .csv file, got {name:.80}.")
    if not path.is_file():
        raise ValueError(f"There is no file of actions at {name:.80}.")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(
            f"The file {name} has {size} bytes; at most {MAX_BYTES} are read as actions."
        )
    return readers[path.suffix.lower()](path.read_bytes(), name)


def _from_csv(data: bytes, name: str) -> np.ndarray:
    try:
        rows = [row for row in csv.reader(io.StringIO(data.decode())) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"Could not read {name} as CSV: {error}") from None
    numbers = []
    for place, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"Row {place + 1} of {name} has {len(row)} columns, the first {len(rows[0])}."
            )
        try:
            numbers.append([float(cell) for cell in row])
        except ValueError as error:
            raise ValueError(f"Row {place + 1} of {name}: {error}.") from None
    return np.array(numbers).reshape(len(rows), -1) if rows else np.empty((0, 0))
