"""Values with several named parts, as they are typed on a command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmgen.core.files import read_json

__all__ = ["named_values"]


def named_values(text: str, *, what: str, example: str) -> dict[str, Any]:
    """The JSON object that a text is, or that the .json file holds whose path it is.

    Args:
        text: What was typed.
        what: What it should be, for messages.
        example: One that would do.

    Raises:
        ValueError: If it is neither.
        LoadError: If there is no such file, or it does not hold an object.
    """
    path = text if text.lower().endswith(".json") else None
    try:
        found = json.loads(text) if path is None else read_json(Path(path))
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(
            f"Expected {what} as a JSON object, {example}, or a .json file that holds one; got "
            f"{text[:60]!r}."
        )
    return found
