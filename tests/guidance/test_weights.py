"""A weight for each part of a condition, in guidance of both kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mmgen.conditioning import condition
from mmgen.core.errors import OptionError, UnknownNameError
from mmgen.core.options import resolve_options
from mmgen.core.rng import Generators
from mmgen.guidance.contrast import Contrast
from mmgen.pipeline import Pipeline

Y = {"label": "cat", "properties": {"mass": 1.0}}
LABELS = {"label": ["cat", "dog"], "properties": ["mass"]}


def _pipe(x: str, family: str, y: Any = ("label", "properties")) -> Pipeline:
    torch.manual_seed(0)
    pipe = Pipeline.compose(
        x=x,
        y=y if isinstance(y, str) else list(y),
        family=family,
        size="debug",
        labels=LABELS[y] if isinstance(y, str) else LABELS,
    )
    rng = np.random.default_rng(0)
    if x == "image":
        values = list(rng.integers(0, 256, (8, 16, 16, 3), np.uint8))
    else:
        values = ["some text", "another", "and more of it"]
    rows = [{"label": "cat", "properties": {"mass": float(m)}} for m in range(len(values))]
    conditions = ["cat"] * len(values) if isinstance(y, str) else rows
    pipe.fit_statistics(list(zip(conditions, values, strict=True)))
    with torch.no_grad():
        for parameter in pipe.parts.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return pipe


def _latent(pipe: Pipeline, y: Any, **options: Any) -> torch.Tensor:
    return pipe.given(y, **options).conditional.sample(1, Generators([[3]])).z[0, 0]


FAMILIES = [("image", "diffusion"), ("text", "autoregressive"), ("text", "masked")]


def test_the_combination_is_that_of_the_formula() -> None:
    pipe = _pipe("image", "diffusion")
    settings = resolve_options(pipe.options(), {"weights": {"label": 3.0, "properties": 0.5}})
    c = condition(pipe.encoder, pipe.model, [Y], settings)
    x = torch.randn(4, 5)
    combined, given = Contrast(2.0).combine(x, c)
    wanted = x[1] + 2 * (x[0] - x[1]) + 2 * 2 * (x[0] - x[2]) + 2 * -0.5 * (x[0] - x[3])
    assert torch.allclose(combined[0], wanted) and torch.equal(given[0], x[0])


@pytest.mark.parametrize(("x", "family"), FAMILIES)
def test_weights_of_1_change_nothing_and_others_do(x: str, family: str) -> None:
    pipe = _pipe(x, family)
    plain = _latent(pipe, Y)
    assert torch.equal(_latent(pipe, Y, weights={"label": 1, "properties": 1.0}), plain)
    assert not torch.equal(_latent(pipe, Y, weights={"label": 8.0}), plain)
    other = _latent(pipe, Y, weights={"properties": 8.0})
    assert not torch.equal(other, _latent(pipe, Y, weights={"label": 8.0}))


def test_a_weight_on_the_only_part_given_is_a_factor_of_the_scale() -> None:
    pipe = _pipe("image", "diffusion")
    y = {"label": "cat"}
    scaled = _latent(pipe, y, guidance_scale=4.0)
    weighted = _latent(pipe, y, guidance_scale=2.0, weights={"label": 2.0})
    assert (scaled - weighted).abs().max() < 1e-4


def test_a_part_that_is_not_given_has_no_influence_to_weigh() -> None:
    pipe = _pipe("image", "diffusion")
    y = {"label": "cat"}
    plain = _latent(pipe, y, guidance_scale=2.0)
    assert (
        _latent(pipe, y, guidance_scale=2.0, weights={"properties": 5.0}) - plain
    ).abs().max() < 1e-5


@pytest.mark.parametrize(("x", "family"), FAMILIES)
def test_each_of_a_batch_equals_itself_alone(x: str, family: str) -> None:
    pipe = _pipe(x, family)
    ys = [Y, {"label": "dog"}, None]
    options = {"guidance_scale": 2.0, "weights": {"label": 3.0}}
    batch = pipe.given(ys, **options).conditional.sample(1, Generators([[5, 6, 7]])).z[0]
    for i, y in enumerate(ys):
        alone = pipe.given(y, **options).conditional.sample(1, Generators([[5 + i]])).z[0, 0]
        assert (alone.double() - batch[i, : len(alone)].double()).abs().max() < 1e-5


def test_densities_know_nothing_of_weights() -> None:
    pipe = _pipe("text", "autoregressive")
    plain = pipe.given(Y).log_prob("some text")
    assert torch.equal(plain.nats, pipe.given(Y, weights={"label": 5.0}).log_prob("some text").nats)


def test_weights_that_make_no_sense_are_refused() -> None:
    pipe = _pipe("image", "diffusion")
    with pytest.raises(UnknownNameError, match="Did you mean 'label'"):
        pipe(Y, weights={"lable": 2.0})
    for bad in (-1.0, float("nan"), float("inf"), "2", True):
        with pytest.raises(ValueError, match="A weight is a number from 0 up; 'label'"):
            pipe(Y, weights={"label": bad})
    with pytest.raises(TypeError, match="weights is dict"):
        pipe(Y, weights=2.0)
    with pytest.raises(OptionError, match="weights"):
        _pipe("image", "diffusion", y="label")("cat", weights={"label": 2.0})
