"""Tokenizers that are trained on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

__all__ = ["CORPUS", "byte_tokenizer", "pieces"]

CORPUS = [
    f"A {c} cat sat on the {p}, number {i}."
    for i in range(9)
    for c in ("Red", "blue")
    for p in ("left", "right")
]


CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def byte_tokenizer(*special: str, chat: bool = False) -> PreTrainedTokenizerFast:
    """Merges of bytes, as those of GPT-2, that end and begin with one token."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|end|>", *special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<|end|>",
        eos_token="<|end|>",
        model_max_length=48,
        **({"chat_template": CHAT} if chat else {}),
    )


def pieces(folder: Path, name: str, **ids: Any) -> Path:
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
