"""Reading the IDX files of MNIST and its kin."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from mmgen.core.errors import LoadError
from mmgen.training.data import data_file

__all__ = ["read_images", "read_labels"]

SIDE = 28
PADDED = 32
MAX_COUNT = 100_000


def read_images(name: str, *, size: int = 32) -> np.ndarray:
    """Grey images of 28 x 28 pixels as uint8 (N, size, size, 3).

    Size 28 is as they are. For others they are centred on black of 32 pixels, and means are taken
    where fewer are asked for.

    Args:
        name: Data set, such as "mnist", with train-images-idx3-ubyte.gz.
        size: Side of what is returned: 28, or what divides 32.

    Raises:
        ValueError: If the size is none of these.
        LoadError: If there is no such file, or it is something else.
    """
    if size != SIDE and PADDED % size:
        raise ValueError(f"size is {SIDE} or divides {PADDED}, got {size}.")
    content = _content(data_file(f"{name}/train-images-idx3-ubyte.gz"), header=16)
    count = len(content) // SIDE**2
    pixels = np.frombuffer(content, np.uint8, count * SIDE**2).reshape(count, SIDE, SIDE)
    if size == SIDE:
        return np.repeat(pixels[..., None], 3, axis=3)
    edge = (PADDED - SIDE) // 2
    padded = np.pad(pixels, ((0, 0), (edge, edge), (edge, edge)))
    if size < PADDED:
        step = PADDED // size
        blocks = padded.reshape(count, size, step, size, step)
        padded = blocks.mean((2, 4)).round().astype(np.uint8)
    return np.repeat(padded[..., None], 3, axis=3)


def read_labels(name: str) -> np.ndarray:
    """Classes (N,) of the images of a data set.

    Raises:
        LoadError: If there is no such file, or it is something else.
    """
    content = _content(data_file(f"{name}/train-labels-idx1-ubyte.gz"), header=8)
    return np.frombuffer(content, np.uint8)


def _content(path: Path, *, header: int) -> bytes:
    """What follows the header, no more of it than could be of use."""
    try:
        with gzip.open(path) as file:
            data = file.read(header + MAX_COUNT * SIDE**2)
    except (OSError, EOFError) as error:
        raise LoadError(f"{path.name} is cut short or no gzip file: {error}") from None
    if data[:3] != b"\x00\x00\x08" or len(data) <= header:
        raise LoadError(f"{path.name} is no IDX file of bytes.")
    return data[header:]
