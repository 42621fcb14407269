"""Pretrained tokenizers as codecs: their own ids, content alone, and never a cut text."""

from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast, T5Tokenizer

from mmgen.backends.from_transformers import TokenizedText
from mmgen.core.codec import Codec, Lossless
from mmgen.core.errors import LoadError

CORPUS = [
    f"A {c} cat on the {p}, number {i}"
    for i in range(9)
    for c in ("Red", "blue")
    for p in ("left", "right")
]
TEXTS = ["A Red cat", "a blue cat on the left, number 3", "Red"]
HARD = ["", " two  spaces ", "line\nline\r\n", "Grüße 你好 👩‍👧", "</s> <|end|> [PAD]", "\x00▁Ġ"]


def _byte_level() -> PreTrainedTokenizerFast:
    """As those of GPT-2 and its like: merges of bytes, and a token for the end."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(CORPUS, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>")
    tokenizer.add_tokens([AddedToken("<|own|>", special=True)])
    return tokenizer


def _t5(folder: Path) -> T5Tokenizer:
    folder.mkdir()
    (folder / "corpus.txt").write_text("\n".join(CORPUS))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "corpus.txt"),
        model_prefix=str(folder / "spiece"),
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
    )
    return T5Tokenizer.from_pretrained(folder, extra_ids=0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tokenizers")
    made = {"byte_level": _byte_level(), "t5": _t5(root / "spiece")}
    for name, tokenizer in made.items():
        tokenizer.save_pretrained(root / name)
    return {name: root / name for name in made}


def _again(codec: TokenizedText, values: list[str]) -> list[str]:
    return codec.present(codec.decode(codec.encode(codec.prepare(values))))


@pytest.mark.parametrize("name", ["byte_level", "t5"])
def test_tokens_are_the_tokenizers_own_without_special_ones(
    name: str, folders: dict[str, Path]
) -> None:
    codec = TokenizedText.from_pretrained(folders[name], max_length=64)
    reference = AutoTokenizer.from_pretrained(folders[name])
    texts = ["A Red cat", "blue cat on the left, number 3"]
    latent = codec.encode(codec.prepare(texts))
    for row, length, text in zip(latent.z, latent.lengths, texts, strict=True):
        own = [codec.token_ids[i] for i in row[:length]]
        assert own == reference(text, add_special_tokens=False)["input_ids"]
        assert not row[length:].any()
    assert not set(codec.token_ids) & set(reference.all_special_ids)
    assert codec.spec.vocabulary == len(set(codec.token_ids)) < len(reference)
    assert codec.spec.max_length == 64 and codec.fitted
    assert isinstance(codec, Codec) and not isinstance(codec, Lossless)
    assert _again(codec, texts) == texts


def test_merges_of_bytes_bring_every_text_back(folders: dict[str, Path]) -> None:
    codec = TokenizedText.from_pretrained(folders["byte_level"])
    assert _again(codec, HARD + TEXTS) == HARD + TEXTS


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_comes_back(value: str) -> None:
    codec = test_any_text_comes_back.codec
    assert _again(codec, [value]) == [value]


test_any_text_comes_back.codec = TokenizedText(_byte_level())


def test_names_of_special_tokens_are_text(folders: dict[str, Path]) -> None:
    codec = TokenizedText.from_pretrained(folders["byte_level"])
    assert codec.prepare(["<|end|>"])["lengths"].item() > 1
    assert codec.prepare(["<|own|>"])["lengths"].item() > 1


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (3, TypeError, "Expected a text .str., got int"),
        (None, TypeError, "got NoneType"),
        ("a\udc00", ValueError, "half of a surrogate pair"),
        ("red " * 17, ValueError, r"at most 16 tokens, got 17: 'red red"),
        ("a purple star", ValueError, r"no token for a part of 'a purple star'.*'\[UNK\]'"),
    ],
)
def test_bad_text_is_refused(value: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        TokenizedText.debug().prepare(["a red star", value])


def test_assets_come_back(folders: dict[str, Path]) -> None:
    codec = TokenizedText.from_pretrained(folders["byte_level"])
    other = TokenizedText(_byte_level())
    other.load_assets(codec.assets())
    assert torch.equal(other.prepare(TEXTS)["ids"], codec.prepare(TEXTS)["ids"])
    with pytest.raises(LoadError, match="Expected the files of a tokenizer, got none"):
        other.load_assets({})
    with pytest.raises(LoadError, match="built for 10. They do not belong together"):
        TokenizedText.debug().load_assets(codec.assets())


def test_no_tokenizer_there(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="Could not load a tokenizer from .*give subfolder"):
        TokenizedText.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        TokenizedText(_byte_level(), max_length=0)
