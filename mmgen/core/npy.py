"""Arrays from .npy files, read without trust: no pickles, no size that bytes do not fill."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path

import numpy as np

__all__ = ["MAX_BYTES", "load_array", "parse_npy"]

MAX_BYTES = 2**28


def load_array(path: str | os.PathLike[str], *, what: str = "an array") -> np.ndarray:
    """The array of a .npy file.

    Args:
        path: The file.
        what: What it should hold, for messages.

    Raises:
        ValueError: If there is no such file, it is larger than MAX_BYTES, or it cannot be read.
    """
    path, name = Path(path), repr(str(path))
    if path.suffix.lower() != ".npy":
        raise ValueError(f"Expected {what} in a .npy file, got {name:.80}.")
    if not path.is_file():
        raise ValueError(f"There is no file of {what} at {name:.80}.")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"The file {name} has {size} bytes; at most {MAX_BYTES} are read.")
    return parse_npy(path.read_bytes(), name)


def parse_npy(data: bytes, name: str) -> np.ndarray:
    """The array that the bytes of a .npy file hold, in this machine's byte order.

    Args:
        data: The bytes.
        name: What to call them in messages.

    Raises:
        ValueError: If they hold none, or one of objects.
    """
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, by_column, dtype = read(file)
    except (ValueError, KeyError, SyntaxError, TypeError) as error:
        raise ValueError(f"Could not read {name} as a .npy file: {error}") from None
    rest = data[file.tell() :]
    # The header's sizes are claims: they count only if the bytes are there.
    claimed = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or not dtype.itemsize or min(shape, default=0) < 0 or claimed != len(rest):
        raise ValueError(
            f"The .npy file {name} claims an array {shape} of {dtype}, which its {len(rest)} "
            "bytes are not."
        )
    array = np.frombuffer(rest, dtype).reshape(shape, order="F" if by_column else "C")
    # A copy, since bytes cannot be written to, in the byte order that torch takes.
    return array.astype(dtype.newbyteorder("="), order="C")
