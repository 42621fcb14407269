"""A condition that is answered part by part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Parted"]


@dataclass(frozen=True)
class Parted:
    """A condition as several, and what to do with their answers.

    Args:
        values: The conditions, one or more.
        join: The value of X from one for each of them, or from those for the first of them.
        split: A value of X as one for each of them; None if it has not as many parts.
    """

    values: tuple[Any, ...]
    join: Callable[[Sequence[Any]], Any]
    split: Callable[[Any], list[Any] | None]

    @classmethod
    def of_one(cls, value: Any) -> Parted:
        """A condition that is answered whole."""
        return cls((value,), lambda answers: answers[0], lambda answer: [answer])
