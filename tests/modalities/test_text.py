"""Text as a condition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.core.errors import LoadError
from mmgen.modalities.text import TextEncoder, Tokenizer

TEXTS = [f"a {c} {s}" for c in ("red", "green", "blue") for s in ("circle", "square", "star")]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    torch.manual_seed(0)
    encoder = TextEncoder(vocabulary=320, dim=32, depth=1, num_heads=2).eval()
    encoder.fit(TEXTS)
    return encoder


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=30))
def test_any_text_survives_the_tokenizer(text: str) -> None:
    tokenizer = test_any_text_survives_the_tokenizer.tokenizer
    again = tokenizer.decode(tokenizer.encode([text])[0])
    twice = tokenizer.decode(tokenizer.encode([again])[0])
    assert again == twice


test_any_text_survives_the_tokenizer.tokenizer = Tokenizer.train(TEXTS, vocabulary=320)


def test_padding_changes_nothing(encoder: TextEncoder) -> None:
    long = " ".join(["a red circle"] * 8)
    both = encoder.encode(encoder.prepare(["a green star", long]))
    alone = encoder.encode(encoder.prepare(["a green star"]))
    count = int(alone.mask.sum())
    assert int(both.mask[0].sum()) == count
    assert torch.allclose(both.tokens[0, :count], alone.tokens[0, :count], atol=1e-5)


def test_none_gives_the_null_whatever_stands_beside_it(encoder: TextEncoder) -> None:
    c = encoder.encode(encoder.prepare(["a green star", None]))
    assert torch.equal(c.tokens[1, 0], encoder.null)
    assert c.mask[1].tolist() == [True] + [False] * (c.mask.shape[1] - 1)


def test_dropping_a_condition_gives_the_null(encoder: TextEncoder) -> None:
    tensors = encoder.prepare(["a green star", "a red circle"])
    dropped = encoder.encode(encoder.drop(tensors, rate=1.0))
    null = encoder.encode(encoder.prepare([None, None]))
    assert torch.equal(dropped.tokens[:, 0], null.tokens[:, 0])
    assert torch.equal(dropped.mask.sum(1), null.mask.sum(1))


def test_word_order_matters(encoder: TextEncoder) -> None:
    a, b = encoder.encode(encoder.prepare(["red circle", "circle red"])).tokens
    assert (a.sum(0) - b.sum(0)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("", ValueError, "empty"),
        (" \n", ValueError, "empty"),
        (5, TypeError, "Expected a text"),
        (["a"], TypeError, "Expected a text"),
        ("star " * 99, ValueError, "at most 64 subwords, got"),
    ],
)
def test_bad_text_is_refused(
    encoder: TextEncoder, value: object, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        encoder.prepare([value])


def test_assets_come_back(encoder: TextEncoder) -> None:
    other = TextEncoder(vocabulary=320, dim=32, depth=1, num_heads=2)
    with pytest.raises(LoadError, match="no vocabulary yet"):
        other.prepare(["a star"])
    other.load_assets(encoder.assets())
    assert torch.equal(other.prepare(TEXTS)["ids"], encoder.prepare(TEXTS)["ids"])
    assert other.words == encoder.words


def test_assets_that_do_not_fit_are_refused(encoder: TextEncoder) -> None:
    assets = encoder.assets()
    with pytest.raises(LoadError, match=r"needs words\.txt"):
        TextEncoder().load_assets({"tokenizer.model": assets["tokenizer.model"]})
    with pytest.raises(LoadError, match="no sentencepiece model"):
        TextEncoder().load_assets({**assets, "tokenizer.model": b"nonsense"})
    with pytest.raises(LoadError, match="do not belong together"):
        TextEncoder(vocabulary=100).load_assets(assets)


def test_what_is_passed_over_is_told() -> None:
    encoder = TextEncoder.debug()
    assert encoder.plain("A  Red CIRCLE left of") == "a red circle left of"
    ids = [encoder.prepare([text])["ids"] for text in ("A Red  circle", "a red circle")]
    assert torch.equal(*ids)
    assert TextEncoder(vocabulary=320, dim=32, depth=1, num_heads=2).plain("A b") == "A b"


def test_an_encoder_of_several_sentences_answers_them_one_by_one() -> None:
    encoder = TextEncoder(
        vocabulary=320,
        dim=32,
        depth=1,
        num_heads=2,
        max_tokens=12,
        words=False,
        multiple=4,
        languages=("zh", "en"),
    )
    encoder.fit(["今天下雨了。", "我们在家。"])
    assert [o.name for o in encoder.options()] == ["split"]
    # Words that were never seen are not looked for, and none are kept.
    encoder.check(["他们不在家"], split="sentences")
    assert set(encoder.assets()) == {"tokenizer.model"}
    assert encoder.prepare(["我们在家。"])["ids"].shape[1] % 4 == 0
    parted = encoder.parted("今天下雨了。我们在家。", split="sentences")
    assert parted.values == ("今天下雨了。", "我们在家。")
    assert parted.join(["It is raining.", "We are in."]) == "It is raining. We are in."
    assert encoder.parted("我们在家。", split="sentences") is None
    assert encoder.parted("今天下雨了。我们在家。", split="never") is None
    assert encoder.parted(None, split="sentences") is None
    long = "今天下雨了，" * 8 + "我们在家。"
    with pytest.raises(ValueError, match="at most 12 subwords"):
        encoder.prepare([long])
    pieces = encoder.parted(long, split="sentences").values
    assert len(pieces) > 1 and "".join(pieces) == long
    assert encoder.prepare(list(pieces))["lengths"].max() <= 12
