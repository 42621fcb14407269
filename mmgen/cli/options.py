"""Options of a pipeline, as they are typed: NAME=VALUE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from mmgen.core.options import Option

__all__ = ["split_pairs", "typed_options"]


def split_pairs(texts: Sequence[str], *, flag: str) -> dict[str, str]:
    """Texts NAME=VALUE as a dict.

    Raises:
        typer.BadParameter: If one is of another form, or a name is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"Expected name=value, got {text!r}.", param_hint=flag)
        if name in found:
            raise typer.BadParameter(f"{name} is given twice. Give it once.", param_hint=flag)
        found[name] = value
    return found


def typed_options(given: Mapping[str, Any], options: Sequence[Option]) -> dict[str, Any]:
    """What was given, in the types asked for. Unknown names stay, for the pipeline to refuse."""
    known = {o.name: o for o in options}
    return {
        name: known[name].parse(value) if name in known and isinstance(value, str) else value
        for name, value in given.items()
    }
