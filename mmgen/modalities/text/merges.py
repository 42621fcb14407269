"""Byte-pair merges over the bytes of text, by sentencepiece.

Sentencepiece sees each byte as one character: those of printable ASCII as themselves, so that
spaces part words, and byte b of the others as U+0100 + b. Nothing is normalised and no character
is unknown, so any text comes back as it was: case, spaces, newlines, and marks that sentencepiece
uses for itself.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence

from mmgen.core.errors import LoadError

__all__ = ["LONGEST_PIECE", "NUM_BYTES", "ByteMerges"]

NUM_BYTES = 256
LONGEST_PIECE = 16

_ALPHABET = [chr(b) if 0x20 <= b < 0x7F else chr(0x100 + b) for b in range(NUM_BYTES)]
_BYTES = {character: b for b, character in enumerate(_ALPHABET)}
# How sentencepiece writes a space, and a name for its unknown piece that is in no text.
_SPACE, _UNKNOWN = "\u2581", "\u0200"
# Lines longer than it takes are skipped by the trainer without a word.
_LONGEST_LINE = 1024


class ByteMerges:
    """Ids 0, 1, ... of pieces of bytes, and texts for ids.

    Args:
        proto: Serialized sentencepiece model.

    Raises:
        LoadError: If it is not one, or not one of bytes.

    Source: Language Models are Unsupervised Multitask Learners (Radford et al., 2019), Sec. 2.2
    (merges of bytes); Neural Machine Translation of Rare Words with Subword Units (Sennrich et al.,
    2015), Sec. 3.2, arXiv:1508.07909.
    """

    def __init__(self, proto: bytes) -> None:
        import sentencepiece

        self.proto = proto
        try:
            self._model = sentencepiece.SentencePieceProcessor(model_proto=proto)
            names = [self._model.id_to_piece(i) for i in range(1, self._model.vocab_size())]
            self._pieces = [bytes(_BYTES[c] for c in n.replace(_SPACE, " ")) for n in names]
        except (RuntimeError, KeyError) as error:
            raise LoadError(f"The merges file holds no merges of bytes: {error}") from None
        missing = NUM_BYTES - sum(len(piece) == 1 for piece in self._pieces)
        if missing:
            raise LoadError(f"The merges file lacks pieces for {missing} of the {NUM_BYTES} bytes.")

    @classmethod
    def train(cls, texts: Iterable[bytes], *, vocabulary: int) -> ByteMerges:
        """Learn at most `vocabulary` pieces from texts in UTF-8; the bytes are the first of them.

        Raises:
            ValueError: If the vocabulary cannot hold the bytes.
        """
        import sentencepiece

        if vocabulary < NUM_BYTES:
            raise ValueError(
                f"A vocabulary holds the {NUM_BYTES} bytes at least, got {vocabulary}."
            )
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(texts),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocabulary + 1,
            hard_vocab_limit=False,
            character_coverage=1.0,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            split_by_unicode_script=False,
            max_sentencepiece_length=LONGEST_PIECE,
            unk_id=0,
            unk_piece=_UNKNOWN,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            num_threads=1,
            minloglevel=2,
        )
        return cls(model.getvalue())

    @property
    def vocabulary(self) -> int:
        """Number of pieces."""
        return len(self._pieces)

    def encode(self, text: bytes) -> list[int]:
        """Ids of a text in UTF-8."""
        return [i - 1 for i in self._model.encode(_written(text))]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids. Bytes that are no UTF-8, and ids of no piece, give U+FFFD."""
        unknown = "\ufffd".encode()
        pieces = (self._pieces[i] if i < len(self._pieces) else unknown for i in ids)
        return b"".join(pieces).decode("utf-8", "replace")


def _written(text: bytes) -> str:
    return "".join([_ALPHABET[b] for b in text])


def _lines(texts: Iterable[bytes]) -> Iterator[str]:
    yield from _ALPHABET
    for text in texts:
        for line in text.splitlines(keepends=True):
            for start in range(0, len(line), _LONGEST_LINE):
                yield _written(line[start : start + _LONGEST_LINE])
