"""Pipelines by the names of their parts: each X and Y there is, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError, UnknownNameError
from mmgen.modalities.audio import GriffinLim
from mmgen.pipeline import Pipeline

LABELS = ["cat", "dog"]
CONDITIONS = {
    "nothing": (None, [None, None]),
    "text": ("text", ["a red square", "a blue square"]),
    "label": ("label", ["cat", 1]),
    "image": ("image", [np.zeros((16, 16, 3), np.uint8), None]),
    "several": (["text", "label"], [{"text": "a red square", "label": "dog"}, "a blue square"]),
}
IMAGES = list(np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8))


@pytest.fixture(params=CONDITIONS, scope="module")
def composed(request: pytest.FixtureRequest) -> tuple[Pipeline, list]:
    y, values = CONDITIONS[request.param]
    torch.manual_seed(0)
    pipe = Pipeline.compose(x="image", y=y, family="diffusion", size="debug", labels=LABELS)
    pipe.fit_statistics(list(zip(values, IMAGES, strict=True)))
    with torch.no_grad():
        for parameter in pipe.parts.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return pipe, values


def test_every_parameter_gets_a_gradient(composed: tuple[Pipeline, list]) -> None:
    pipe, values = composed
    tensors = pipe.prepare(list(zip(values, IMAGES, strict=True)))
    loss = pipe.loss(tensors, condition_dropout=0.0).sum()
    loss = loss + pipe.loss(tensors, condition_dropout=1.0).sum()
    pipe.parts.zero_grad()
    loss.backward()
    silent = [n for n, p in pipe.parts.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_the_loss_falls(composed: tuple[Pipeline, list]) -> None:
    pipe, values = composed
    tensors = pipe.prepare(list(zip(values, IMAGES, strict=True)))
    optimizer = torch.optim.Adam(pipe.parts.parameters(), lr=3e-3)
    losses = []
    for _ in range(20):
        generator = torch.Generator().manual_seed(0)
        loss = pipe.loss(tensors, generator=generator, condition_dropout=0.0).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_save_and_load_give_equal_samples(composed: tuple[Pipeline, list], tmp_path: Path) -> None:
    pipe, values = composed
    loaded = Pipeline.from_pretrained(pipe.save_pretrained(tmp_path / "p"))
    for y in values:
        assert np.array_equal(pipe(y, seed=1), loaded(y, seed=1))


def test_log_prob_is_finite(composed: tuple[Pipeline, list]) -> None:
    pipe, values = composed
    dist = pipe.given(values, likelihood="bound", num_bound_draws=4)
    found = dist.log_prob(IMAGES)
    assert found.nats.shape == (2,) and torch.isfinite(found.nats).all()


def test_a_missing_part_is_the_null_of_that_part() -> None:
    torch.manual_seed(0)
    pipe = Pipeline.compose(
        x="image", y=["text", "label"], family="diffusion", size="debug", labels=LABELS
    )
    pipe.encoder.fit(["a red square", {"text": "a blue square", "label": "cat"}])

    def condition(*values: object) -> Condition:
        return pipe.encoder.encode(pipe.encoder.prepare(values))

    bare, named = condition("a red square", {"text": "a red square", "label": None}).tokens
    assert torch.equal(bare, named)
    with_label = condition({"text": "a red square", "label": "dog"}).tokens[0]
    assert not torch.equal(bare, with_label)
    assert condition({"label": "dog"}).mask.sum() == 2


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"x": "imagee"}, UnknownNameError, "Did you mean 'image'"),
        ({"x": "label"}, SpecError, "continuous"),
        ({"y": "imag"}, UnknownNameError, "Did you mean 'image'"),
        ({"y": "label", "labels": []}, SpecError, "needs its class names"),
        ({"y": "label", "labels": "cat"}, SpecError, "needs its class names"),
        ({"y": "properties", "labels": []}, SpecError, "needs its property names"),
        ({"y": ["label", "properties"]}, SpecError, "both need names"),
        ({"y": "label", "labels": {"label": LABELS, "text": ["a"]}}, SpecError, "names 'text'"),
        ({"y": "label", "labels": {}}, SpecError, "needs its class names"),
        ({"codec": "pixel"}, UnknownNameError, "No codec 'pixel' of image. Did you mean 'pixels'"),
        ({"codec": "image-to-text:scenes"}, UnknownNameError, "'text-to-image:scenes'"),
        ({"codec": "codes"}, SpecError, "a family for tokens: autoregressive, masked"),
        ({"family": "difusion"}, UnknownNameError, "Did you mean 'diffusion'"),
        ({"size": "huge"}, UnknownNameError, "No size 'huge'"),
        ({"flavour": "x"}, TypeError, "flavour"),
    ],
)
def test_what_does_not_fit_is_refused(choices: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        Pipeline.compose(
            **({"x": "image", "y": "text", "family": "diffusion", "labels": LABELS} | choices)
        )


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        ("bird", ValueError, "No class 'bird'"),
        (2, ValueError, "lies in 0 to 1"),
        (-1, ValueError, "lies in 0 to 1"),
        (True, TypeError, "class name or its index"),
        (0.5, TypeError, "class name or its index"),
    ],
)
def test_bad_labels_are_refused(y: object, error: type, message: str) -> None:
    pipe = Pipeline.compose(x="image", y="label", family="diffusion", size="debug", labels=LABELS)
    with pytest.raises(error, match=message):
        pipe.given(y)


def test_a_codec_comes_with_what_it_has_learnt(tmp_path: Path) -> None:
    choices = {"x": "image", "family": "diffusion", "codec": "text-to-image:emoji"}
    pipe = Pipeline.compose(size="debug", **choices)
    shipped = Pipeline.from_pretrained("text-to-image:emoji").codec
    assert pipe.codec.spec == shipped.spec
    # Its statistics are those of the pairs that it shall learn.
    assert shipped.fitted and not pipe.codec.fitted
    pipe.codec.load_state_dict(shipped.state_dict())
    loaded = Pipeline.from_pretrained(pipe.save_pretrained(tmp_path / "p"))
    assert torch.equal(loaded.codec.mean, shipped.mean)


def test_sounds_come_by_the_vocoder_that_is_shipped() -> None:
    pipe = Pipeline.compose(x="audio", family="diffusion", size="small")
    shipped = Pipeline.from_pretrained("text-to-audio:speech").codec
    assert not pipe.codec.fitted and pipe.codec.spec == shipped.spec
    for name, tensor in shipped.vocoder.state_dict().items():
        assert torch.equal(pipe.codec.vocoder.state_dict()[name], tensor), name
    plain = Pipeline.compose(x="audio", family="diffusion", size="small", codec="log_mel")
    assert isinstance(plain.codec.vocoder, GriffinLim)


def test_learnt_weights_are_kept() -> None:
    pipe = Pipeline.compose(
        x="image", family="autoregressive", size="debug", codec="text-to-image:scenes"
    )
    shipped = Pipeline.from_pretrained("text-to-image:scenes").codec
    for name, tensor in shipped.state_dict().items():
        assert torch.equal(pipe.codec.state_dict()[name], tensor), name


def test_names_of_several_modalities_go_each_to_its_own() -> None:
    pipe = Pipeline.compose(
        x="image",
        y=["label", "properties"],
        family="diffusion",
        size="debug",
        labels={"label": LABELS, "properties": ["mass [g]", "ratio"]},
    )
    assert pipe.encoder.parts["label"].names == ("cat", "dog")
    assert pipe.encoder.parts["properties"].names == ("mass", "ratio")
    assert pipe.encoder.parts["properties"].units == ("g", "")


def test_a_part_that_is_none_of_the_condition_is_refused() -> None:
    pipe = Pipeline.compose(
        x="image", y=["text", "label"], family="diffusion", size="debug", labels=LABELS
    )
    with pytest.raises(UnknownNameError, match="Did you mean 'label'"):
        pipe.given({"lable": "cat"})
