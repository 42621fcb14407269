"""Text as the tokens of a pretrained tokenizer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgen.backends.from_transformers.tokenizers import (
    debug_tokenizer,
    load_tokenizer,
    tokenizer_files,
    tokenizer_of,
)
from mmgen.core.codec import Codec
from mmgen.core.errors import LoadError
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec
from mmgen.modalities.text.byte_text import utf8
from mmgen.modalities.text.ids import from_latent, pad, to_latent, unpad

__all__ = ["TokenizedText"]


class TokenizedText(Codec):
    """Text as the tokens of a pretrained tokenizer, for language models that others trained.

    Special tokens are no content: they are not among the codec's tokens, and a text that holds
    their names is read as any other text. What the tokenizer drops, such as case, does not come
    back, so a density of tokens is not that of the text. A text that it cannot write at all, since
    it lacks a character, is refused.

    Args:
        tokenizer: A transformers tokenizer.
        max_length: Longest text, in tokens. A longer one is an error, never cut.
        token_ids: The tokenizer's own id of each token of the codec; of all that are not special,
            in order, if None. A pretrained model gives some probability to special tokens, too, so
            its own codec has them; they are not shown.
        as_target: Whether texts are what a translation is to be, where the tokenizer reads the two
            languages in different ways.
        decoding: Further arguments of the tokenizer's `decode`.

    Raises:
        ValueError: If max_length is below 1.
    """

    elementwise = True

    def __init__(
        self,
        tokenizer: Any,
        *,
        max_length: int = 512,
        token_ids: Sequence[int] | None = None,
        as_target: bool = False,
        decoding: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if max_length < 1:
            raise ValueError(f"max_length is at least 1, got {max_length}.")
        self.max_length = max_length
        self.tokenizer = tokenizer
        self.as_target, self.decoding = as_target, dict(decoding or {})
        self.token_ids = _content_ids(tokenizer) if token_ids is None else list(token_ids)
        """The tokenizer's own id of each token of the codec."""
        self._index = {own: i for i, own in enumerate(self.token_ids)}

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        subfolder: str = "",
        max_length: int = 512,
    ) -> TokenizedText:
        """The tokenizer of a checkpoint.

        Args:
            path: Folder or hub id.
            revision: Commit, tag or branch, for a hub id.
            subfolder: Where the tokenizer is within it.
            max_length: As in the constructor.

        Raises:
            LoadError: If there is no tokenizer, or it needs code of its own.
        """
        place = {"revision": revision, "trust_remote_code": False}
        tokenizer = load_tokenizer(os.fspath(path), subfolder, hint="subfolder", **place)
        return cls(tokenizer, max_length=max_length)

    @classmethod
    def debug(cls) -> TokenizedText:
        """A tiny one, of a few words."""
        return cls(debug_tokenizer(), max_length=16)

    @property
    def spec(self) -> Spec:
        return Spec(
            "text", "tokens", ("L",), vocabulary=len(self.token_ids), max_length=self.max_length
        )

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        return pad([self._tokens(value) for value in values])

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        return to_latent(tensors)

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        return from_latent(latent)

    def present(self, tensors: Mapping[str, Tensor]) -> list[str]:
        return [self.text_of(row) for row in unpad(tensors)]

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of tokens of the codec."""
        own = [self.token_ids[i] for i in ids]
        # Weights may have rows for ids that the tokenizer has no word for.
        known = len(self.tokenizer)
        return self.tokenizer.decode(
            [i for i in own if i < known],
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
            **self.decoding,
        )

    def assets(self) -> dict[str, bytes]:
        return tokenizer_files(self.tokenizer)

    def load_assets(self, assets: Mapping[str, bytes]) -> None:
        tokenizer = tokenizer_of(assets)
        token_ids = _content_ids(tokenizer)
        if len(token_ids) != len(self.token_ids):
            raise LoadError(
                f"The tokenizer has {len(token_ids)} tokens of content, the codec was built for "
                f"{len(self.token_ids)}. They do not belong together."
            )
        self.tokenizer, self.token_ids = tokenizer, token_ids
        self._index = {own: i for i, own in enumerate(token_ids)}

    def _tokens(self, value: Any) -> list[int]:
        utf8(value)
        own = self.tokenizer(
            **{"text_target" if self.as_target else "text": value},
            add_special_tokens=False,
            split_special_tokens=True,
            truncation=False,
            verbose=False,
        )["input_ids"]
        if len(own) > self.max_length:
            raise ValueError(
                f"Expected a text of at most {self.max_length} tokens, got {len(own)}: "
                f"{value[:40]!r}... Shorten it, or build the codec with a larger max_length."
            )
        for i in own:
            if i not in self._index:
                raise ValueError(
                    f"This tokenizer has no token for a part of {value[:40]!r}: it gives "
                    f"{self.tokenizer.convert_ids_to_tokens(i)!r}, which is no content. Leave out "
                    "characters it does not know, or use another tokenizer."
                )
        return [self._index[i] for i in own]


def _content_ids(tokenizer: Any) -> list[int]:
    """Ids of all tokens that are not special, in order."""
    special = {i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
    special |= set(tokenizer.all_special_ids)
    return sorted(set(tokenizer.get_vocab().values()) - special)
