"""Images: what is read, what is refused, and that pixels lose nothing."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmgen.core.latent import Latent
from mmgen.modalities import image as images
from mmgen.modalities.image import Pixels

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)


def as_png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def test_all_ways_to_hold_an_image_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(as_png(PICTURE))
    ways = [
        PICTURE,
        Image.fromarray(PICTURE),
        path,
        str(path),
        as_png(PICTURE),
        torch.from_numpy(PICTURE),
        PICTURE.transpose(2, 0, 1),
        PICTURE.astype(np.float64) / 255,
    ]
    for way in ways:
        assert np.array_equal(images.load(way).permute(1, 2, 0), PICTURE)


def test_grey_and_transparent_images() -> None:
    grey = images.load(PICTURE[:, :, 0])
    assert torch.equal(grey[0], grey[2])
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    assert (images.load(clear) == 255).all()


BAD = [
    (3, TypeError, "Expected an image"),
    (None, TypeError, "Expected an image"),
    ([[1, 2], [3, 4]], TypeError, "Expected an image"),
    ("no/such/file.png", ValueError, "no image at"),
    (b"not an image", ValueError, "Could not read"),
    (b"", ValueError, "Could not read"),
    (as_png(PICTURE)[:60], ValueError, "Could not read"),
    (np.zeros((8, 8, 4), np.uint8), ValueError, "Expected an image array"),
    (np.zeros((3, 8, 3), np.uint8), ValueError, "Expected an image array"),
    (np.zeros((1, 2, 3, 4), np.uint8), ValueError, "Expected an image array"),
    (np.zeros((0, 8, 3), np.uint8), ValueError, "Expected an image array"),
    (np.full((8, 8, 3), np.nan), ValueError, "lies in"),
    (np.full((8, 8, 3), 1.5), ValueError, "lies in"),
    (np.zeros((8, 8, 3), np.int64), ValueError, "uint8 or float"),
    (Image.new("RGB", (9, 8)), ValueError, "Expected images of 8 x 8 pixels, got 9 x 8"),
]


@pytest.mark.parametrize(("value", "error", "message"), BAD)
def test_bad_images_are_refused(value: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        Pixels.debug().prepare([value])


def test_an_absurdly_large_image_is_refused() -> None:
    huge = Image.new("1", (20_000, 20_000))
    buffer = io.BytesIO()
    huge.save(buffer, "PNG")
    with pytest.raises(ValueError, match="pixels"):
        images.load(buffer.getvalue())


SCALARS = st.one_of(
    st.none(), st.integers(), st.floats(), st.text(max_size=9), st.binary(max_size=9)
)
ARRAYS = st.lists(st.integers(0, 9), min_size=0, max_size=4).flatmap(
    lambda shape: st.sampled_from(["u1", "f4", "i8", "?"]).map(lambda d: np.ones(shape, d))
)


@settings(max_examples=200, deadline=None)
@given(st.one_of(SCALARS, ARRAYS, st.lists(SCALARS, max_size=3)))
def test_any_value_is_read_or_refused_clearly(value: object) -> None:
    try:
        found = images.load(value)
    except (TypeError, ValueError) as error:
        assert str(error)
    else:
        assert found.dtype == torch.uint8 and found.ndim == 3 and found.shape[0] == 3


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_pixels_lose_nothing(seed: int, noisy: bool) -> None:
    codec = Pixels.debug()
    codec.fit([PICTURE])
    tensors = codec.prepare([np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)])
    generator = torch.Generator().manual_seed(seed) if noisy else None
    assert torch.equal(
        codec.decode(codec.encode(tensors, generator=generator))["pixels"], tensors["pixels"]
    )


def test_statistics_standardise() -> None:
    codec = Pixels(8)
    assert codec.mean.isnan().all()
    codec.fit(list(RNG.integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)))
    z = codec.encode(codec.prepare(list(RNG.integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)))).z
    assert z.mean().abs() < 0.05 and abs(float(z.std()) - 1) < 0.05


def test_log_volume_is_that_of_the_map() -> None:
    codec = Pixels.debug()
    tensors = codec.prepare([PICTURE])
    step = (
        codec.encode({"pixels": torch.ones(1, 3, 8, 8)}).z
        - codec.encode({"pixels": torch.zeros(1, 3, 8, 8)}).z
    )
    assert torch.allclose(codec.log_volume(tensors), step.log().sum(), rtol=1e-5)


def test_what_is_out_of_range_is_clipped() -> None:
    codec = Pixels.debug()
    far = codec.decode(Latent(torch.tensor([-99.0, 99.0]).reshape(2, 1, 1, 1).expand(2, 3, 8, 8)))
    assert (far["pixels"][0] == 0).all() and (far["pixels"][1] == 255).all()


@pytest.mark.parametrize("suffix", images.SUFFIXES)
def test_every_ending_is_written(tmp_path: Path, suffix: str) -> None:
    path = images.save(Image.fromarray(PICTURE), tmp_path / f"a{suffix}")
    with Image.open(path) as written:
        assert written.size == (8, 8)


@pytest.mark.parametrize("name", ["a.wav", "a", "a.txt", "missing/a.png"])
def test_what_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot hold an image|no folder"):
        images.save(Image.fromarray(PICTURE), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_grid_holds_every_image() -> None:
    values = [Image.new("RGB", (8, 8), (i, 0, 0)) for i in range(10, 15)]
    sheet = np.asarray(images.grid(values, ["some words"] * 5))
    assert all((sheet[:, :, 0] == i).any() for i in range(10, 15))


def test_pixels_of_one_colour_have_a_finite_scale() -> None:
    codec = Pixels(8)
    black = np.zeros((8, 8, 3), np.uint8)
    codec.fit([black, black])
    z = codec.encode(codec.prepare([black])).z
    assert torch.isfinite(z).all()
    assert np.array_equal(codec.present(codec.decode(Latent(z)))[0], black)
