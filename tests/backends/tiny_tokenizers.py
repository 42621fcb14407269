"""Tokenizers that are trained on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

__all__ = ["CHAT", "CORPUS", "byte_merges", "byte_tokenizer", "pieces"]

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


def byte_merges(
    special: list[str], *, vocab_size: int = 320, end_of_word_suffix: str | None = None
) -> Tokenizer:
    """Merges of the bytes of the corpus, the special tokens first."""
    ended = {} if end_of_word_suffix is None else {"end_of_word_suffix": end_of_word_suffix}
    unknown = {"unk_token": special[-1]} if ended else {}
    inner = Tokenizer(models.BPE(**ended, **unknown))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        **ended,
    )
    inner.train_from_iterator(CORPUS, trainer)
    return inner


def byte_tokenizer(*special: str, chat: bool = False) -> PreTrainedTokenizerFast:
    """Merges of bytes, as those of GPT-2, that end and begin with one token."""
    inner = byte_merges(["<|end|>", *special])
    inner.decoder = decoders.ByteLevel()
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
