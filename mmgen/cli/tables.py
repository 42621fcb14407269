"""Tables that several commands print."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from mmgen.core.options import Option

__all__ = ["headed_table", "option_table", "plain_option"]


def option_table(options: Iterable[Option]) -> Table:
    """Options with their defaults and what they do."""
    from rich.text import Text

    table = headed_table("option", "default", "what it does")
    for option in options:
        table.add_row(option.name, str(option.default), Text(_help(option)))
    return table


def plain_option(option: Option) -> dict[str, Any]:
    """An option as plain values."""
    kind = option.kind or type(option.default)
    return {
        "name": option.name,
        "default": option.default,
        "type": "any" if kind is object else kind.__name__,
        "minimum": option.minimum,
        "maximum": option.maximum,
        "choices": list(option.choices),
        "help": option.help,
    }


def headed_table(*columns: str) -> Table:
    """An empty table; its last column is wrapped."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    *fixed, last = columns
    for column in fixed:
        # The first column of `list` holds the summary, too, and so may wrap.
        table.add_column(column, no_wrap=column != "pipeline")
    table.add_column(last)
    return table


def _help(option: Option) -> str:
    if option.choices:
        return f"{option.help} One of: {', '.join(map(str, option.choices))}."
    low, high = option.minimum, option.maximum
    bounds = [f"at least {low:g}"] if low is not None else []
    bounds += [f"at most {high:g}"] if high is not None else []
    return f"{option.help} {', '.join(bounds).capitalize()}." if bounds else option.help
