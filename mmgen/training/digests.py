"""Digests of pairs: the same pair has the same one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["digest"]


def digest(y: Any, x: Any) -> bytes:
    """Of a pair: by the contents of its arrays, pictures, texts and files."""
    found = hashlib.blake2b(digest_size=16)
    for value in (y, x):
        for data in _bytes_of(value):
            found.update(len(data).to_bytes(8, "little"))
            found.update(data)
    return found.digest()


def _bytes_of(value: Any) -> Iterator[bytes]:
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _bytes_of(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _bytes_of(item)
    elif isinstance(value, torch.Tensor):
        yield value.detach().cpu().contiguous().numpy().tobytes()
    elif isinstance(value, (bytes, np.ndarray)):
        yield value if isinstance(value, bytes) else np.ascontiguousarray(value).tobytes()
    elif isinstance(value, Path):
        yield value.read_bytes()
    else:
        data = getattr(value, "tobytes", None)
        yield data() if data is not None else repr(value).encode()
