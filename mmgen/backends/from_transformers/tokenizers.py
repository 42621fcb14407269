"""Tokenizers of transformers checkpoints, and their files."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmgen.core.errors import LoadError

__all__ = ["debug_tokenizer", "first_line", "load_tokenizer", "tokenizer_files", "tokenizer_of"]


def debug_tokenizer() -> Any:
    """A tokenizer of a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = "[PAD] [UNK] a red green blue circle square star left right of".split()
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", model_max_length=32
    )


def load_tokenizer(path: str, subfolder: str, *, hint: str, **place: Any) -> Any:
    """The tokenizer of a checkpoint. `place` is passed on to transformers."""
    from transformers import AutoTokenizer

    try:
        with warnings.catch_warnings():
            # A library that some tokenizers tidy texts with, where it is there.
            warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
            return AutoTokenizer.from_pretrained(path, subfolder=subfolder, **place)
    except Exception as error:
        # Each kind has its own way to say that a file is missing or broken.
        raise LoadError(
            f"Could not load a tokenizer from {path} ({subfolder or '.'}): {first_line(error)} "
            f"If it is in another folder of the checkpoint, give {hint}; else get its files again."
        ) from None


def tokenizer_files(tokenizer: Any) -> dict[str, bytes]:
    """The files of a tokenizer, by name."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {f.name: f.read_bytes() for f in sorted(Path(folder).iterdir()) if f.is_file()}


def tokenizer_of(assets: Mapping[str, bytes]) -> Any:
    """The tokenizer that has these files."""
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        for name, content in assets.items():
            (Path(folder) / Path(name).name).write_bytes(content)
        try:
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise LoadError(
                f"Expected the files of a tokenizer, got {', '.join(sorted(assets)) or 'none'}:"
                f" {first_line(error)} Save the pipeline again."
            ) from None


def first_line(error: Exception) -> str:
    """The first line of what an error of a library says."""
    return str(error).strip().split("\n")[0]
