"""Images as the levels of their pixels, and what is exact about them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from mmgen import Pipeline
from mmgen.core.errors import SpecError
from mmgen.core.nothing import Nothing
from mmgen.families import masked
from mmgen.families.autoregressive import Autoregressive
from mmgen.modalities.image import PixelTokens
from mmgen.nn.causal_grid import CausalGridNetwork


def _pipeline(channels: int = 1) -> Pipeline:
    torch.manual_seed(0)
    codec = PixelTokens(4, channels=channels)
    network = CausalGridNetwork(
        257, num_outputs=256, row=codec.row, dim=16, depth=2, condition=Nothing().spec
    )
    model = Autoregressive(network, spec=codec.spec)
    return Pipeline(encoder=Nothing(), model=model, codec=codec)


def _image(channels: int, seed: int = 0) -> np.ndarray:
    levels = np.random.default_rng(seed).integers(0, 256, (4, 4, channels), dtype=np.uint8)
    return np.repeat(levels, 3 // channels, axis=2)


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_is_lost(channels: int) -> None:
    codec, image = PixelTokens(4, channels=channels), _image(channels)
    latent = codec.encode(codec.prepare([image]))
    assert latent.z.shape == (1, 16 * channels) == (1, *codec.spec.shape)
    assert latent.z[0, : 2 * channels].tolist() == image[0, :2, :channels].flatten().tolist()
    assert (np.array(codec.present(codec.decode(latent))[0]) == image).all()


def test_probabilities_of_all_levels_of_a_pixel_sum_to_one() -> None:
    pipe, image = _pipeline(), _image(1)
    images = np.repeat(image[None], 256, axis=0)
    images[:, 3, 3] = np.arange(256)[:, None]
    others = pipe.given([None] * 256).log_prob(list(images))
    assert others.kind == "exact"
    last = others.nats - torch.logsumexp(others.nats, 0)
    network = pipe.model.network
    ids = torch.tensor([[256, *image[..., 0].flatten()[:-1].tolist()]])
    c = pipe.encoder.encode(pipe.encoder.prepare([None]))
    expected = network(ids, c)[0, -1].log_softmax(0)
    assert (last - expected).abs().max() < 1e-4
    assert int(others.num_dims[0]) == 16
    assert float(others.bits_per_dim.mean()) * 16 * math.log(2) == pytest.approx(
        -float(others.nats.mean()), rel=1e-5
    )


@pytest.mark.parametrize("shape", [(4, 4), (3, 4, 4)])
def test_known_pixels_are_kept(shape: tuple[int, ...]) -> None:
    pipe, image = _pipeline(3), _image(3)
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    given = pipe.given(None, known=image, mask=np.broadcast_to(mask, shape))
    found = np.array(given.sample(seed=0)[0])
    assert (found[mask] == image[mask]).all() and (found[~mask] != image[~mask]).any()


def test_any_pixels_may_be_known_to_the_masked_family() -> None:
    codec, image = PixelTokens.debug(), _image(1)
    model = masked.model(codec.spec, Nothing().spec, "debug")
    pipe = Pipeline(encoder=Nothing(), model=model, codec=codec)
    mask = np.random.default_rng(1).random((4, 4)) < 0.5
    found = np.array(pipe.given(None, known=image, mask=mask).sample(seed=0)[0])
    assert (found[mask] == image[mask]).all() and (found[~mask] != image[~mask]).any()


def test_bad_input_is_told() -> None:
    codec = PixelTokens(4, channels=1)
    with pytest.raises(ValueError, match="image 1 of 2 has colours"):
        codec.prepare([_image(1), _image(3)])
    with pytest.raises(SpecError, match="1 channel, of greys, or 3, got 2"):
        PixelTokens(4, channels=2)
    with pytest.raises(SpecError, match=r"mask of shape \(1, 4, 4\)"):
        _pipeline().given(None, known=Image.new("L", (4, 4)), mask=np.ones((4, 5), bool))
    with pytest.raises(ValueError, match="4 x 4 pixels"):
        codec.prepare([Image.new("L", (5, 4))])
