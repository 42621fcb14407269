"""Phonemes as the ids of models that are given them in place of words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmgen.core.errors import LoadError, close_names

__all__ = ["Phonemes"]


class Phonemes:
    """What a tokenizer does after it has looked words up, whose dictionary needs another library.

    Args:
        files: Its files, by name: `vocab.json`, an id for each phoneme, and what lies beside it.
        end: The token that ends a text.

    Raises:
        LoadError: If the vocabulary is none, or lacks the end.
    """

    def __init__(self, files: Mapping[str, bytes], *, end: str = "<sos/eos>") -> None:
        self.files = dict(files)
        try:
            words = json.loads(files["vocab.json"].decode("utf-8"))
        except (KeyError, ValueError):
            words = None
        if not isinstance(words, dict) or not all(type(i) is int for i in words.values()):
            raise LoadError("vocab.json of this checkpoint is missing, or names no phonemes.")
        if end not in words:
            raise LoadError(f"vocab.json of this checkpoint lacks {end!r}, which ends a text.")
        self.end = words[end]
        self.words = {word: i for word, i in words.items() if not word.startswith("<")}

    def ids(self, text: Any) -> Tensor:
        """The ids (1, L) of phonemes with spaces between, the end after them.

        Raises:
            TypeError: If it is no text.
            ValueError: If it is empty, or one is none of the model's.
        """
        if not isinstance(text, str):
            raise TypeError(
                f"Expected phonemes as a text, got {type(text).__name__}: {text!r:.60}."
            )
        asked = text.split()
        if not asked:
            raise ValueError(
                "There are no phonemes. Give some, with spaces between: 'HH AH0 L OW1'."
            )
        for word in asked:
            if word not in self.words:
                raise ValueError(
                    f"{word!r:.40} is no phoneme of this model, which is given phonemes, with "
                    f"spaces between, not words. {close_names(word, self.words)}"
                )
        return torch.tensor([[*(self.words[word] for word in asked), self.end]])

    def save_pretrained(self, folder: str) -> None:
        """Write the files as they were."""
        for name, content in self.files.items():
            (Path(folder) / name).write_bytes(content)
