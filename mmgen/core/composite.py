"""Several conditions as one, any of which may be missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.errors import SpecError, UnknownNameError, close_names
from mmgen.core.options import Option
from mmgen.core.parted import Parted
from mmgen.core.spec import ConditionSpec

__all__ = ["CompositeEncoder"]


class CompositeEncoder(Encoder):
    """P(X | any subset of Y's parts) as one model: a missing part is the null of that part.

    A value is a dict of parts; parts left out, or None, are not given. A value that is no dict, or
    one of names of which none is a part where the main part is given by names, is the main part
    alone.

    Args:
        main: Name of the part that a bare value stands for.
        parts: Encoder of each part. All token widths agree, and all vector widths.

    Raises:
        SpecError: If the widths of two parts differ.
    """

    def __init__(self, *, main: str, parts: Mapping[str, Encoder]) -> None:
        super().__init__()
        self.main = main
        self.parts = nn.ModuleDict(parts)
        if main not in parts:
            raise SpecError(f"The main part {main!r} is none of {', '.join(parts)}.")
        for name in ("token_dim", "vector_dim"):
            widths = {getattr(p.spec, name) for p in parts.values()} - {None}
            if len(widths) > 1:
                raise SpecError(f"Parts of a condition share one {name}; these have {widths}.")

    @property
    def spec(self) -> ConditionSpec:
        specs = [p.spec for p in self.parts.values()]
        return ConditionSpec(
            token_dim=next((s.token_dim for s in specs if s.token_dim), None),
            vector_dim=next((s.vector_dim for s in specs if s.vector_dim), None),
            frame_dim=next((s.frame_dim for s in specs if s.frame_dim), None),
        )

    def _rows(self, values: Sequence[Any]) -> list[Mapping[str, Any]]:
        return [v if self._has_parts(v) else {self.main: v} for v in values]

    def _has_parts(self, value: Any) -> bool:
        if not isinstance(value, Mapping):
            return False
        # Where the main part is given by names, too, names of none of the parts are its own.
        own = self.parts[self.main].by_name and value and self.parts.keys().isdisjoint(value)
        return not own

    def _require(self, part: str) -> None:
        if part not in self.parts:
            raise UnknownNameError(
                f"No part {part!r} in this condition. {close_names(part, self.parts)}"
            )

    def _columns(self, values: Sequence[Any]) -> dict[str, list[Any]]:
        rows = self._rows(values)
        for name in {name for row in rows for name in row}:
            self._require(name)
        return {name: [row.get(name) for row in rows] for name in self.parts}

    @property
    def fitted(self) -> bool:
        """Whether every part has what its `fit` takes."""
        return all(part.fitted for part in self.parts.values())

    def fit(self, values: Sequence[Any]) -> None:
        for name, column in self._columns(values).items():
            self.parts[name].fit([v for v in column if v is not None])

    def rescale(self, values: Sequence[Any]) -> bool:
        columns = self._columns(values)
        given = {n: [v for v in column if v is not None] for n, column in columns.items()}
        # A list, so that every part is asked.
        return any([self.parts[name].rescale(own) for name, own in given.items() if own])

    def extend(self, values: Sequence[Any]) -> None:
        for name, column in self._columns(values).items():
            self.parts[name].extend([v for v in column if v is not None])

    def prepare(self, values: Sequence[Any]) -> dict[str, Any]:
        columns = self._columns(values)
        return {name: part.prepare(columns[name]) for name, part in self.parts.items()}

    def is_one(self, value: Any) -> bool:
        return self.parts[self.main].is_one(value)

    def encode(self, tensors: Mapping[str, Any]) -> Condition:
        return Condition.join([part.encode(tensors[n]) for n, part in self.parts.items()])

    def drop(
        self, tensors: dict[str, Any], *, rate: float, generator: torch.Generator | None = None
    ) -> dict[str, Any]:
        """Take away everything with probability `rate`, and each part alone with the same."""
        batch = len(next(_leaves(tensors)))
        keep = torch.rand(batch, generator=generator) >= rate
        dropped = {
            name: part.drop(tensors[name], rate=rate, generator=generator)
            for name, part in self.parts.items()
        }
        return _withhold(dropped, keep)

    def named_parts(self) -> tuple[str, Mapping[str, Encoder]]:
        return self.main, dict(self.parts.items())

    def read(self, text: str) -> Any:
        return self.parts[self.main].read(text)

    def read_with(self, text: str | None, parts: Mapping[str, str]) -> Any:
        if not parts:
            return None if text is None else self.read(text)
        # A name that there is not is refused by `prepare`, with those that there are.
        own = {n: self.parts[n].read(t) if n in self.parts else t for n, t in parts.items()}
        if text is None:
            return own
        if self.main in parts:
            raise ValueError(
                f"{self.main} is given twice: as the condition itself, and as a part of it."
            )
        return {self.main: self.read(text), **own}

    def without(self, values: Sequence[Any], part: str) -> list[dict[str, Any]]:
        """The same values with one part taken away.

        Raises:
            UnknownNameError: If there is no such part.
        """
        self._require(part)
        return [{**row, part: None} for row in self._rows(values)]

    def options(self) -> tuple[Option, ...]:
        return tuple(option for part in self.parts.values() for option in part.options())

    def check(self, values: Sequence[Any], **options: Any) -> None:
        columns = self._columns(values)
        for name, part in self.parts.items():
            own = {o.name: options[o.name] for o in part.options()}
            part.check(columns[name], **own)

    def parted(self, value: Any, **options: Any) -> Parted | None:
        """The main part's parts, each with the others beside it."""
        row = dict(self._rows([value])[0])
        main = self.parts[self.main]
        own = {o.name: options[o.name] for o in main.options()}
        found = None if row.get(self.main) is None else main.parted(row[self.main], **own)
        if found is None:
            return None
        return replace(found, values=tuple({**row, self.main: one} for one in found.values))

    def assets(self) -> dict[str, bytes]:
        return {
            f"{name}.{file}": data
            for name, part in self.parts.items()
            for file, data in part.assets().items()
        }

    def load_assets(self, assets: Mapping[str, bytes]) -> None:
        for name, part in self.parts.items():
            part.load_assets(_of_part(assets, name))

    def extend_by(self, assets: Mapping[str, bytes]) -> None:
        for name, part in self.parts.items():
            part.extend_by(_of_part(assets, name))


def _of_part(assets: Mapping[str, bytes], name: str) -> dict[str, bytes]:
    start = f"{name}."
    return {k.removeprefix(start): v for k, v in assets.items() if k.startswith(start)}


def _leaves(tensors: Mapping[str, Any]) -> Iterator[Tensor]:
    for value in tensors.values():
        yield from _leaves(value) if isinstance(value, Mapping) else (value,)


def _withhold(tensors: Mapping[str, Any], keep: Tensor) -> dict[str, Any]:
    return {
        name: _withhold(value, keep)
        if isinstance(value, Mapping)
        else value & keep.to(value.device)
        if name == "given"
        else value
        for name, value in tensors.items()
    }
