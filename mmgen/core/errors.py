"""The errors that mmgen raises on purpose: what was expected, what came, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "LoadError",
    "MMGenError",
    "MissingDependency",
    "MissingSplit",
    "OptionError",
    "SpecError",
    "UnknownNameError",
    "close_names",
]


class MMGenError(Exception):
    """Base of every error that mmgen raises on purpose."""


class SpecError(MMGenError, ValueError):
    """Two parts, or a part and a value, do not fit together."""


class OptionError(MMGenError, TypeError):
    """An option that this pipeline does not take."""


class LoadError(MMGenError, ValueError):
    """A file or folder that does not hold what it should."""


class MissingSplit(LoadError):
    """Data that has no such split, which some need and others only use if it is there."""


class UnknownNameError(MMGenError, ValueError):
    """A name that nothing answers to."""


class MissingDependency(MMGenError, ImportError):
    """An optional library or program that is not installed.

    Args:
        library: The module that failed to import, or the program that was not found.
        extra: The extra of mmgen that brings it.
        purpose: What it is needed for.
        command: What installs it, where no extra does.
    """

    def __init__(
        self, library: str, *, extra: str = "", purpose: str, command: str | None = None
    ) -> None:
        command = command or f'pip install "mmgen-sdk[{extra}]"'
        super().__init__(
            f"{purpose} needs {library}, which is not installed. Install it with: {command}"
        )


def close_names(name: str, names: Iterable[str]) -> str:
    """A hint that names what was probably meant, or all there is."""
    names = sorted(names)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return "Did you mean " + " or ".join(repr(c) for c in close) + "?"
    return "There are: " + ", ".join(names) + "."
