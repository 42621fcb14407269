"""Texts of several sentences, and texts longer than a model reads: all of them is answered."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from mmgen import Pipeline
from mmgen.core.errors import SpecError

LONG = "A Red cat sat on the left. A blue cat sat on the right.\n\nA Red cat, number 3."
ALONE = ["A Red cat sat on the left.", "A blue cat sat on the right.", "A Red cat, number 3."]
GREEDY = {"temperature": 0.0, "max_new_tokens": 8}


@pytest.fixture(scope="module")
def translate(marian: Path) -> Pipeline:
    return Pipeline.from_pretrained(marian)


def test_a_text_is_translated_sentence_by_sentence(translate: Pipeline) -> None:
    one, two, three = (t.strip() for t in translate(ALONE, **GREEDY))
    assert translate(LONG, **GREEDY) == f"{one} {two}\n\n{three}"
    assert translate([LONG, ALONE[0]], **GREEDY) == [f"{one} {two}\n\n{three}", one]
    assert translate(f"{ALONE[0]} {ALONE[1]}", split="never", **GREEDY) != f"{one} {two}"


def test_a_batch_gives_what_each_text_gives_alone(translate: Pipeline) -> None:
    texts, seeds = [LONG, ALONE[1], "A cat. A blue cat."], [5, 6, 7]
    together = translate(texts, seed=seeds, max_new_tokens=6)
    alone = [translate(t, seed=s, max_new_tokens=6) for t, s in zip(texts, seeds, strict=True)]
    assert [t.strip() for t in together] == [t.strip() for t in alone]
    several = translate(LONG, seed=4, num_samples=2, max_new_tokens=6)
    assert several == [translate(LONG, seed=s, max_new_tokens=6) for s in (4, 5)]
    assert several[0] != several[1]
    steps: list[tuple[int, int]] = []
    translate(LONG, progress=lambda done, total: steps.append((done, total)), **GREEDY)
    assert steps[-1][0] == steps[-1][1] and steps == sorted(steps)


def test_what_is_too_long_is_answered_in_pieces(translate: Pipeline, marian: Path) -> None:
    text = ", ".join(f"A Red cat sat on the left {i}" for i in range(9)) + "."
    with pytest.raises(ValueError, match=r'at most 64 tokens, got .* give split="sentences"'):
        translate(text, split="never")
    parts = translate.encoder.parted(text, split="sentences", glossary=None).values
    assert len(parts) > 1
    # Nothing is lost, and the library's own way loses most of it.
    assert " ".join(part["text"] for part in parts) == text
    tokenizer = AutoTokenizer.from_pretrained(marian)
    for part in parts:
        assert len(tokenizer(part["text"])["input_ids"]) <= 64
    cut = tokenizer(text, truncation=True, max_length=64)["input_ids"]
    assert len(tokenizer.decode(cut, skip_special_tokens=True)) < 0.6 * len(text)
    found = translate(text, **GREEDY)
    pieces = translate([part["text"] for part in parts], **GREEDY)
    assert found == " ".join(piece.strip() for piece in pieces)


def test_the_library_alone_fails_on_what_is_too_long(marian: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(marian)
    model = AutoModelForSeq2SeqLM.from_pretrained(marian)
    inputs = tokenizer(LONG * 4, return_tensors="pt")
    with pytest.raises(IndexError):
        model.generate(**inputs, max_new_tokens=4)


def test_scores_are_sums_over_sentences(translate: Pipeline) -> None:
    given = translate.given(LONG)
    answers = ["A cat.", "A blue cat.", "A Red cat."]
    found = given.log_prob("A cat. A blue cat. A Red cat.")
    alone = translate.given(ALONE).log_prob(answers)
    torch.testing.assert_close(found.nats, alone.nats.sum()[None])
    assert found.kind == "lower bound" and int(found.num_dims) == int(alone.num_dims.sum())
    with pytest.raises(ValueError, match=r'The condition has 3 parts.*split="never"'):
        given.log_prob("A cat.")
    whole = translate.given(f"{ALONE[0]} {ALONE[1]}", split="never")
    assert whole.log_prob("A cat.").kind == "exact"


def test_the_best_are_made_of_the_best(translate: Pipeline) -> None:
    options = {"max_new_tokens": 3}
    text = f"{ALONE[0]} {ALONE[1]}"
    found = translate.given(text, **options).best(3, num_beams=4)
    one, two = (translate.given(t, **options).best(3, num_beams=4) for t in ALONE[:2])
    sums = sorted((a.nats + b.nats for a in one for b in two), reverse=True)[:3]
    assert [b.nats for b in found] == pytest.approx(sums)
    assert found[0].value == f"{one[0].value.strip()} {two[0].value.strip()}"
    ranked = {"num_beams": 4, "length_penalty": 1.0}
    found = translate.given(text, **options).best(3, **ranked)
    one, two = (translate.given(t, **options).best(3, **ranked) for t in ALONE[:2])
    assert found[0].value == f"{one[0].value.strip()} {two[0].value.strip()}"
    assert found[0].nats == pytest.approx(one[0].nats + two[0].nats)


def test_a_stream_ends_as_the_sample_does(translate: Pipeline) -> None:
    grown = list(translate.given([LONG, ALONE[0]], max_new_tokens=5).stream(seed=3))
    assert grown[-1] == translate([LONG, ALONE[0]], seed=3, max_new_tokens=5)
    assert len(grown) > 10
    alone = list(translate.given(LONG, max_new_tokens=5).stream(seed=3))
    assert alone[-1] == grown[-1][0]


def test_what_is_said_besides_belongs_to_every_sentence(translate: Pipeline) -> None:
    parted = translate.encoder.parted(
        ">>fra<< A cat. *** \nA dog.", split="sentences", glossary=None
    )
    assert [v["text"] for v in parted.values] == [">>fra<< A cat.", ">>fra<< A dog."]
    assert parted.join(["Un chat.", "Un chien."]) == "Un chat. *** \nUn chien."
    assert parted.join(["Un chat."]) == "Un chat. ***"
    assert translate.encoder.parted("One alone.", split="sentences", glossary=None) is None


def test_other_models_answer_a_text_as_a_whole(t5: Path) -> None:
    pipe = Pipeline.from_pretrained(t5)
    split = {o.name: o for o in pipe.options()}["split"]
    assert (split.default, split.choices) == ("never", ("sentences", "never"))
    parts = pipe([f"{t}" for t in ALONE], **GREEDY)
    found = pipe(LONG, split="sentences", **GREEDY)
    assert found == "{} {}\n\n{}".format(*(p.strip() for p in parts))


def test_what_has_no_meaning_for_parts(translate: Pipeline) -> None:
    with pytest.raises(SpecError, match="nothing is known of the whole"):
        translate.given(LONG, known="A cat", mask="0:2")
    with pytest.raises(ValueError, match="num_samples is at least 1"):
        translate.given(LONG).sample(0)
    with pytest.raises(SpecError, match="no previews"):
        translate.given(LONG).sample(preview=print)
    with pytest.raises(ValueError, match="Expected 1 values"):
        translate.given([LONG]).log_prob(["A.", "B."])
