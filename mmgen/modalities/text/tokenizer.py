"""Text to subword ids, by sentencepiece."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence

from mmgen.core.errors import LoadError

__all__ = ["Tokenizer", "words_of"]

# How sentencepiece writes a space.
_SPACE = "\u2581"
_WORD = re.compile(r"[^\W\d_]+|\d+|[^\w\s]")


def words_of(text: str) -> list[str]:
    """Words, numbers and signs of a text, in lower case."""
    return _WORD.findall(text.lower())


class Tokenizer:
    """Byte-pair merges over lower-cased text, with bytes for what it does not know.

    Args:
        proto: Serialized sentencepiece model.

    Raises:
        LoadError: If it is not one.

    Source: Neural Machine Translation of Rare Words with Subword Units (Sennrich et al., 2015),
    Sec. 3.2, arXiv:1508.07909.
    """

    def __init__(self, proto: bytes) -> None:
        import sentencepiece

        self.proto = proto
        try:
            self._model = sentencepiece.SentencePieceProcessor(model_proto=proto)
            self.vocabulary = self._model.vocab_size()
        except RuntimeError as error:
            raise LoadError(f"The tokenizer file holds no sentencepiece model: {error}") from None

    @classmethod
    def train(cls, texts: Iterable[str], *, vocabulary: int) -> Tokenizer:
        """Learn at most `vocabulary` pieces from texts."""
        import sentencepiece

        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocabulary,
            hard_vocab_limit=False,
            byte_fallback=True,
            normalization_rule_name="nmt_nfkc_cf",
            num_threads=1,
            minloglevel=2,
        )
        return cls(model.getvalue())

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, none of them special."""
        return self._model.encode(list(texts))

    def normalized(self, text: str) -> str:
        """The text as it is cut: in lower case, with single spaces."""
        return self._model.normalize(text).replace(_SPACE, " ").strip()

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids."""
        return self._model.decode(list(ids))
