"""Text: strings to people, token ids to models."""

from mmgen.modalities.text.encoder import TextEncoder
from mmgen.modalities.text.files import SUFFIXES, save, save_many
from mmgen.modalities.text.tokenizer import Tokenizer

__all__ = ["SUFFIXES", "TextEncoder", "Tokenizer", "encoder", "save", "save_many"]


def encoder(size: str, labels: tuple[str, ...] = ()) -> TextEncoder:
    """The text encoder of this size."""
    if size == "debug":
        return TextEncoder(vocabulary=384, dim=32, depth=1, num_heads=2)
    return TextEncoder(vocabulary=1024, dim=128, depth=2, num_heads=4)
