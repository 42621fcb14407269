"""Text: strings to people, token ids to models."""

from mmgen.modalities.text.encoder import TextEncoder
from mmgen.modalities.text.files import SUFFIXES, save, save_many
from mmgen.modalities.text.tokenizer import Tokenizer

__all__ = ["SUFFIXES", "TextEncoder", "Tokenizer", "save", "save_many"]
