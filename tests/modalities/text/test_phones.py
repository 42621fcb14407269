"""Texts as phones: what is read aloud, how words are said, and what is kept beside the weights."""

from __future__ import annotations

import pytest
import torch

from mmgen.core.composite import CompositeEncoder
from mmgen.core.errors import LoadError
from mmgen.modalities.label import LabelEncoder
from mmgen.modalities.text import Lexicon, PhoneEncoder, spoken_words
from mmgen.modalities.text.spoken import number_words

WORDS = {
    "ship": "sh ih p",
    "shop": "sh aa p",
    "dish": "d ih sh",
    "chip": "ch ih p",
    "chop": "ch aa p",
    "box": "b aa k s",
    "fox": "f aa k s",
    "mix": "m ih k s",
    "fish": "f ih sh",
    "made": "m ey d",
    "fade": "f ey d",
    "mad": "m ae d",
    "don't": "d ow n t",
}


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon.learn({word: said.split() for word, said in WORDS.items()})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop, Zo\u00eb!", "don't stop , zoe !"),
        ("Mr. Smith paid $1,250.", "mister smith paid one thousand two hundred fifty dollars ."),
        (
            "In 1905 and 1988; in 2004?",
            "in nineteen oh five and nineteen eighty eight , in two thousand four ?",
        ),
        ("The 21st, the 30th: 3.14", "the twenty first , the thirtieth , three point one four"),
        ("No. 7 has 90% \u2014 no more\u2026", "number seven has ninety percent , no more ."),
        ("It\u2019s well-known (so they say).", "it's well known so they say ."),
        ("7:30 & 12", "seven thirty and twelve"),
    ],
)
def test_what_is_read_aloud(text: str, words: str) -> None:
    assert spoken_words(text) == words.split()


def test_numbers() -> None:
    assert number_words(0) == ["zero"]
    assert " ".join(number_words(1_000_015)) == "one million fifteen"
    assert number_words(10**12)[:2] == ["one", "zero"]


def test_a_dictionary_gives_back_what_it_learnt(lexicon: Lexicon) -> None:
    for word, said in WORDS.items():
        assert " ".join(lexicon.phones(word)) == said
    assert "ship" in lexicon and "shed" not in lexicon and len(lexicon) == len(WORDS)


def test_other_words_are_said_as_their_letters_teach(lexicon: Lexicon) -> None:
    assert " ".join(lexicon.phones("chox")) == "ch aa k s"
    assert " ".join(lexicon.phones("fip")) == "f ih p"
    assert lexicon.phones("\u00fc") == ()


def test_a_dictionary_is_kept(lexicon: Lexicon) -> None:
    again = Lexicon.from_bytes(lexicon.to_bytes())
    assert again.phones("box") == lexicon.phones("box")
    assert again.guess("chox") == lexicon.guess("chox")
    with pytest.raises(LoadError, match="no dictionary of pronunciations"):
        Lexicon.from_bytes(b"ship")


def _encoder(lexicon: Lexicon) -> PhoneEncoder:
    phones = sorted({phone for said in WORDS.values() for phone in said.split()})
    encoder = PhoneEncoder(
        phones, dim=32, depth=1, num_heads=2, max_tokens=16, join=lambda parts: "+".join(parts)
    )
    encoder.lexicon = lexicon
    return encoder.eval()


def test_symbols(lexicon: Lexicon) -> None:
    encoder = _encoder(lexicon)
    assert encoder.symbols("Ship, fox!") == "^ _sh ih p , _f aa k s !".split()
    assert encoder.symbols("chop")[-1] == "."
    with pytest.raises(ValueError, match="nothing to say"):
        encoder.symbols("...")
    with pytest.raises(ValueError, match="at most 16 phones and pauses, got 17"):
        encoder.prepare(["ship ship ship ship ship"])
    with pytest.raises(TypeError, match="Expected a text"):
        encoder.prepare([3])


def test_a_text_is_encoded_alike_in_any_batch(lexicon: Lexicon) -> None:
    encoder = _encoder(lexicon)
    together = encoder.encode(encoder.prepare(["fox", None, "ship fish dish"]))
    alone = encoder.encode(encoder.prepare(["fox"]))
    assert torch.allclose(together.tokens[0, :8], alone.tokens[0], atol=1e-5)
    assert together.mask.sum(1).tolist() == [6, 1, 11]
    assert torch.equal(together.tokens[1, 0], encoder.null)


def test_words_are_asked_for_once_and_kept(lexicon: Lexicon) -> None:
    asked: list[str] = []

    def pronounce(words: set[str]) -> dict[str, list[str]]:
        asked.extend(sorted(words))
        return {word: WORDS[word].split() for word in words}

    encoder = PhoneEncoder(("sh", "ih", "p", "f"), pronounce=pronounce, dim=32, num_heads=2)
    assert not encoder.fitted
    encoder.fit(["Ship, ship!", None, "fish"])
    assert asked == ["fish", "ship"] and encoder.fitted
    other = PhoneEncoder(("sh", "ih", "p", "f"), dim=32, num_heads=2)
    with pytest.raises(LoadError, match="nothing to ask"):
        other.fit(["ship"])
    other.load_assets(encoder.assets())
    assert other.symbols("fish") == encoder.symbols("fish")


def test_a_text_of_several_sentences_is_said_one_by_one(lexicon: Lexicon) -> None:
    text = _encoder(lexicon)
    speaker = LabelEncoder(("a", "b"), dim=32, vector=True)
    encoder = CompositeEncoder(main="text", parts={"text": text, "speaker": speaker})
    value = {"text": "Ship fish. Chop the fox!", "speaker": "b"}
    parted = encoder.parted(value, split="sentences")
    assert [one["text"] for one in parted.values] == ["Ship fish.", "Chop the fox!"]
    assert {one["speaker"] for one in parted.values} == {"b"}
    assert parted.join(["1", "2"]) == "1+2"
    assert encoder.parted(value, split="never") is None
    assert encoder.parted({"speaker": "a"}, split="sentences") is None
