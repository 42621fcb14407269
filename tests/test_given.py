"""What else is known of X: parts are held exactly, measurements are followed, nonsense refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rounding import same_but_for_rounding
from torch import Tensor, nn

from mmgen.core.codec import Codec, Lossless
from mmgen.core.condition import Condition
from mmgen.core.conditional import Conditional
from mmgen.core.errors import OptionError, SpecError, UnknownNameError
from mmgen.core.latent import Latent
from mmgen.core.nothing import Nothing
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.families import masked
from mmgen.families.diffusion import Diffusion
from mmgen.guidance.posterior import split_gibbs
from mmgen.modalities.image import Latents, Pixels
from mmgen.modalities.text import ByteText, SubwordText
from mmgen.operators import Blur, Compose, Downsample, Greyscale, Mask, Measurement, Radon
from mmgen.operators.radon import spread_angles
from mmgen.pipeline import Pipeline

SHARED, OWN = 0.8, 0.2


class _Gaussian(nn.Module):
    """The denoiser of z = sqrt(SHARED) m + sqrt(OWN) n, with one m for all entries."""

    condition = ConditionSpec()

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.tensor(OWN))

    def forward(self, z: Tensor, t: Tensor, c: Condition) -> Tensor:
        t = t.reshape(-1, *(1,) * (z.ndim - 1))
        alpha, num_dims = 1 - t, z[0].numel()
        mean = z.flatten(1).mean(1).reshape(t.shape)

        def gain(variance: Tensor) -> Tensor:
            return alpha * variance / (alpha**2 * variance + t**2)

        return gain(self.own) * (z - mean) + gain(self.own + num_dims * SHARED) * mean


class Numbers(Lossless):
    """Three numbers with a scale."""

    elementwise = True

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("std", torch.tensor([10.0, 1.0, 0.1]))

    @property
    def spec(self) -> Spec:
        return Spec("properties", "continuous", (3,))

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        return {"x": torch.tensor(values, dtype=torch.float32)}

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        return Latent(tensors["x"] / self.std)

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        return {"x": latent.z * self.std}

    def present(self, tensors: Mapping[str, Tensor]) -> list[list[float]]:
        return tensors["x"].tolist()

    def log_volume(self, tensors: Mapping[str, Tensor]) -> Tensor:
        return -self.std.log().sum().expand(len(tensors["x"]))


def _pipe(codec: Codec) -> Pipeline:
    model = Diffusion(_Gaussian(), spec=codec.spec, target="data", num_inference_steps=10)
    return Pipeline(encoder=Nothing(), model=model, codec=codec)


@pytest.fixture(scope="module")
def images() -> Pipeline:
    return _pipe(Pixels.debug())


@pytest.fixture(scope="module")
def numbers() -> Pipeline:
    return _pipe(Numbers())


def _image(seed: int) -> Image.Image:
    generator = np.random.default_rng(seed)
    return Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))


LEFT = np.arange(8)[None] < np.array([4] * 8)[:, None]


def test_known_pixels_are_kept_bit_for_bit(images: Pipeline) -> None:
    known = _image(0)
    found = images.given(known=known, mask=LEFT).sample(3, seed=0)
    for image in found:
        array = np.asarray(image)
        assert np.array_equal(array[LEFT], np.asarray(known)[LEFT])
        assert not np.array_equal(array[~LEFT], np.asarray(known)[~LEFT])
    assert not np.array_equal(found[0], found[1])
    # What the mask leaves out has no influence.
    other = np.where(LEFT[..., None], np.asarray(known), 7).astype(np.uint8)
    again = images.given(known=Image.fromarray(other), mask=torch.as_tensor(LEFT)).sample(3, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


def test_lists_have_their_own_parts(images: Pipeline) -> None:
    known, masks = [_image(1), _image(2)], [LEFT, Image.fromarray(~LEFT)]
    rows = images.given([None, None], known=known, mask=masks).sample(2, seed=0)
    for row, value, mask in zip(rows, known, (LEFT, ~LEFT), strict=True):
        for image in row:
            assert np.array_equal(np.asarray(image)[mask], np.asarray(value)[mask])
    one = images(known=known[0], mask=LEFT, seed=0)
    assert same_but_for_rounding(one, rows[0][0])


def test_a_mask_may_differ_between_channels(images: Pipeline) -> None:
    mask = torch.zeros(3, 8, 8, dtype=torch.bool)
    mask[1] = True
    found = np.asarray(images(known=_image(0), mask=mask, seed=0))
    same = (found == np.asarray(_image(0))).mean((0, 1))
    assert same[1] == 1 and same[0] < 0.1


def _texts(codec: Codec) -> Pipeline:
    model = masked.model(codec.spec, ConditionSpec(), "debug")
    return Pipeline(encoder=Nothing(), model=model, codec=codec)


@pytest.mark.parametrize(
    ("spans", "known"),
    [
        ("0:3", [1, 1, 1, 0, 0, 0]),
        (" 4 : 5 ", [0, 0, 0, 0, 1, 1]),
        ("2:", [0, 0, 1, 1, 1, 1]),
        (":1,3:4", [1, 0, 0, 1, 0, 0]),
        (":", [1] * 6),
    ],
)
def test_spans_are_of_the_characters_of_a_text(spans: str, known: list[int]) -> None:
    # The last of the five characters has two bytes.
    found = _texts(ByteText.debug()).given(known="Two \u00fc", mask=spans)
    assert found.known.mask[0].int().tolist() == known


def test_spans_keep_the_tokens_that_lie_within_them() -> None:
    pipe = _texts(SubwordText.debug())
    text = "A red square\u2019s side"
    ids = pipe.codec.prepare([text])["ids"][0]
    sizes = [len(pipe.codec.merges.decode([int(i)])) for i in ids[:4]]
    assert max(sizes) > 1
    for stop in range(1, sum(sizes) + 1):
        mask = pipe.given(known=text, mask=f"0:{stop}").known.mask[0]
        inside = [sum(sizes[: i + 1]) <= stop for i in range(4)]
        assert mask[:4].tolist() == inside and not mask[4:].any()
    assert pipe.given(known=text, mask=":").known.mask.all()


@pytest.mark.parametrize("spans", ["3", "3:2", "-1:2", "0:9", "a:b", "", "0:1,"])
def test_bad_spans(spans: str) -> None:
    with pytest.raises(ValueError, match="at most 4, the length of this text"):
        _texts(ByteText.debug()).given(known="blue", mask=spans)


def test_spans_are_of_texts_alone(numbers: Pipeline) -> None:
    with pytest.raises(SpecError, match="'0:1' are of the characters of a text"):
        numbers.given(known=[1.0, 2.0, 3.0], mask="0:1")


def test_known_numbers_are_kept_and_the_rest_follows_them(numbers: Pipeline) -> None:
    value = [12.3, 9.0, 9.0]
    dist = numbers.given(known=value, mask=[True, False, False], num_inference_steps=40)
    x = torch.tensor(dist.sample(2000, seed=0))
    assert torch.equal(x[:, 0], torch.full((2000,), 12.3))
    # z_1 given z_0 has the mean SHARED z_0 and the variance 1 - SHARED^2.
    assert abs(x[:, 1].mean() - SHARED * 1.23) < 0.05
    assert abs(x[:, 1].std() - (1 - SHARED**2) ** 0.5) < 0.05
    assert abs(x[:, 2].std() - 0.1 * (1 - SHARED**2) ** 0.5) < 0.005
    summary = dist.summary(200, level=0.5, seed=0)
    assert summary.std[0] < 1e-5 and abs(summary.mean[0] - 12.3) < 1e-4
    inside = (x[:, 1] > summary.low[1]) & (x[:, 1] < summary.high[1])
    assert abs(inside.float().mean() - 0.5) < 0.12


def test_summary_of_several_conditions(numbers: Pipeline) -> None:
    found = numbers.given([None, None]).summary(400, level=0.9, seed=0)
    assert found.mean.shape == found.std.shape == found.low.shape == found.high.shape == (2, 3)
    expected = torch.tensor([10.0, 1.0, 0.1])
    assert ((found.std / expected - 1).abs() < 0.12).all()
    assert ((found.high / (1.645 * expected) - 1).abs() < 0.2).all()
    assert found.level == 0.9 and found.num_samples == 400


OPERATORS = [
    Downsample(2),
    Greyscale(),
    Blur.gaussian(0.7),
    Radon(8, angles=spread_angles(4)),
    Mask(torch.as_tensor(LEFT)),
    Compose([Downsample(2), Greyscale()]),
]


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("posterior", ["mmps", "split_gibbs"])
def test_measurements_are_followed(images: Pipeline, operator: Any, posterior: str) -> None:
    # A draw of the prior itself, so that what is measured is likely.
    z = SHARED**0.5 * torch.randn(1) + OWN**0.5 * torch.randn(1, 3, 8, 8)
    noise = 0.05
    clean = operator.apply(images.codec.signal(Latent(z)))
    b = clean + noise * torch.randn(clean.shape)
    dist = images.given(operator=operator, measurement=b[0], noise=noise, posterior=posterior)
    x = images.codec.signal(dist.conditional.sample(4).flatten())
    off = (operator.apply(x) - b).square().mean().sqrt()
    assert off < 2.5 * noise, f"{off:.3f}"
    before = images.codec.signal(images.given().conditional.sample(4).flatten())
    assert off < 0.3 * (operator.apply(before) - b).square().mean().sqrt()


def test_the_summary_of_a_measured_value_is_its_posterior(numbers: Pipeline) -> None:
    only = Mask(torch.tensor([True, False, False]))
    b, noise = torch.tensor([15.0, 0.0, 0.0]), 5.0
    dist = numbers.given(operator=only, measurement=b, noise=noise, num_inference_steps=40)
    found = dist.summary(2000, seed=0)
    # Prior variance 100, noise 25.
    assert abs(found.mean[0] - 12.0) < 0.35
    assert abs(found.std[0] / 20**0.5 - 1) < 0.06
    assert abs(found.mean[1] - SHARED * 1.2) < 0.07


def test_measurements_go_through_latents_of_an_autoencoder() -> None:
    pipe = _pipe(Latents.debug())
    b = Downsample(4).apply(pipe.codec.signal(Latent(torch.randn(1, *pipe.codec.spec.shape))))
    for posterior in ("mmps", "split_gibbs"):
        given = {"operator": Downsample(4), "measurement": b[0].numpy(), "noise": 0.1}
        given["num_inference_steps"] = 4
        assert isinstance(pipe(**given, posterior=posterior, seed=0), Image.Image)


def test_known_parts_go_through_latents_of_an_autoencoder() -> None:
    pipe = _pipe(Latents.debug())
    # One that the autoencoder can make.
    made = Latent(
        torch.randn(1, *pipe.codec.spec.shape, generator=torch.Generator().manual_seed(0))
    )
    (image,) = pipe.codec.present(pipe.codec.decode(made))
    dist = pipe.given(known=image, mask=LEFT, num_inference_steps=6)
    one, other = (np.asarray(x) for x in dist.sample(2, seed=0))
    assert (one[LEFT] == np.asarray(image)[LEFT]).all() and (one[~LEFT] != other[~LEFT]).any()
    # What is known is known to the latents, too, not only painted over them.
    free = pipe.given(num_inference_steps=6)
    seen, unseen = (pipe.codec.signal(d.latents(8, seed=0))[:, :, LEFT] for d in (dist, free))
    target = torch.from_numpy(np.asarray(image)[LEFT].copy()).mT / 127.5 - 1
    assert (seen - target).square().mean() < 0.2 * (unseen - target).square().mean()
    with pytest.raises(SpecError, match="Expected a mask of shape"):
        pipe.given(known=image, mask=np.ones((3, 3), dtype=bool))


def test_a_function_can_be_the_posterior_and_other_objects_the_operator(images: Pipeline) -> None:
    class Physics:
        def A(self, x: Tensor) -> Tensor:
            return x[:, :1]

        def A_adjoint(self, y: Tensor) -> Tensor:
            return torch.cat((y, torch.zeros_like(y).expand(-1, 2, -1, -1)), dim=1)

    def quick(conditional: Conditional, measurement: Measurement) -> Conditional:
        return split_gibbs(conditional, measurement, num_iterations=2)

    b = torch.zeros(1, 8, 8)
    given = {"operator": Physics(), "measurement": b, "noise": 0.1}
    assert isinstance(images(**given, posterior=quick, seed=0), Image.Image)
    seen: list[tuple[int, int]] = []
    images(**given, posterior=quick, seed=0, progress=lambda *a: seen.append(a))
    assert seen == [(1, 2), (2, 2)]


RIGHT = {"operator": Downsample(2), "measurement": torch.zeros(3, 4, 4), "noise": 0.1}
BAD = [
    ({"known": _image(0)}, ValueError, "known came without mask"),
    ({"mask": LEFT}, ValueError, "mask came without known"),
    ({"known": _image(0), "mask": LEFT[:4]}, SpecError, r"shape \(3, 8, 8\), or.*got \(4, 8\)"),
    ({"known": _image(0), "mask": LEFT * 255}, TypeError, "A mask is boolean.*got torch.int64"),
    ({"known": 3, "mask": LEFT}, TypeError, "."),
    ({"operator": Downsample(2)}, ValueError, "operator came without measurement and noise"),
    ({**RIGHT, "noise": None}, ValueError, "operator and measurement came without noise"),
    ({**RIGHT, "noise": -1.0}, ValueError, "from 0 on; got -1.0"),
    ({**RIGHT, "noise": float("nan")}, ValueError, "from 0 on; got nan"),
    ({**RIGHT, "noise": "low"}, TypeError, "noise is a number, got str"),
    ({**RIGHT, "measurement": torch.full((3, 4, 4), torch.nan)}, ValueError, "NaN or infinity"),
    ({**RIGHT, "measurement": torch.zeros(1, 8, 8)}, SpecError, r"\(3, 4, 4\) of a value.*8, 8"),
    ({**RIGHT, "measurement": "blurred"}, TypeError, "array of numbers"),
    ({**RIGHT, "operator": Radon(16, angles=[0.0])}, SpecError, "cannot be applied to values"),
    ({**RIGHT, "operator": torch.eye(3)}, TypeError, "methods A and A_adjoint; got Tensor"),
    ({**RIGHT, "posterior": "mmpss"}, UnknownNameError, "Did you mean 'mmps'"),
    ({"posterior": "mmps"}, ValueError, "give operator, too"),
    ({**RIGHT, "known": _image(0), "mask": LEFT}, ValueError, "not both"),
    ({"y": [None, None], "known": [_image(0)], "mask": [LEFT]}, ValueError, "Expected 2 known"),
    ({"y": [None], **RIGHT, "measurement": torch.zeros(2, 3, 4, 4)}, ValueError, "Expected 1 meas"),
    ({"knwon": 1}, OptionError, "knwon"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD)
def test_bad_input(images: Pipeline, arguments: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        images.given(**arguments)


def test_bad_summaries(images: Pipeline) -> None:
    with pytest.raises(ValueError, match="two samples or more, got 1"):
        images.given().summary(1)
    with pytest.raises(ValueError, match="level lies between 0 and 1, got 1.0"):
        images.given().summary(2, level=1.0)
