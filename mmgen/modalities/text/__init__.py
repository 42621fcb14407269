"""Text: strings to people, token ids to models."""

from mmgen.modalities.text.byte_text import ByteText
from mmgen.modalities.text.encoder import TextEncoder
from mmgen.modalities.text.files import (
    PREVIEW_SUFFIX,
    SUFFIXES,
    doubts,
    load,
    measures,
    save,
    save_many,
)
from mmgen.modalities.text.lexicon import Lexicon
from mmgen.modalities.text.phones import PhoneEncoder
from mmgen.modalities.text.spoken import spoken_words
from mmgen.modalities.text.subwords import SubwordText
from mmgen.modalities.text.tokenizer import Tokenizer

__all__ = [
    "CODECS",
    "COLUMNS",
    "IN_FILES",
    "PREVIEW_SUFFIX",
    "SUFFIXES",
    "ByteText",
    "Lexicon",
    "PhoneEncoder",
    "SubwordText",
    "TextEncoder",
    "Tokenizer",
    "codec",
    "doubts",
    "encoder",
    "load",
    "measures",
    "save",
    "save_many",
    "spoken_words",
]

COLUMNS = ("text", "caption", "prompt", "sentence", "txt", "transcription")
IN_FILES = False


def _bytes(size: str) -> ByteText:
    return ByteText({"debug": 32, "small": 1024}[size])


def _subwords(size: str) -> SubwordText:
    vocabulary, max_length = {"debug": (320, 32), "small": (1024, 256)}[size]
    return SubwordText(vocabulary, max_length=max_length)


CODECS = {"bytes": _bytes, "subwords": _subwords}


def codec(size: str) -> ByteText | SubwordText:
    """The codec of this size: bytes, or subwords that `fit` learns."""
    return CODECS["bytes" if size == "debug" else "subwords"](size)


def encoder(size: str, labels: tuple[str, ...] = ()) -> TextEncoder:
    """The text encoder of this size."""
    if size == "debug":
        return TextEncoder(vocabulary=384, dim=32, depth=1, num_heads=2)
    return TextEncoder(vocabulary=1024, dim=128, depth=2, num_heads=4)
