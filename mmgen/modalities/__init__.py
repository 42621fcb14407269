"""The kinds of values: how each is read, written, and taken to latents or conditions and back.

A modality is a module of this package with

- `Codec`s and `Encoder`s,
- `codec(size)` and `encoder(size, labels)`, as far as it has them; where both need names, also
  `NAMES`, a word for what those are, and then `codec(size, labels)`,
- `CODECS`, where values can be seen in several ways: functions codec(size) by name, and `LEARNT`,
  where only a codec that has learnt something is good: the shipped pipeline that has it,
- `load(path)`: the value of a file,
- `SUFFIXES`: the file endings it can write, and `PREVIEW_SUFFIX`, the one that people can look at
  or listen to,
- `COLUMNS`: what a column of its values is often called in a table, and `IN_FILES`, whether its
  cells are paths of files that hold the value or the value itself,
- `save(value, path)` and `save_many(values, path, titles)`: one value, or an overview of several,
- `measures(value)`, where something of a value can be counted: numbers by name, or words, and
  `doubts(value)`, what may be wrong with one that can be read,
- `load_mask(path)` and `load_measurement(path)`, where a mask or a measurement of a value can be
  read from more than a .npy file.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from mmgen.core.errors import UnknownNameError, close_names

__all__ = ["modality", "modality_names"]


def modality_names() -> list[str]:
    """Names of all modalities."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


def modality(name: str) -> ModuleType:
    """The module of a modality.

    Raises:
        UnknownNameError: If there is none of that name.
    """
    if name not in modality_names():
        raise UnknownNameError(f"No modality {name!r}. {close_names(name, modality_names())}")
    return importlib.import_module(f"{__name__}.{name}")
