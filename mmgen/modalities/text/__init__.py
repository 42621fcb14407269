"""Text: strings to people, token ids to models."""

from mmgen.modalities.text.byte_text import ByteText
from mmgen.modalities.text.encoder import TextEncoder
from mmgen.modalities.text.files import PREVIEW_SUFFIX, SUFFIXES, load, measures, save, save_many
from mmgen.modalities.text.subwords import SubwordText
from mmgen.modalities.text.tokenizer import Tokenizer

__all__ = [
    "COLUMNS",
    "IN_FILES",
    "PREVIEW_SUFFIX",
    "SUFFIXES",
    "ByteText",
    "SubwordText",
    "TextEncoder",
    "Tokenizer",
    "codec",
    "encoder",
    "load",
    "measures",
    "save",
    "save_many",
]

COLUMNS = ("text", "caption", "prompt", "sentence", "txt", "transcription")
IN_FILES = False


def codec(size: str) -> ByteText | SubwordText:
    """The codec of this size: bytes, or subwords that `fit` learns."""
    return ByteText(32) if size == "debug" else SubwordText(1024, max_length=256)


def encoder(size: str, labels: tuple[str, ...] = ()) -> TextEncoder:
    """The text encoder of this size."""
    if size == "debug":
        return TextEncoder(vocabulary=384, dim=32, depth=1, num_heads=2)
    return TextEncoder(vocabulary=1024, dim=128, depth=2, num_heads=4)
