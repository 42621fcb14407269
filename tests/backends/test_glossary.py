"""Terms that have to be translated by given ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen import Pipeline
from mmgen.backends.from_transformers.glossary import checked_glossary, demanded

TERMS = {"Red cat": "blue", "left": "number 7", "dog": "never"}
OPTIONS = {"temperature": 0.0, "max_new_tokens": 24}
SENTENCE = "A Red cat sat on the left."


@pytest.fixture(scope="module", params=["marian", "t5"])
def translate(request: pytest.FixtureRequest) -> Pipeline:
    return Pipeline.from_pretrained(request.getfixturevalue(request.param))


def test_the_terms_of_a_source_are_in_its_answer(translate: Pipeline) -> None:
    plain = translate(SENTENCE, **OPTIONS)
    found = translate(SENTENCE, glossary=TERMS, **OPTIONS)
    assert "blue" in found and "number 7" in found and "never" not in found
    assert not ("blue" in plain and "number 7" in plain)
    # A part of a value does the same, and a batch does as each alone.
    value = {"text": SENTENCE, "glossary": TERMS}
    assert translate(value, **OPTIONS).strip() == found.strip()
    other = translate("A blue cat.", glossary=TERMS, **OPTIONS)
    both = translate([SENTENCE, "A blue cat."], glossary=TERMS, **OPTIONS)
    assert both == [found, other]


def test_scores_are_those_of_the_model(translate: Pipeline) -> None:
    given = translate.given(SENTENCE, glossary={"Red cat": "blue"}, max_new_tokens=24)
    first, second = given.best(2, num_beams=6)
    assert "blue" in first.value and "blue" in second.value and first.nats >= second.nats
    free = translate.given(SENTENCE, max_new_tokens=24)
    assert free.best(1, num_beams=6)[0].nats >= first.nats
    own, other = (g.log_prob("A blue cat.") for g in (given, free))
    assert torch.equal(own.nats, other.nats) and own.kind == "exact"


def test_each_sentence_has_its_own_terms(marian: Path) -> None:
    translate = Pipeline.from_pretrained(marian)
    text = "A Red cat sat. A blue cat sat on the left."
    parts = [f"{s}." for s in text.rstrip(".").split(". ")]
    found = translate(text, glossary=TERMS, **OPTIONS)
    alone = [translate(part, glossary=TERMS, **OPTIONS).strip() for part in parts]
    assert found == " ".join(alone)
    assert "blue" in alone[0] and "number 7" in alone[1]


def test_what_is_wrong_with_a_glossary(marian: Path) -> None:
    translate = Pipeline.from_pretrained(marian)
    with pytest.raises(ValueError, match=r"searched for, not drawn. Give temperature=0.0"):
        translate(SENTENCE, glossary=TERMS, seed=0)
    with pytest.raises(TypeError, match="A glossary is"):
        translate({"text": SENTENCE, "glossary": {"cat": 7}}, **OPTIONS)
    with pytest.raises(ValueError, match="A term of the glossary is empty"):
        translate(SENTENCE, glossary={"cat": " "}, **OPTIONS)
    with pytest.raises(ValueError, match="Allow more max_new_tokens"):
        translate(SENTENCE, glossary={"cat": "number"}, temperature=0.0, max_new_tokens=1)
    # Nothing of it is in the text: a sample is drawn as ever.
    plain = translate("blue", seed=3, max_new_tokens=6)
    assert translate("blue", glossary=TERMS, seed=3, max_new_tokens=6) == plain


@pytest.mark.parametrize(
    ("text", "glossary", "terms"),
    [
        ("The cat sat.", {"cat": "chat"}, ("chat",)),
        ("The Cat; a cat!", {"cat": "chat"}, ("chat",)),
        ("Concatenate.", {"cat": "chat"}, ()),
        ("New York, York", {"York": "Y", "New York": "NY"}, ("NY", "Y")),
        ("New York", {"York": "Y", "New York": "NY"}, ("NY",)),
        ("我喜欢苹果。", {"苹果": "apple"}, ("apple",)),
        ("C++ and C#", {"C++": "C++", "c#": "C#"}, ("C++", "C#")),
    ],
)
def test_terms_are_found_whole(text: str, glossary: dict[str, str], terms: tuple[str, ...]) -> None:
    assert demanded(text, glossary) == terms


@given(st.text(max_size=30), st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3))
@settings(max_examples=100, deadline=None)
def test_any_text_can_be_looked_through(text: str, glossary: dict[str, str]) -> None:
    clean = {s: t for s, t in glossary.items() if s.strip() and t.strip()}
    terms = demanded(text, checked_glossary(clean))
    assert set(terms) <= {t.strip() for t in clean.values()}
