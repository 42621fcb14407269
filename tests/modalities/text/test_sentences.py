"""Sentences: nothing is lost between them, and none ends in the middle."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmgen.modalities.text.fitting import split_to_fit
from mmgen.modalities.text.sentences import join_sentences, split_sentences

ALPHABET = "aB1 .!?…\n\t\"'”)(。！？」「，,;い你É\u00a0\r"
TEXTS = st.one_of(st.text(max_size=60), st.text(ALPHABET, max_size=60))


@given(TEXTS, st.sampled_from([None, "de", "zh", "eng_Latn"]))
@settings(max_examples=300, deadline=None)
@example("", None)
@example(" \n\n Hello.\n", None)
def test_sentences_joined_are_the_text(text: str, language: str | None) -> None:
    sentences = split_sentences(text, language)
    assert "".join(sentences) == text
    assert all(sentences)
    # Only a text of nothing but blanks has a sentence of nothing but blanks.
    assert not text.strip() or all(s.strip() for s in sentences)
    assert join_sentences([s.strip() for s in sentences], sentences) == text or not text.strip()


@given(TEXTS)
@settings(max_examples=100, deadline=None)
def test_splitting_a_sentence_again_changes_nothing(text: str) -> None:
    for sentence in split_sentences(text)[:-1]:
        assert split_sentences(sentence) == [sentence]


@given(TEXTS, st.integers(1, 12))
@settings(max_examples=300, deadline=None)
def test_pieces_fit_and_joined_are_the_text(text: str, most: int) -> None:
    pieces = split_to_fit(text, lambda piece: len(piece) <= most)
    assert "".join(pieces) == text
    assert all(len(piece.strip()) <= most for piece in pieces)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("One is here. | Two is there! | Is three? | Yes.", "en"),
        ("Dr. Smith met Mr. J. R. Jones at 3.14 p.m. on 5 Oct. 2020. | They spoke.", "en"),
        ("See fig. 3 and no. 7, e.g. the U.S. one. | It is at example.com now.", "en"),
        ("“Really?” he asked. | “Yes!” | She left.", "en"),
        ("Wait... what? | No. | I won't. | So do I. | Then go.", "en"),
        ("1. First things. | 2. Then others.", "en"),
        ("Er kam am 3. Mai z. B. nach Bonn. | Dann ging er.", "de"),
        ("It ended in 12. | Then it began.", "en"),
        ("Il est venu (M. Dupont). | Il est parti.", "fr"),
        ("¿Cómo estás? | ¡Bien! | ¿Y tú?", "es"),
        ("你好。|我很好！|你呢？|“再见。”他说。", "zh"),
        ("今日は。|元気？|「行く。」と彼は言った。|はい。", "ja"),
        ("नमस्ते। | आप कैसे हैं?", "hi"),
        ("Line one\n|Line two.\n\n|Next paragraph. | End.", None),
        ("  Leading. | Trailing.  \n", None),
    ],
)
def test_where_sentences_end(text: str, language: str | None) -> None:
    # Blanks belong to the sentence before them.
    expected = text.replace(" | ", " |").split("|")
    assert split_sentences(text.replace(" | ", " ").replace("|", ""), language) == expected


@pytest.mark.parametrize(
    ("text", "answers", "joined"),
    [
        ("你好。再见。", ["Hello.", "Goodbye."], "Hello. Goodbye."),
        ("Hello. Goodbye.", ["你好。", "再见。"], "你好。再见。"),
        ("你好。\n\n再见。", ["Hello.", "Goodbye."], "Hello.\n\nGoodbye."),
        ("One.  Two.\n", ["Eins.", " Zwei. "], "Eins.  Zwei.\n"),
        ("One. Two. Three.", ["Eins.", "Zwei."], "Eins. Zwei."),
        ("One.", [], ""),
    ],
)
def test_answers_are_put_where_their_sentences_were(
    text: str, answers: list[str], joined: str
) -> None:
    assert join_sentences(answers, split_sentences(text)) == joined


def test_a_long_sentence_is_parted_at_its_clauses() -> None:
    text = "The first of it, which is long; the second of it, also long, ends here. Short."
    pieces = split_to_fit(text, lambda piece: len(piece) <= 40)
    assert pieces == [
        "The first of it, which is long; ",
        "the second of it, also long, ends here. ",
        "Short.",
    ]
    assert split_to_fit("abcdef", lambda piece: len(piece) <= 4) == ["abcd", "ef"]
    with pytest.raises(ValueError, match="Not even 'a' can be read"):
        split_to_fit("abc", lambda piece: not piece)
