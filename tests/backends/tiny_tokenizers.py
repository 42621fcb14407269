"""Tokenizers that are trained on the spot."""

from __future__ import annotations

from pathlib import Path

import sentencepiece

__all__ = ["CORPUS", "pieces"]

CORPUS = [
    f"A {c} cat sat on the {p}, number {i}."
    for i in range(9)
    for c in ("Red", "blue")
    for p in ("left", "right")
]


def pieces(folder: Path, name: str, **ids: int) -> Path:
    """A sentencepiece model trained on the corpus."""
    (folder / "corpus.txt").write_text("\n".join(CORPUS), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "corpus.txt"),
        model_prefix=str(folder / name),
        vocab_size=70,
        hard_vocab_limit=False,
        minloglevel=2,
        **ids,
    )
    (folder / "corpus.txt").unlink()
    (folder / f"{name}.vocab").unlink()
    return folder / f"{name}.model"
