"""What is asked of checkpoints besides samples: Bayes' rule, ranking, chains, searches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from backends import tiny_readers

from mmgen import Pipeline
from mmgen.inference import classify, rerank

SENTENCES = ["A Red cat sat.", "A blue cat sat on the left.", "number 3"]


@pytest.fixture(scope="module")
def translate(marian: Path) -> Pipeline:
    return Pipeline.from_pretrained(marian)


@pytest.fixture(scope="module")
def write(gpt2: Path) -> Pipeline:
    return Pipeline.from_pretrained(gpt2)


@pytest.fixture(scope="module")
def hear(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return Pipeline.from_pretrained(tiny_readers.whisper(tmp_path_factory.mktemp("whisper")))


@pytest.fixture(scope="module")
def caption(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    folder = tiny_readers.vision_encoder_decoder(tmp_path_factory.mktemp("captioner"))
    return Pipeline.from_pretrained(folder)


def _sounds() -> list[tuple[np.ndarray, int]]:
    time = np.arange(8000) / 16000
    return [(np.sin(2 * np.pi * f * time).astype(np.float32) / 2, 16000) for f in (220, 900)]


def _pictures() -> list[np.ndarray]:
    return [np.full((16, 16, 3), v, np.uint8) for v in (20, 230)]


@pytest.mark.parametrize("name", ["translate", "write", "hear", "caption"])
def test_bayes_rule_is_a_softmax_of_scores(name: str, request: pytest.FixtureRequest) -> None:
    pipe = request.getfixturevalue(name)
    candidates = {"hear": _sounds(), "caption": _pictures()}.get(name, SENTENCES)
    found = classify(pipe, " blue cat.", candidates=candidates)
    scores = torch.stack([pipe.given(y).log_prob(" blue cat.").nats[0] for y in candidates])
    np.testing.assert_allclose(found.probability, scores.double().softmax(0), atol=1e-6)


def test_candidates_are_ranked_by_a_noisy_channel(translate: Pipeline, write: Pipeline) -> None:
    y, candidates = "A Red cat.", ["blue", "A blue cat.", "number 3 sat"]
    ranked = rerank(translate, y, candidates, channel=translate, prior=write, weight=(0.5, 0.25))
    expected = {
        x: float(translate.given(y).log_prob(x).nats)
        + 0.5 * float(translate.given(x).log_prob(y).nats)
        + 0.25 * float(write.given(None).log_prob(x).nats)
        for x in candidates
    }
    assert [r.value for r in ranked] == sorted(candidates, key=expected.get, reverse=True)
    for one in ranked:
        assert one.score == pytest.approx(expected[one.value], abs=1e-3)


@pytest.mark.parametrize("name", ["translate", "hear", "caption"])
def test_a_chain_goes_on_with_what_the_first_writes(
    name: str, translate: Pipeline, request: pytest.FixtureRequest
) -> None:
    first = request.getfixturevalue(name)
    y = {"hear": _sounds()[0], "caption": _pictures()[0]}.get(name, SENTENCES[1])
    greedy = {"temperature": 0.0, "max_new_tokens": 8}
    own = {f"stage{n}_{key}": value for n in (1, 2) for key, value in greedy.items()}
    between = first(y, **greedy)
    chain = first >> translate
    assert between.strip() and chain(y, **own) == translate(between, **greedy)
    assert chain([y, y], seed=[3, 4], **own) == [translate(between, **greedy)] * 2
    # All that lies between is one text here, so that the average is over one.
    found = chain.given(y, **own, num_chain_draws=2).log_prob("A cat.")
    alone = translate.given(between).log_prob("A cat.")
    assert float(found.nats) == pytest.approx(float(alone.nats), abs=1e-4)


def test_chains_of_checkpoints_and_pipelines_of_mmgen(
    translate: Pipeline, caption: Pipeline
) -> None:
    paint = Pipeline.compose(x="image", y="text", family="diffusion", size="debug")
    paint.encoder.fit(SENTENCES)
    greedy = {"temperature": 0.0, "max_new_tokens": 8}
    image = (translate >> paint)(SENTENCES[1], seed=5, unknown_words="allow", **greedy)
    assert image.size == paint("a", seed=0).size
    told = (paint >> caption)("a red circle", seed=5, unknown_words="allow", **greedy)
    assert isinstance(told, str)
    again = (paint >> caption)(
        ["a star", "a red circle"], seed=[1, 5], unknown_words="allow", **greedy
    )
    assert again[1] == told
