"""Conditions that go to a library as they are: it encodes them itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.options import Option
from mmgen.core.parted import Parted
from mmgen.core.spec import ConditionSpec
from mmgen.core.typed import named_values
from mmgen.modalities import image as images
from mmgen.modalities import modality_names
from mmgen.modalities import video as videos
from mmgen.modalities.image.files import to_pil

__all__ = ["AsGiven", "GivenCondition"]


@dataclass(frozen=True)
class GivenCondition(Condition):
    """Values of Y, not encoded.

    Args:
        values: For each of the batch, its parts by modality; a part that is not given is left out.
    """

    values: tuple[Mapping[str, Any], ...] = ()

    def select(self, index: Tensor) -> GivenCondition:
        return GivenCondition(len(index), values=tuple(self.values[i] for i in index.tolist()))

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> GivenCondition:
        return self


class AsGiven(Encoder):
    """Values of Y to conditions that hold them.

    Args:
        parts: Modalities of Y. With one, a value is bare; with several, a value is a mapping from
            modalities to values, or a bare text where a text is among them.
        required: Which of them no value may lack.
        tokenizers: Of the text; a text longer than all of them read is refused, never cut.
        max_tokens: Most tokens of a text that the pipeline reads, if it says so itself.
        readers: What reads parts that are no images, films or texts, by their names.
        splits: What answers a text in parts, given a value by its parts and whether a text fits.
        split_options: What it takes besides.
        together: What refuses values whose parts do not go together.

    Attributes:
        adapting: What brings parts to what training takes, by their names; none if not said.
    """

    def __init__(
        self,
        parts: Sequence[str],
        *,
        required: Sequence[str] = (),
        tokenizers: Sequence[Any] = (),
        max_tokens: int | None = None,
        readers: Mapping[str, Callable[[Any], Any]] | None = None,
        splits: Callable[..., Parted | None] | None = None,
        split_options: tuple[Option, ...] = (),
        together: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        super().__init__()
        self.adapting: dict[str, Callable[[Any], Any]] = {}
        self.together = together
        self.splits, self.split_options = splits, split_options
        self.readers = dict(readers or {})
        self.names, self.required = tuple(parts), tuple(required)
        self.tokenizers, self.max_tokens = tuple(tokenizers), max_tokens

    @property
    def modality(self) -> str | None:
        return self.names[0] if len(self.names) == 1 else None

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec()

    def named_parts(self) -> tuple[str, Mapping[str, Encoder]]:
        if len(self.names) < 2:
            return super().named_parts()
        # Of others cells are taken as they are.
        kinds = {name: (name,) if name in modality_names() else () for name in self.names}
        return self._main, {name: AsGiven(kind) for name, kind in kinds.items()}

    def adapt(self, value: Any) -> Any:
        if value is None or not self.adapting:
            return value
        parts = self._named(value)
        changed = {k: self.adapting[k](v) if k in self.adapting else v for k, v in parts.items()}
        return changed if isinstance(value, Mapping) else next(iter(changed.values()))

    def options(self) -> tuple[Option, ...]:
        return self.split_options

    def parted(self, value: Any, **options: Any) -> Parted | None:
        if self.splits is None:
            return None
        asked = self._named(value)
        text = asked["text"]
        # What is no text at all is told when it is read.
        if not isinstance(text, str) or not text.strip():
            return None
        return self.splits(asked, fits=lambda piece: not self._excess(piece), **options)

    def drop(
        self, tensors: dict[str, Any], *, rate: float, generator: torch.Generator | None = None
    ) -> dict[str, Any]:
        found = super().drop(tensors, rate=rate, generator=generator)
        kept = zip(found["values"], found["given"].tolist(), strict=True)
        return {**found, "values": tuple(row if given else {} for row, given in kept)}

    def prepare(self, values: Sequence[Any]) -> dict[str, Any]:
        rows = tuple(map(self._parts, values))
        return {"values": rows, "given": torch.tensor([bool(row) for row in rows])}

    def encode(self, tensors: Mapping[str, Any]) -> GivenCondition:
        return GivenCondition(len(tensors["values"]), values=tensors["values"])

    def read(self, text: str) -> Any:
        """As JSON, or the path of a .json file, where no value can do with one part."""
        if len(self.required) < 2:
            return text
        example = ", ".join(f'"{name}": ...' for name in self.required)
        return named_values(text, what="a condition", example="{" + example + "}")

    def read_with(self, text: str | None, parts: Mapping[str, str]) -> Any:
        if not parts or len(self.names) < 2:
            return super().read_with(text, parts)
        if text is None:
            return dict(parts)
        if self._main in parts:
            raise ValueError(
                f"{self._main} is given twice: as the condition itself, and as a part of it."
            )
        return {self._main: text, **parts}

    @property
    def _main(self) -> str:
        """The part that a bare text stands for."""
        return "text" if "text" in self.names else self.names[0]

    def _parts(self, value: Any) -> dict[str, Any]:
        return {name: self._read(name, part) for name, part in self._named(value).items()}

    def _named(self, value: Any) -> dict[str, Any]:
        """A value by its parts, none of them read."""
        named = isinstance(value, Mapping)
        if value is None:
            parts: dict[str, Any] = {}
        elif named:
            parts = {k: v for k, v in value.items() if v is not None}
        elif not self.names:
            raise TypeError(f"This pipeline takes no condition; got {value!r:.60}.")
        else:
            parts = {self._main if isinstance(value, str) else self.names[0]: value}
        unknown = sorted(set(parts) - set(self.names))
        missing = [name for name in self.required if name not in parts]
        if unknown or missing:
            wrong = f"{unknown[0]!r} is none of them" if unknown else f"{missing[0]!r} is missing"
            raise ValueError(
                f"A condition has the parts {', '.join(self.names)}; {wrong}. Give "
                f"{{{', '.join(f'{n!r}: ...' for n in self.names)}}}."
            )
        if self.together is not None:
            self.together(parts)
        return parts

    def _read(self, name: str, value: Any) -> Any:
        if name in self.readers:
            return self.readers[name](value)
        if name == "image":
            return to_pil(images.load(value))
        if name == "video":
            return [to_pil(torch.from_numpy(f).movedim(-1, 0)) for f in videos.load(value).frames]
        if name == "text":
            self._check_text(value)
        return value

    def _check_text(self, text: Any) -> None:
        if not isinstance(text, str):
            raise TypeError(f"Expected a text (str), got {type(text).__name__}: {text!r:.60}.")
        if not text.strip():
            raise ValueError("The text is empty. Say something, or give None for no condition.")
        excess = self._excess(text)
        if excess:
            raise ValueError(
                f"Expected a text of at most {excess[0]} tokens, got {excess[1]}: "
                f"{text[:40]!r}... The pipeline would cut it. Shorten it"
                + ("." if self.splits is None else ', or give split="sentences".')
            )

    def _excess(self, text: str) -> tuple[int, int] | None:
        """Most tokens of a text, and how many this one has, if that is more."""
        room = [min(t.model_max_length, self.max_tokens or 10**6) for t in self.tokenizers]
        whole = {"truncation": False, "verbose": False}
        counts = [len(t(text, **whole)["input_ids"]) for t in self.tokenizers]
        if room and all(n > most for n, most in zip(counts, room, strict=True)):
            return max(room), min(counts)
        return None
