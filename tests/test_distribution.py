"""What a distribution over values offers beside samples: streams and the likeliest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmgen.core.errors import SpecError
from mmgen.pipeline import Pipeline

WORDS = ["aba", "bab", "abba", "baab"]


@pytest.fixture(scope="module")
def text_pipe() -> Pipeline:
    torch.manual_seed(0)
    pipe = Pipeline.compose(
        x="text", y="label", family="autoregressive", size="debug", labels=["odd", "even"]
    )
    pipe.fit_statistics([(("odd", "even")[i % 2], word) for i, word in enumerate(WORDS)])
    with torch.no_grad():
        for parameter in pipe.parts.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        # Ends early, so that a few tokens are all there is.
        pipe.model.model.network.out.bias[-1] += 3.0
    return pipe


def test_a_stream_grows_to_the_sample(text_pipe: Pipeline) -> None:
    dist = text_pipe.given("odd")
    grown = list(dist.stream(seed=5))
    assert grown[-1] == dist.sample(seed=5)[0]
    lengths = [len(text.encode("utf-8", "replace")) for text in grown]
    assert lengths == sorted(lengths)


def test_several_conditions_grow_together(text_pipe: Pipeline) -> None:
    dist = text_pipe.given(["odd", "even"])
    last = list(dist.stream(seed=5))[-1]
    assert last == [rows[0] for rows in dist.sample(seed=5)]


def test_a_known_beginning_is_there_from_the_start(text_pipe: Pipeline) -> None:
    known = WORDS[2]
    prepared = text_pipe.codec.prepare([known])
    shape = next(v for v in prepared.values() if v.ndim == 2).shape[1:]
    mask = np.arange(shape[0]) < 2
    dist = text_pipe.given("odd", known=known, mask=mask)
    assert all(text.startswith(known[:2]) for text in dist.stream(seed=0))


def test_the_best_come_first_with_their_log_prob(text_pipe: Pipeline) -> None:
    dist = text_pipe.given("odd")
    found = dist.best(3, num_beams=8)
    assert [s.nats for s in found] == sorted((s.nats for s in found), reverse=True)
    assert len({s.value for s in found}) == 3
    for value, nats in found:
        if value and "\ufffd" not in value:
            assert abs(float(dist.log_prob(value).nats[0]) - nats) < 1e-3
    rows = text_pipe.given(["odd", "even"]).best(2)
    assert len(rows) == 2 and abs(rows[0][0].nats - dist.best(2)[0].nats) < 1e-4


def test_a_beam_too_narrow_is_refused(text_pipe: Pipeline) -> None:
    assert len(text_pipe.given("odd").best(6)) == 6
    with pytest.raises(ValueError, match="Widen the beam"):
        text_pipe.given("odd").best(3, num_beams=2)
    with pytest.raises(ValueError, match="length_penalty lies between 0 and 10, got -1"):
        text_pipe.given("odd").best(length_penalty=-1)


def test_a_family_without_order_says_so(pixels_pipe: Pipeline) -> None:
    dist = pixels_pipe.given("a green star")
    with pytest.raises(SpecError, match="come at once"):
        next(dist.stream())
    with pytest.raises(SpecError, match="rank samples by log_prob"):
        dist.best()


def test_images_of_codes_stream_and_end_as_the_sample(scenes_pipe: Pipeline) -> None:
    dist = scenes_pipe.given("a red circle", unknown_words="allow")
    *_, last = dist.stream(seed=2)
    assert np.array_equal(np.asarray(last), np.asarray(dist.sample(seed=2)[0]))
