"""Sampling options: what a part takes, with its default, its range and one line of help."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mmgen.core.errors import OptionError, close_names

__all__ = ["Option", "resolve_options"]

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_KINDS = {bool: "true or false", int: "an integer", float: "a number"}


@dataclass(frozen=True)
class Option:
    """One sampling option.

    Args:
        name: The name that the ecosystem knows it by.
        default: Its value when it is not given. Its type is the type that is asked for.
        help: One line.
        minimum: Least value, included.
        maximum: Greatest value, included.
        choices: The values it can take, if they can be listed.
        optional: Whether None is a value, too. The default of an optional one may be None.
        kind: The type that is asked for; that of the default if not given.
    """

    name: str
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()
    optional: bool = False
    kind: type | None = None

    def check(self, value: Any) -> Any:
        """The value in the option's own type.

        Raises:
            TypeError: If it is of another type.
            ValueError: If it is out of range.
        """
        if value is None and self.optional:
            return None
        kind = self.kind or type(self.default)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise TypeError(
                f"{self.name} is {kind.__name__}, got {value!r} ({type(value).__name__})."
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{self.name} is a finite number, got {value}.")
        if self.choices and value not in self.choices:
            raise ValueError(
                f"{self.name} is one of {', '.join(map(str, self.choices))}; got {value!r}."
            )
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"{self.name} is at least {self.minimum}, got {value}.")
        if self.maximum is not None and value > self.maximum:
            raise ValueError(f"{self.name} is at most {self.maximum}, got {value}.")
        return value

    def parse(self, text: str) -> Any:
        """The value that a text means, in the option's own type; not yet checked for its range.

        Raises:
            ValueError: If it means none.
        """
        kind = self.kind or type(self.default)
        # For an object there is no telling: a text is what can be typed.
        if kind in (str, object):
            return text
        if self.optional and text.lower() == "none":
            return None
        readers: dict[type, Callable[[str], Any]] = {
            bool: lambda t: _BOOLEANS[t.lower()],
            int: int,
            float: float,
        }
        try:
            return readers.get(kind, json.loads)(text)
        except (KeyError, ValueError):
            wanted = _KINDS.get(kind, f"{kind.__name__} written as JSON")
            raise ValueError(f"{self.name} is {wanted}, got {text!r}.") from None


def resolve_options(options: Iterable[Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """All options with their values: those given, checked, and the defaults of the rest.

    Raises:
        OptionError: If a name is not among the options. The message lists them.
    """
    by_name = {o.name: o for o in options}
    for name in given:
        if name not in by_name:
            raise OptionError(
                f"Unknown option {name!r}. {close_names(name, by_name)} "
                f"This pipeline takes: {', '.join(sorted(by_name))}."
            )
    return {n: o.check(given[n]) if n in given else o.default for n, o in by_name.items()}
