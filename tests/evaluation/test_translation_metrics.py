"""BLEU, chrF and perplexity: known answers, the reference library, bad inputs."""

from __future__ import annotations

import json
import math

import pytest

from mmgen.evaluation.metrics.perplexity import perplexities
from mmgen.evaluation.metrics.translation import translation_scores

SAID = ["The cat sat on the mat today.", "I do not know what you are saying."]
MEANT = ["The cat sat on a mat today.", "I don't know what you are talking about."]


def test_scores_are_those_of_the_reference_library() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    found = translation_scores(SAID, MEANT)
    for name in ("bleu", "chrf"):
        score = getattr(sacrebleu, f"corpus_{name}")(SAID, [MEANT]).score
        assert found[name]["score"] == round(score, 2)
        assert 0 < found[name]["low"] <= found[name]["high"]
        assert "version:" in found[name]["signature"] and found[name]["count"] == 2
    assert "tok:13a" in found["bleu"]["signature"]
    assert "nc:6" in found["chrf"]["signature"]


def test_the_same_text_scores_a_hundred() -> None:
    pytest.importorskip("sacrebleu")
    found = translation_scores(MEANT, MEANT)
    assert json.loads(json.dumps(found)) == found
    assert found["bleu"]["score"] == found["chrf"]["score"] == 100


def test_translations_without_references_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 translations and 1 references"):
        translation_scores(SAID, MEANT[:1])
    with pytest.raises(ValueError, match="two translations or more"):
        translation_scores([], [])


def test_perplexity_of_a_coin() -> None:
    # Three tokens of one bit each, in two texts of one and two bytes.
    found = perplexities([-math.log(2), -2 * math.log(2)], ["a", "é"], [1, 2])
    assert found == {"per_token": 2.0, "per_byte": 2.0, "bits_per_byte": 1.0}
    found = perplexities([-8 * math.log(2)], ["abcd"], [2])
    assert found == {"per_token": 16.0, "per_byte": 4.0, "bits_per_byte": 2.0}


@pytest.mark.parametrize(
    ("nats", "texts", "tokens", "message"),
    [
        ([], [], [], "one text or more"),
        ([-1.0], ["a", "b"], [1], "got 1, 1 and 2 texts"),
        ([-math.inf], ["a"], [1], "finite log p"),
        ([-1.0], [""], [1], "say something"),
    ],
)
def test_what_has_no_perplexity_is_refused(
    nats: list[float], texts: list[str], tokens: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        perplexities(nats, texts, tokens)
