"""Names and units of properties, and the reading of their values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from mmgen.core.errors import SpecError, close_names

__all__ = ["check_names", "read", "split_units"]

_LABEL = re.compile(r"\s*([^\[\]]*?)\s*(?:\[([^\[\]]*)\])?\s*")


def split_units(labels: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Labels like "mass [g/mol]", or "ratio" for what has no unit, to names and units.

    Raises:
        SpecError: If a label is of another form.

    >>> split_units(["mass [g/mol]", "ratio"])
    (('mass', 'ratio'), ('g/mol', ''))
    """
    found = []
    for label in labels:
        match = _LABEL.fullmatch(label) if isinstance(label, str) else None
        if match is None or not match[1]:
            raise SpecError(f"A property is called 'name' or 'name [unit]', got {label!r:.60}.")
        found.append((match[1], (match[2] or "").strip()))
    return tuple(name for name, _ in found), tuple(unit for _, unit in found)


def check_names(
    names: Sequence[str], units: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names and their units, an empty one for each if none are given.

    Raises:
        SpecError: If a name is empty or given twice, there is none, or units are too many or few.
    """
    if isinstance(names, str) or not names:
        raise SpecError(f"Properties need their names. Give a list of them, not {names!r}.")
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise SpecError(f"A property's name is a text that is not empty, got {name!r:.60}.")
    if len(set(names)) < len(names):
        raise SpecError(f"Each property has its own name, got {', '.join(names)}.")
    if units and (isinstance(units, str) or len(units) != len(names)):
        raise SpecError(
            f"Expected {len(names)} units, one for each of {', '.join(names)}; got {units!r:.80}. "
            "Give '' for a property without one."
        )
    return tuple(names), tuple(units) if units else ("",) * len(names)


def read(value: Any, names: tuple[str, ...], units: tuple[str, ...]) -> list[float]:
    """A dict of properties to their numbers in the order of `names`, NaN for what is not given.

    Raises:
        TypeError: If it is no dict, or a number is none.
        ValueError: If a name is unknown, or a number is infinite or too large.
    """
    if not isinstance(value, Mapping):
        raise TypeError(
            f"Expected properties as a dict from names to numbers, got {type(value).__name__}: "
            f"{value!r:.60}."
        )
    for name in value:
        if name not in names:
            raise ValueError(f"No property {name!r:.60}. {close_names(str(name)[:60], names)}")
    return [_number(value.get(n), n, u) for n, u in zip(names, units, strict=True)]


def _number(value: Any, name: str, unit: str) -> float:
    if value is None:
        return math.nan
    what = f"{name} [{unit}]" if unit else name
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{what} is a number, got {type(value).__name__}: {value!r:.60}.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number) or abs(number) > float(np.finfo(np.float32).max):
        raise ValueError(f"{what} is a finite number below 3.4e38, got {value!r:.60}.")
    return number
