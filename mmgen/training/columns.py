"""Which columns of a table hold y and which x, for a pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mmgen.core.errors import LoadError, close_names
from mmgen.core.fitted import Fitted
from mmgen.core.nothing import Nothing
from mmgen.modalities import modality
from mmgen.pipeline import Pipeline

__all__ = ["Columns", "find_columns"]

# For tables of pairs of one modality, and for those whose columns are named after their part.
_Y = ("y", "source", "src", "condition", "input", "prompt", "instruction")
_X = ("x", "target", "tgt", "output", "completion", "response")


@dataclass(frozen=True)
class Columns:
    """The columns of y and x.

    Attributes:
        y: Of each part of the condition by its name, "" for the condition itself; several columns
            where a value is several numbers. Empty if there is no condition.
        x: Of what is generated.
    """

    y: Mapping[str, tuple[str, ...]]
    x: tuple[str, ...]

    def __str__(self) -> str:
        parts = [(f"y ({part})" if part else "y", names) for part, names in self.y.items()]
        return "; ".join(f"{what} from {', '.join(n)}" for what, n in [*parts, ("x", self.x)])


def find_columns(
    pipe: Pipeline, available: Sequence[str], given: Mapping[str, str] | None = None
) -> Columns:
    """The columns to read.

    Args:
        pipe: What shall learn from them.
        available: Columns of the table.
        given: Columns by what they hold: "x", "y", or the name of a part of the condition. What is
            not said is found by the usual names of its modality.

    Raises:
        LoadError: If a column is missing, or it is not clear which is meant.
    """
    free = _Available(available)
    encoder = pipe.encoder
    main, parts = encoder.named_parts()
    asked = _by_part(given or {}, parts, main)
    x_name = pipe.codec.spec.modality
    for names in asked.values():
        free.take(names)
    alike = any(p.modality == x_name for p in parts.values())
    usual = (*_X, *modality(x_name).COLUMNS)
    x = asked.get("x") or free.find(pipe.codec, usual if alike else (*usual[len(_X) :], *_X))
    if x is None:
        raise free.error("x", f"{x_name}, what it generates", usual)
    y: dict[str, tuple[str, ...]] = {}
    for part, own in parts.items():
        if isinstance(own, Nothing):
            continue
        usual = modality(own.modality).COLUMNS if own.modality else ()
        names = (part, *_Y, *usual) if part == main else (part,)
        found = asked.get(f"y.{part}") or free.find(own, [n for n in names if n])
        if found is not None:
            y[part] = found
        elif part == main and len(parts) == 1:
            raise free.error("y", f"{own.modality or 'y'}, its condition", (*_Y, *usual))
    if not y and not isinstance(encoder, Nothing):
        raise free.error("y", f"one of {', '.join(parts)}, its condition", tuple(parts))
    return Columns(y, x)


class _Available:
    """The columns of a table, and which of them are not taken yet."""

    def __init__(self, names: Iterable[str]) -> None:
        self._all = list(names)
        self._free = {name.lower(): name for name in reversed(self._all)}

    def take(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._all:
                raise LoadError(
                    f"There is no column {name!r}. {close_names(name, self._all)} The table has "
                    f"{', '.join(self._all) or 'none'}."
                )
            self._free.pop(name.lower(), None)

    def find(self, part: Fitted, usual: Iterable[str]) -> tuple[str, ...] | None:
        """The columns of the part's numbers, if it has several; else the first that is there."""
        own = [self._free[c.lower()] for c in part.columns if c.lower() in self._free]
        found = own or [self._free[c] for c in usual if c.lower() in self._free][:1]
        self.take(found)
        return tuple(found) or None

    def error(self, which: str, what: str, usual: Sequence[str]) -> LoadError:
        return LoadError(
            f"No column is known to hold {which} ({what}): expected one called "
            f"{', '.join(dict.fromkeys(usual))}; the table has {', '.join(self._all) or 'none'}. "
            f"Say which it is: columns={{{which!r}: ...}}, or --column {which}=NAME."
        )


def _by_part(
    given: Mapping[str, str], parts: Iterable[str], main: str
) -> dict[str, tuple[str, ...]]:
    """Columns that were said, by "x" and "y.<part>"."""
    found = {}
    for key, name in given.items():
        if key not in ("x", "y", *parts) or not key:
            raise LoadError(
                f"{key!r} is no part of a pair. Columns are given for "
                f"{', '.join(['x', 'y', *(p for p in parts if p)])}."
            )
        found["x" if key == "x" else f"y.{main if key == 'y' else key}"] = (name,)
    return found
