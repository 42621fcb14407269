"""Text as the bytes of its UTF-8: nothing to learn, and nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmgen.core.spec import Spec
from mmgen.modalities.text.ids import TokenRows, pad, unpad

__all__ = ["ByteText", "utf8"]


class ByteText(TokenRows):
    """One token for each byte of UTF-8; every text comes back as it was.

    Bytes that are no UTF-8, as a model may draw them, are shown as the replacement character
    U+FFFD, as Python's errors="replace" does.

    Args:
        max_length: Longest text, in bytes. A longer one is an error, never cut.

    Source: ByT5 (Xue et al., 2021), Sec. 3.1, arXiv:2105.13626.
    """

    def __init__(self, max_length: int) -> None:
        super().__init__()
        if max_length < 1:
            raise ValueError(f"max_length is at least 1, got {max_length}.")
        self.max_length = max_length

    @classmethod
    def debug(cls) -> ByteText:
        """One for a few words."""
        return cls(32)

    @property
    def spec(self) -> Spec:
        return Spec("text", "tokens", ("L",), vocabulary=256, max_length=self.max_length)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        return pad([self._bytes(value) for value in values])

    def present(self, tensors: Mapping[str, Tensor]) -> list[str]:
        return [bytes(row).decode("utf-8", "replace") for row in unpad(tensors)]

    def _bytes(self, value: Any) -> bytes:
        data = utf8(value)
        if len(data) > self.max_length:
            raise ValueError(
                f"Expected a text of at most {self.max_length} bytes, got {len(data)}: "
                f"{value[:40]!r}... Shorten it, or build the codec with a larger max_length."
            )
        return data


def utf8(value: Any) -> bytes:
    """The bytes of a text.

    Raises:
        TypeError: If it is no text.
        ValueError: If it holds half of a surrogate pair, which no encoding can write.
    """
    if not isinstance(value, str):
        raise TypeError(f"Expected a text (str), got {type(value).__name__}: {value!r:.60}.")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"The text holds half of a surrogate pair at place {error.start}, which is no "
            "character. It was cut or decoded wrongly; get it again from its source."
        ) from None
