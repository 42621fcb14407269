"""Films: what is read and written, how well it comes back, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import mmgen
from mmgen.core.errors import LoadError
from mmgen.modalities import video as films
from mmgen.modalities.video import Frames, Video

RNG = np.random.default_rng(0)
BAR = Video.debug()


def _smooth(num_frames: int = 5, height: int = 16, width: int = 24) -> np.ndarray:
    """Colours that change slowly over place and time."""
    t, y, x = np.meshgrid(*map(np.arange, (num_frames, height, width)), indexing="ij")
    waves = [np.sin(x / 9 + t / 3 + c) + np.cos(y / 7 - t / 5 + 2 * c) for c in range(3)]
    return ((np.stack(waves, -1) + 2) * 63).astype(np.uint8)


def as_gif(film: Video, path: Path) -> bytes:
    return films.save(film, path / "it.gif").read_bytes()


def test_the_package_offers_it() -> None:
    assert mmgen.Video is Video


def test_a_film_knows_its_duration() -> None:
    assert repr(BAR) == "Video(4 frames of 8 x 8, 8 frames/s)"
    assert BAR.seconds == 0.5


BAD_VIDEO = [
    ([0], 8, TypeError, "frames is a numpy array of uint8, got list"),
    (np.zeros((1, 2, 2, 3)), 8, TypeError, "got float64"),
    (np.zeros((2, 2, 3), np.uint8), 8, ValueError, r"\(T, H, W, 3\), got \(2, 2, 3\)"),
    (np.zeros((1, 2, 2, 4), np.uint8), 8, ValueError, r"\(T, H, W, 3\)"),
    (np.zeros((0, 2, 2, 3), np.uint8), 8, ValueError, r"\(T, H, W, 3\)"),
    (BAR.frames, "8", TypeError, "fps is a number of frames per second, got '8'"),
    (BAR.frames, True, TypeError, "fps is a number"),
    (BAR.frames, 0, ValueError, "fps lies above 0 and at most 1000"),
    (BAR.frames, np.nan, ValueError, "fps lies above"),
    (BAR.frames, np.inf, ValueError, "fps lies above"),
    (BAR.frames, 1001, ValueError, "fps lies above"),
]


@pytest.mark.parametrize(("frames", "fps", "error", "message"), BAD_VIDEO)
def test_what_is_no_film_is_refused(frames: object, fps: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        Video(frames, fps)


def test_all_ways_to_hold_a_film_read_the_same(tmp_path: Path) -> None:
    x = BAR.frames
    path = films.save(BAR, tmp_path / "a.gif")
    ways = [
        BAR,
        path,
        str(path),
        path.read_bytes(),
        (x, 8),
        (torch.from_numpy(x), 8.0),
        (x.transpose(0, 3, 1, 2), np.float32(8)),
        (x / 255, 8),
        (list(x), 8),
        ([Image.fromarray(frame) for frame in x], 8),
        {"frames": x, "fps": 8},
    ]
    for way in ways:
        found = films.load(way)
        assert found.fps == 8
        assert np.array_equal(found.frames, x)
    assert np.array_equal(films.load(x, fps=8).frames, x)


@pytest.mark.parametrize("fps", [8.0, 24.0, 29.97, 12.5, 1.0])
def test_mp4_comes_back(tmp_path: Path, fps: float) -> None:
    pytest.importorskip("av")
    film = Video(_smooth(), fps)
    path = films.save(film, tmp_path / "a.mp4")
    found = films.load(path)
    assert found.fps == pytest.approx(fps, rel=1e-6)
    assert found.frames.shape == film.frames.shape
    error = np.abs(found.frames.astype(int) - film.frames)
    assert error.mean() < 5 and np.quantile(error, 0.99) < 16


@pytest.mark.parametrize("fps", [8.0, 10.0, 24.0, 29.97, 100.0, 0.5])
def test_gif_comes_back(tmp_path: Path, fps: float) -> None:
    levels = RNG.integers(0, 4, (6, 8, 8, 3), dtype=np.uint8) * 85
    film = Video(levels, fps)
    found = films.load(films.save(film, tmp_path / "a.gif"))
    assert np.array_equal(found.frames, levels)
    assert abs(found.seconds - film.seconds) <= 0.005 + 1e-9


def test_gif_keeps_frames_that_stay_the_same(tmp_path: Path) -> None:
    frames = np.concatenate([BAR.frames[:1].repeat(3, 0), BAR.frames, BAR.frames[-1:]])
    for fps in (8.0, 10.0):
        found = films.load(films.save(Video(frames, fps), tmp_path / "a.gif"))
        assert np.array_equal(found.frames, frames)
        assert found.fps == pytest.approx(fps, rel=0.02)
    still = Video(BAR.frames[:1].repeat(4, 0), 8.0)
    assert films.load(films.save(still, tmp_path / "a.gif")).seconds == pytest.approx(0.5)


def test_gif_of_many_colours_comes_near(tmp_path: Path) -> None:
    film = Video(_smooth(3, 40, 60), 10.0)
    found = films.load(films.save(film, tmp_path / "a.gif"))
    assert np.abs(found.frames.astype(int) - film.frames).mean() < 8


def test_frames_that_last_longer_are_repeated() -> None:
    buffer = io.BytesIO()
    images = [Image.fromarray(frame) for frame in BAR.frames]
    images[0].save(
        buffer, "GIF", save_all=True, append_images=images[1:], duration=[100, 200, 100, 300]
    )
    found = films.load(buffer.getvalue())
    assert found.fps == pytest.approx(10)
    assert np.array_equal(found.frames, BAR.frames[[0, 1, 1, 2, 3, 3, 3]])


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_cut_and_altered_files_are_read_or_refused(tmp_path: Path, suffix: str) -> None:
    if suffix == ".mp4":
        pytest.importorskip("av")
    whole = films.save(Video(_smooth(), 8.0), tmp_path / f"a{suffix}").read_bytes()
    for share in (0.05, 0.3, 0.6, 0.9):
        with pytest.raises(LoadError, match="This film of"):
            films.load(whole[: int(len(whole) * share)])
    for _ in range(60):
        data = bytearray(whole)
        for place in RNG.integers(0, len(data), 3):
            data[place] = RNG.integers(0, 256)
        try:
            films.load(bytes(data))
        except LoadError as error:
            assert str(error)


def test_absurd_sizes_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    data = bytearray(as_gif(BAR, tmp_path))
    data[6:10] = b"\xff\xff\xff\xff"
    with pytest.raises(LoadError, match="frames of 65535 x 65535"):
        films.load(bytes(data))
    huge = np.broadcast_to(np.zeros((1, 1, 1, 3), np.uint8), (2**17, 4, 4, 3))
    with pytest.raises(LoadError, match="131072 frames of 4 x 4; 1 to 65536 of that size"):
        films.load((huge, 8))


def test_formats_say_what_they_do_not_take(tmp_path: Path) -> None:
    pytest.importorskip("av")
    with pytest.raises(ValueError, match="even sides, got 7 x 8"):
        films.save(Video(BAR.frames[:, :, :7], 8.0), tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="at most 100 frames/s, got 120"):
        films.save(Video(BAR.frames, 120.0), tmp_path / "a.gif")


@pytest.mark.parametrize("name", ["a.png", "a", "missing/a.mp4"])
def test_what_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot hold a film|no folder"):
        films.save(BAR, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", films.SUFFIXES)
def test_several_films_are_shown_side_by_side(tmp_path: Path, suffix: str) -> None:
    if suffix == ".mp4":
        pytest.importorskip("av")
    red = Video(np.broadcast_to(np.array([255, 0, 0], np.uint8), (2, 7, 8, 3)).copy(), 8.0)
    path = films.save_many([BAR, red], tmp_path / f"a{suffix}", ["a bar", "red"])
    found = films.load(path).frames
    assert len(found) == 4
    for t in range(4):
        x = found[t].astype(int)
        assert ((x[..., 0] > 150) & (x[..., 1] < 90)).any()
    assert films.load(films.save_many([BAR], path)).frames.shape == BAR.frames.shape
    with pytest.raises(ValueError, match="one fps, got 8, 9"):
        films.save_many([BAR, Video(BAR.frames, 9.0)], path)
    with pytest.raises(ValueError, match="got none"):
        films.save_many([], path)


BAD = [
    (3, TypeError, "Expected a film"),
    (None, TypeError, "Expected a film"),
    ("no/such/file.mp4", LoadError, "no film at"),
    (".", LoadError, "Could not read"),
    ("\0", LoadError, "Could not read"),
    (b"", LoadError, "not read as a film"),
    (b"#EXTM3U\n/etc/hostname\n", LoadError, "not read as a film"),
    (BAR.frames, ValueError, "Bare frames have no fps"),
    ((BAR.frames,), ValueError, "tuple of 1"),
    ((8, BAR.frames), TypeError, "list of images first, got int"),
    ((BAR.frames, None), TypeError, "fps is a number"),
    ((BAR.frames[0], 8), ValueError, r"got shape \(8, 8, 3\)"),
    ((BAR.frames[:, :3], 8), ValueError, "Expected frames"),
    ((BAR.frames[:0], 8), ValueError, "Expected frames"),
    ((BAR.frames.astype(int), 8), ValueError, "uint8 or floats, got int64"),
    ((BAR.frames / 1.0, 8), ValueError, r"lie in \[0, 1\]; these span 0.0 to 255.0"),
    ((np.full((1, 8, 8, 3), np.nan), 8), ValueError, r"lie in \[0, 1\]"),
    (([], 8), ValueError, "at least one frame"),
    (([BAR.frames[0], BAR.frames[0, :4]], 8), ValueError, "got 8 x 4 and 8 x 8"),
    (([None], 8), TypeError, "Expected an image"),
    ({"frames": BAR.frames}, ValueError, "'fps' is missing among 'frames'"),
    ((BAR.frames[:, :6], 8), ValueError, "8 x 8 pixels, got 8 x 6"),
    ((BAR.frames[:3], 8), ValueError, "Expected 4 frames, got 3"),
    ((BAR.frames, 9), ValueError, "Expected an fps of 8, got 9"),
]


@pytest.mark.parametrize(("value", "error", "message"), BAD)
def test_bad_films_are_refused(value: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        Frames.debug().prepare([value])


def test_a_rate_is_for_what_has_none() -> None:
    with pytest.raises(TypeError, match="fps is for bare frames, got Video"):
        films.load(BAR, fps=8)


SCALARS = st.one_of(
    st.none(), st.integers(), st.floats(), st.text(max_size=9), st.binary(max_size=9)
)
SHAPES = st.one_of(
    st.lists(st.integers(0, 5), max_size=5),
    st.tuples(st.integers(0, 5), st.just(8), st.just(8), st.just(3)),
)
ARRAYS = st.builds(
    lambda shape, kind: np.ones(shape).astype(kind),
    SHAPES,
    st.sampled_from(["u1", "f4", ">f8", "i8", "?", "c8", "O"]),
)
FRAMES = st.one_of(ARRAYS, SCALARS, st.lists(st.one_of(ARRAYS, SCALARS), max_size=3))
RATES = st.one_of(SCALARS, st.just(8.0))
VALUES = st.one_of(
    FRAMES,
    st.tuples(FRAMES, RATES),
    st.builds(lambda f, r: {"frames": f, "fps": r}, FRAMES, RATES),
    st.dictionaries(st.sampled_from(["frames", "fps"]), SCALARS),
    st.binary(max_size=40).map(lambda b: b"GIF89a" + b),
    st.binary(max_size=40).map(lambda b: b"\0\0\0\x18ftypisom" + b),
)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_any_value_is_read_or_refused_clearly(value: object) -> None:
    pytest.importorskip("av")
    for read in (films.load, lambda v: Frames.debug().prepare([v])):
        try:
            found = read(value)
        except (TypeError, ValueError) as error:
            assert str(error)
        else:
            assert isinstance(found, (Video, dict))
