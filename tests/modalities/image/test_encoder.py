"""Images as a condition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mmgen.core.errors import SpecError
from mmgen.modalities import image as images
from mmgen.modalities.image import ImageEncoder, Pixels

RNG = np.random.default_rng(0)
PICTURES = list(RNG.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    torch.manual_seed(0)
    return ImageEncoder.debug().eval()


def test_one_token_for_each_patch(encoder: ImageEncoder) -> None:
    c = encoder.encode(encoder.prepare(PICTURES))
    assert c.tokens.shape == (3, 4, 32) and c.mask.all()
    alone = encoder.encode(encoder.prepare(PICTURES[1:2]))
    assert torch.allclose(c.tokens[1], alone.tokens[0], atol=1e-5)


def test_whatever_the_codec_reads_is_a_condition(encoder: ImageEncoder) -> None:
    codec = Pixels.debug()
    mask = np.zeros((8, 8), np.uint8)
    for way in (Image.fromarray(PICTURES[0]), PICTURES[0].transpose(2, 0, 1), mask, mask / 1):
        assert torch.equal(encoder.prepare([way])["pixels"], codec.prepare([way])["pixels"])
    for way in (mask[..., None], Image.new("RGB", (9, 8)), 3, "no/such.png"):
        with pytest.raises((TypeError, ValueError)) as refused:
            codec.prepare([way])
        with pytest.raises(refused.type, match="image"):
            encoder.prepare([way])


def test_none_gives_the_null_whatever_stands_beside_it(encoder: ImageEncoder) -> None:
    c = encoder.encode(encoder.prepare([PICTURES[0], None]))
    assert torch.equal(c.tokens[1, 0], encoder.null) and not c.tokens[1, 1:].any()
    assert c.mask.tolist() == [[True] * 4, [True, False, False, False]]
    dropped = encoder.encode(encoder.drop(encoder.prepare(PICTURES), rate=1.0))
    null = encoder.encode(encoder.prepare([None] * 3))
    assert torch.equal(dropped.tokens, null.tokens) and torch.equal(dropped.mask, null.mask)


def test_what_stands_where_matters(encoder: ImageEncoder) -> None:
    spot = np.zeros((8, 8, 3), np.uint8)
    spot[:4, :4] = 255
    a, b = encoder.encode(encoder.prepare([spot, spot[::-1]])).tokens
    assert (a.sum(0) - b.sum(0)).abs().max() > 1e-3


def test_every_parameter_gets_a_gradient(encoder: ImageEncoder) -> None:
    c = encoder.encode(encoder.prepare([PICTURES[0], None]))
    (c.tokens * torch.randn_like(c.tokens)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())


def test_looking_ahead_gives_frames_of_where_one_gets() -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(8, dim=32, depth=0, num_heads=2, look_ahead=3)
    assert encoder.spec.frame_dim == 32 and ImageEncoder.debug().spec.frame_dim is None
    spot = np.zeros((2, 8, 8, 3), np.uint8)
    spot[1, :4, :4] = 255
    c = encoder.encode(encoder.prepare([*spot, None]))
    assert c.tokens.shape == (3, 4, 32) and c.frames.shape == (3, 3, 32)
    assert not c.frames[2].any()
    # Patches are seen each by itself, and every step tells of all that one can get to.
    assert ((c.tokens[1] - c.tokens[0]).abs().amax(1) > 1e-6).tolist() == [True] + [False] * 3
    assert ((c.frames[1] - c.frames[0]).abs().amax(1) > 1e-6).all()


def test_patches_fill_the_image() -> None:
    with pytest.raises(SpecError, match="multiple of the patch size 4; got 10"):
        ImageEncoder(10)


def test_sizes() -> None:
    assert images.encoder("debug").spec.token_dim == 32
    assert images.encoder("small").spec.token_dim == 128
    for size in ("debug", "small"):
        assert images.encoder(size).size == images.codec(size).size
