"""Samples chosen from candidates by a reader of the other direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mmgen.adapter import Adapter
from mmgen.core.errors import OptionError, SpecError, UnknownNameError
from mmgen.pipeline import Pipeline
from mmgen.ranked import Ranking
from mmgen.training import fit

Y = np.array([0.5], np.float32)
CANDIDATES = 5


@pytest.fixture
def ranked(linear: Callable[..., Pipeline]) -> Pipeline:
    """X = 2 (y + eps), chosen by a reader that takes y for about x / 2."""
    pipe = linear([[1.0]], [0.0], 1.0)
    pipe.ranking = Ranking(linear([[0.25]], [0.0], 0.1), num_candidates=CANDIDATES)
    return pipe


def _errors(samples: list[np.ndarray]) -> np.ndarray:
    return np.array([float(x[0]) / 2 - 0.5 for x in samples])


@pytest.mark.parametrize("reach", [0.1, 0.3, 0.6])
def test_the_kept_one_is_the_closest_of_so_many(ranked: Pipeline, reach: float) -> None:
    # All of K standard normal errors are beyond it with the K-th power of the chance of one.
    beyond = 1 - math.erf(reach / math.sqrt(2))
    count = 800
    for option, expected in (({}, beyond**CANDIDATES), ({"num_candidates": 1}, beyond)):
        errors = np.abs(_errors(ranked(Y, num_samples=count, seed=0, **option)))
        spread = math.sqrt(expected * (1 - expected) / count)
        assert abs((errors > reach).mean() - expected) < 3.5 * spread


def test_the_first_candidate_is_the_sample_of_the_seed(ranked: Pipeline) -> None:
    for seed in range(20):
        alone = ranked(Y, seed=seed, num_candidates=1)
        best = ranked(Y, seed=seed)
        assert abs(_errors([best])[0]) <= abs(_errors([alone])[0]) + 1e-6


def test_samples_do_not_depend_on_their_batch(ranked: Pipeline) -> None:
    other = np.array([-2.0], np.float32)
    rows = ranked([Y, None, other], num_samples=2, seed=7)
    for b, y in enumerate((Y, None, other)):
        for n in range(2):
            alone = ranked(y, seed=7 + 2 * b + n)
            np.testing.assert_allclose(rows[b][n], alone, atol=1e-5)
    single = ranked([Y, other], seed=[3, 4])
    np.testing.assert_allclose(single[1], ranked(other, seed=4), atol=1e-5)


def test_without_a_condition_nothing_is_chosen(ranked: Pipeline) -> None:
    assert np.array_equal(ranked(seed=3), ranked(seed=3, num_candidates=1))


def test_densities_are_those_of_the_proposals(ranked: Pipeline) -> None:
    x = np.array([0.7], np.float32)
    found, plain = ranked.given(Y), ranked.given(Y, num_candidates=1)
    assert torch.equal(found.log_prob(x).nats, plain.log_prob(x).nats)
    one, other = found.summary(50, seed=1), plain.summary(50, seed=1)
    assert torch.equal(one.mean, other.mean)
    with pytest.raises(SpecError, match="num_candidates=1"):
        next(found.stream(seed=0))


def test_wrong_numbers_are_refused(ranked: Pipeline, linear: Callable[..., Pipeline]) -> None:
    with pytest.raises(ValueError, match="num_candidates"):
        ranked(Y, num_candidates=0)
    with pytest.raises(ValueError, match="at most 10000"):
        ranked(Y, num_samples=5000)
    with pytest.raises(OptionError, match="num_candidates"):
        linear([[1.0]], [0.0], 1.0)(Y, num_candidates=2)


def test_a_saved_name_is_looked_up_among_the_recipes_alone(tmp_path: Path) -> None:
    pipe = Pipeline.debug("text-to-image:scenes")
    assert pipe.ranking is None
    pipe.ranking = Ranking(str(tmp_path))
    with pytest.raises(UnknownNameError):
        pipe("a red circle", unknown_words="allow")


def test_what_learns_other_pairs_forgets_its_reader(tmp_path: Path) -> None:
    pipe = Pipeline.debug("text-to-image:scenes")
    pipe.ranking, pipe.choices["channel"] = Ranking("image-to-text:scenes"), "image-to-text:scenes"
    pipe.origin = "text-to-image:scenes"
    pairs = [("a red circle", np.zeros((16, 16, 3), np.uint8))] * 2
    fit(pipe, pairs, output=tmp_path, steps=1, batch_size=2, progress=False)
    assert pipe.ranking is None
    assert Pipeline.from_pretrained(tmp_path).ranking is None


def test_adapters_set_the_reader_aside_until_they_come_off(
    pixels_pipe: Pipeline, linear: Callable[..., Pipeline], tmp_path: Path
) -> None:
    pipe = Pipeline.from_pretrained(pixels_pipe.save_pretrained(tmp_path / "pipe"))
    ranking = pipe.ranking = Ranking(linear([[0.25]], [0.0], 0.1))
    choices = dict(pipe.choices)
    names = [n for n, p in pipe.parts.named_parameters() if n.startswith("model.") and p.ndim == 2]
    weight = dict(pipe.parts.named_parameters())[names[0]]
    factors = {names[0]: (torch.ones(1, weight.shape[1]), torch.ones(len(weight), 1))}
    folder = Adapter(None, factors, {}, None).save(tmp_path / "run" / "adapter")
    name = pipe.adapters.load(folder)
    assert pipe.ranking is None
    pipe.adapters.weigh({name: 0.5})
    assert pipe.ranking is None
    pipe.adapters.unload()
    assert pipe.ranking is ranking and pipe.choices == choices
    # What was forgotten by the way is not brought back.
    pipe.forget_ranking()
    pipe.adapters.unload()
    assert pipe.ranking is None
