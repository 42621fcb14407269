"""Classes of a pipeline that makes images of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmgen.core.errors import UnknownNameError, close_names

__all__ = ["reads_labels"]

# What configurations call the number of classes.
_COUNTS = ("num_embeds_ada_norm", "num_class_embeds")


def reads_labels(pipeline: Any) -> Callable[[Any], int]:
    """What reads a class: by its number, as such or as it is typed, or by its name if it has one.

    Args:
        pipeline: A loaded diffusers pipeline.
    """
    network = getattr(pipeline, "transformer", None) or getattr(pipeline, "unet", None)
    config = getattr(network, "config", {})
    count = next((config.get(name) for name in _COUNTS if config.get(name)), None)
    names: dict[str, int] = getattr(pipeline, "labels", None) or {}

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise TypeError(f"A label is a number or a name, got {value!r:.60}.")
        if isinstance(value, str) and value.strip().isdecimal():
            value = int(value)
        if isinstance(value, str):
            if value in names:
                return names[value]
            hint = (
                close_names(value, names) if names else "Its classes have no names: give numbers."
            )
            raise UnknownNameError(f"No class {value!r:.60}. {hint:.400}")
        if value < 0 or (count is not None and value >= count):
            most = "" if count is None else f" to {count - 1}"
            raise ValueError(f"A class is a number from 0{most}, got {value}.")
        return value

    return read
