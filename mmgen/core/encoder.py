"""Y to c."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError
from mmgen.core.fitted import Fitted
from mmgen.core.options import Option
from mmgen.core.parted import Parted
from mmgen.core.spec import ConditionSpec

__all__ = ["Encoder"]


class Encoder(Fitted):
    """Encodes a condition: c = encode(prepare(y)).

    None is a value of every encoder and means "not given". Prepared tensors hold a boolean entry
    `given` (B,); where it is False the encoder gives its null, so dropping a condition in training
    is switching that entry off.
    """

    modality: str | None = None
    """Name of the module in `mmgen.modalities` of its values; None if they are of no single one."""
    by_name = False
    """Whether a value is a dict of names of its own."""

    @property
    @abstractmethod
    def spec(self) -> ConditionSpec:
        """What it gives."""

    @abstractmethod
    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        """Values, or None, to tensors on the CPU: cheap, without parameters, safe in workers.

        Raises:
            TypeError: If a value is not of this modality.
            ValueError: If it is, but cannot be read.
        """

    @abstractmethod
    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        """Prepared tensors of a batch to a condition on the encoder's own device."""

    def read(self, text: str) -> Any:
        """The value that is meant by what was typed on a command line.

        If not said otherwise the text itself, which is a value, or a path that `prepare` opens.

        Raises:
            ValueError: If it means none.
        """
        return text

    def read_with(self, text: str | None, parts: Mapping[str, str]) -> Any:
        """The value that is meant by what was typed of its main part, and of others by their names.

        Args:
            text: Of the main part; None where nothing was typed.
            parts: Of further ones.

        Raises:
            SpecError: If conditions have no parts.
            ValueError: If a part is given twice, or means nothing.
        """
        if parts:
            raise SpecError(
                f"The condition of this pipeline is one value, so it has no part "
                f"{next(iter(parts))!r}. Leave that out."
            )
        return None if text is None else self.read(text)

    def named_parts(self) -> tuple[str, Mapping[str, Encoder]]:
        """The name of the main part, and what reads each part of a value by its name.

        If not said otherwise a value has no parts: it is the main one itself, and its name empty.
        """
        return "", {"": self}

    def plain(self, value: Any) -> Any:
        """The value without what this encoder passes over, such as the case of letters.

        If not said otherwise it passes over nothing.
        """
        return value

    def options(self) -> tuple[Option, ...]:
        """What `asked`, `check` and `parted` take."""
        return ()

    def asked(self, value: Any, **options: Any) -> Any:
        """The value with what the options of a call say of it; itself, if they say nothing.

        Args:
            value: A condition of a call.
            options: Those that `options` lists, all of them.

        Raises:
            TypeError, ValueError: If they say something that means nothing.
        """
        return value

    def check(self, values: Sequence[Any], **options: Any) -> None:
        """Refuse values that could be encoded but not answered (words never seen, say).

        Args:
            values: Conditions of a call.
            options: Those that `options` lists, all of them.
        """

    def extend(self, values: Sequence[Any]) -> None:
        """Take note, once fitted, of further values that are learnt from, for `check` to allow."""

    def extend_by(self, assets: Mapping[str, bytes]) -> None:
        """Take note of what the files of a like encoder hold, beside what this one has.

        If not said otherwise, they take the place of its own.

        Args:
            assets: What `assets` of the other gave; nothing if it has none.

        Raises:
            LoadError: If they do not belong to weights like these.
        """
        if assets:
            self.load_assets(assets)

    def parted(self, value: Any, **options: Any) -> Parted | None:
        """A value as several that are answered one by one; None if it is answered whole.

        Args:
            value: A condition of a call.
            options: Those that `options` lists, all of them.
        """
        return None

    def drop(
        self, tensors: dict[str, Any], *, rate: float, generator: torch.Generator | None = None
    ) -> dict[str, Any]:
        """Prepared tensors with each condition taken away with probability `rate`."""
        keep = torch.rand(len(tensors["given"]), generator=generator) >= rate
        return {**tensors, "given": tensors["given"] & keep.to(tensors["given"].device)}
