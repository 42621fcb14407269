"""Text as subwords learnt from a corpus: nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmgen.core.errors import LoadError
from mmgen.core.fitted import take_asset
from mmgen.core.spec import Spec
from mmgen.modalities.text.byte_text import utf8
from mmgen.modalities.text.ids import TokenRows, pad, unpad
from mmgen.modalities.text.merges import LONGEST_PIECE, NUM_BYTES, ByteMerges

__all__ = ["SubwordText"]

_MERGES = "merges.model"


class SubwordText(TokenRows):
    """Tokens are frequent strings of bytes; every text comes back as it was.

    A text has one string of tokens that it is encoded as, but others may decode to it, too. So
    log p of that string is at most log p of the text, by what a model spends on the others.

    Args:
        vocabulary: Most subwords to learn, the 256 bytes among them. The specification's
            vocabulary, however many the corpus gives; a token without a piece decodes to U+FFFD.
        max_length: Longest text, in tokens. A longer one is an error, never cut.

    Raises:
        ValueError: If the vocabulary is below 256 or max_length below 1.
    """

    def __init__(self, vocabulary: int = 1024, *, max_length: int = 256) -> None:
        super().__init__()
        if vocabulary < NUM_BYTES or max_length < 1:
            raise ValueError(
                f"Expected a vocabulary of at least {NUM_BYTES}, the bytes, and a max_length of at "
                f"least 1; got {vocabulary} and {max_length}."
            )
        self.vocabulary, self.max_length = vocabulary, max_length
        self.merges: ByteMerges | None = None

    @classmethod
    def debug(cls) -> SubwordText:
        """A tiny one, fitted to a few words."""
        codec = cls(272, max_length=48)
        codec.fit(
            ["A red circle left of a blue square.", "Two green stars\non a white background."]
        )
        return codec

    @property
    def spec(self) -> Spec:
        return Spec(
            "text", "tokens", ("L",), vocabulary=self.vocabulary, max_length=self.max_length
        )

    @property
    def fitted(self) -> bool:
        """Whether it has learnt its subwords."""
        return self.merges is not None

    def fit(self, values: Sequence[Any]) -> None:
        """Learn subwords from examples of X."""
        self.merges = ByteMerges.train([utf8(v) for v in values], vocabulary=self.vocabulary)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        return pad([self._ids(value) for value in values])

    def present(self, tensors: Mapping[str, Tensor]) -> list[str]:
        merges = self._require_merges()
        return [merges.decode(row) for row in unpad(tensors)]

    def assets(self) -> dict[str, bytes]:
        return {} if self.merges is None else {_MERGES: self.merges.proto}

    def load_assets(self, assets: Mapping[str, bytes]) -> None:
        merges = ByteMerges(take_asset(assets, _MERGES, by="SubwordText"))
        if merges.vocabulary > self.vocabulary:
            raise LoadError(
                f"{_MERGES} has {merges.vocabulary} subwords, the codec holds {self.vocabulary}. "
                "They do not belong together."
            )
        self.merges = merges

    def _ids(self, value: Any) -> list[int]:
        merges = self._require_merges()
        data = utf8(value)
        least = -(-len(data) // LONGEST_PIECE)
        # A text that is far too long is not worth the time to find out by how much.
        ids = merges.encode(data) if least <= self.max_length else [0] * least
        if len(ids) > self.max_length:
            raise ValueError(
                f"Expected a text of at most {self.max_length} subwords, got at least {len(ids)}: "
                f"{value[:40]!r}... Shorten it, or build the codec with a larger max_length."
            )
        return ids

    def _require_merges(self) -> ByteMerges:
        if self.merges is None:
            raise LoadError(
                "SubwordText has no subwords yet. Call fit(texts) on examples, or load saved ones."
            )
        return self.merges
