"""Sounds: what is read and written, exactly how well it comes back, and what is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mmgen
from mmgen.core.errors import LoadError
from mmgen.modalities import audio as sounds
from mmgen.modalities.audio import Audio, LogMel, MuLaw, resample
from mmgen.modalities.audio.wav import ENCODINGS, read_wav, write_wav

RNG = np.random.default_rng(0)
RATE = 8000
NOISE = RNG.uniform(-1, 1, (2, 500)).astype(np.float32)
STEREO = Audio(NOISE, RATE)
# What a tone loses at most to each format, as a share of its energy.
TONE = Audio.debug()


def test_the_package_offers_it() -> None:
    assert mmgen.Audio is Audio


def test_a_sound_knows_its_duration_and_its_mean() -> None:
    assert repr(STEREO) == "Audio(2 channel(s), 0.062 s, 8000 Hz)"
    assert STEREO.seconds == 500 / 8000
    assert np.allclose(STEREO.mono().samples, NOISE.mean(0)[None])


BAD_AUDIO = [
    ([0.0], RATE, TypeError, "samples is a numpy array of float32, got list"),
    (np.zeros((1, 4)), RATE, TypeError, "float32, got float64"),
    (np.zeros(4, np.float32), RATE, ValueError, r"\(channels, time\)"),
    (np.zeros((1, 2, 3), np.float32), RATE, ValueError, r"\(channels, time\)"),
    (np.zeros((0, 3), np.float32), RATE, ValueError, r"\(channels, time\)"),
    (np.zeros((65, 3), np.float32), RATE, ValueError, r"\(channels, time\)"),
    (np.full((1, 3), np.nan, np.float32), RATE, ValueError, "samples.*not finite"),
    (np.full((1, 3), np.inf, np.float32), RATE, ValueError, "samples.*not finite"),
    (np.full((1, 3), -1.5, np.float32), RATE, ValueError, "peak here is 1.5"),
    (NOISE, 8000.0, TypeError, "sampling_rate is an integer in Hz, got 8000.0"),
    (NOISE, True, TypeError, "sampling_rate is an integer"),
    (NOISE, None, TypeError, "sampling_rate is an integer"),
    (NOISE, 0, ValueError, "sampling_rate lies in 1 to 768000 Hz, got 0"),
    (NOISE, -1, ValueError, "sampling_rate lies in"),
    (NOISE, 10**6, ValueError, "sampling_rate lies in"),
]


@pytest.mark.parametrize(("samples", "rate", "error", "message"), BAD_AUDIO)
def test_what_is_no_sound_is_refused(
    samples: object, rate: object, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        Audio(samples, rate)


def test_all_ways_to_hold_a_sound_read_the_same(tmp_path: Path) -> None:
    whole = Audio(np.round(NOISE[:1] * 2**15).clip(-(2**15), 2**15 - 1) / np.float32(2**15), RATE)
    path = sounds.save(whole, tmp_path / "a.wav")
    x = whole.samples
    ways = [
        whole,
        path,
        str(path),
        path.read_bytes(),
        (x, RATE),
        (x[0], RATE),
        (torch.from_numpy(x), RATE),
        (x.astype(np.float64), np.int64(RATE)),
        ((x * 2**15).astype(np.int16), RATE),
        ((x.astype(np.float64) * 2**31).astype(np.int32), RATE),
        {"array": x[0], "sampling_rate": RATE, "path": None},
    ]
    for way in ways:
        found = sounds.load(way)
        assert found.sampling_rate == RATE
        assert np.array_equal(found.samples, x)
    assert np.array_equal(sounds.load(x, sampling_rate=RATE).samples, x)
    eight = sounds.load((np.array([0, 128, 255], np.uint8), RATE))
    assert eight.samples.tolist() == [[-1, 0, 127 / 128]]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_wav_comes_back(encoding: str, channels: int) -> None:
    x = np.concatenate([RNG.uniform(-1, 1, (channels, 99)), np.eye(channels), -np.eye(channels)], 1)
    sound = Audio(x.astype(np.float32), 44100)
    found = read_wav(write_wav(sound, encoding=encoding), "it")
    assert found.sampling_rate == 44100
    bits = ENCODINGS[encoding][1]
    error = np.abs(found.samples.astype(np.float64) - sound.samples)
    if encoding == "float32":
        assert not error.any()
    else:
        # float32 itself resolves 2**-24 near 1.
        assert error[sound.samples <= 1 - 2.0 ** (1 - bits)].max() <= 2.0**-bits + 2.0**-24
        assert error.max() <= 2.0 ** (1 - bits) + 2.0**-24
    again = read_wav(write_wav(found, encoding=encoding), "it")
    assert np.array_equal(again.samples, found.samples)


def wav(content: bytes = b"\0\0\1\0", **fields: object) -> bytes:
    """A WAV file whose fields are what they are told to be, whole by itself."""
    f = {"tag": 1, "channels": 1, "rate": RATE, "bits": 16, "size": len(content), "head": 16}
    f |= {"before": b"", "riff": b"RIFF"} | fields
    block = f.get("block", f["channels"] * f["bits"] // 8)
    fmt = struct.pack("<HHI", f["tag"], f["channels"], f["rate"])
    fmt += struct.pack("<IHH", f["rate"] * block % 2**32, block % 2**16, f["bits"])
    fmt = fmt[: f["head"]]
    chunks = b"fmt " + struct.pack("<I", len(fmt)) + fmt + f["before"]
    data = b"data" + struct.pack("<I", f["size"]) + content
    return f["riff"] + b"\0\0\0\0WAVE" + chunks + data


def test_wav_of_other_writers_is_read() -> None:
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    assert read_wav(wav(before=odd), "it").samples.shape == (1, 2)
    streamed = wav(size=0xFFFFFFFF)
    assert read_wav(streamed, "it").samples.shape == (1, 2)
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, 0, 4, 2, 0)
    long = wav(b"\0\0\1\0more", size=0xFFFFFFFF, riff=b"RF64", before=ds64)
    assert read_wav(long, "it").samples.shape == (1, 2)
    double = wav(struct.pack("<2d", 0.25, -1.0), tag=3, bits=64)
    assert read_wav(double, "it").samples.tolist() == [[0.25, -1.0]]
    guid = struct.pack("<HHI", 22, 16, 4) + struct.pack("<H", 1) + b"\0" * 14
    fmt = struct.pack("<HHIIHH", 0xFFFE, 1, RATE, 2 * RATE, 2, 16) + guid
    extensible = b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", len(fmt)) + fmt
    extensible += b"data" + struct.pack("<I", 2) + b"\0\x40"
    assert read_wav(extensible, "it").samples.tolist() == [[0.5]]


BAD_WAV = [
    (b"RIFF\0\0\0\0AVI ", "no WAV file"),
    (wav()[:30], "cut short"),
    (wav()[:-1], "4 bytes of sound are stated, 3 there"),
    (wav(size=2**31), "cut short"),
    (wav(size=3), "multiple of 2 above zero"),
    (wav(content=b""), "above zero"),
    (wav(tag=6, bits=8), "format 6 with 8 bits"),
    (wav(bits=12), "format 1 with 12 bits"),
    (wav(channels=0, block=2), "0 channels"),
    (wav(channels=65535), "65535 channels"),
    (wav(rate=0), "at 0 Hz"),
    (wav(rate=2**32 - 1), "at 4294967295 Hz"),
    (wav(block=7), "It is altered"),
    (wav(head=14), "header of 14 bytes"),
    (wav(before=b"LIST" + struct.pack("<I", 2**31)), "cut short"),
    (wav()[:12] + wav()[36:], "before the header"),
    (wav(tag=3, bits=32, content=struct.pack("<f", np.nan)), "not finite"),
    (wav(tag=3, bits=32, content=struct.pack("<f", 1.5)), "peak here is 1.5"),
    (wav(size=0xFFFFFFFF, before=b"ds64" + struct.pack("<IQQ", 16, 0, 2**60)), "are stated, 4"),
]


@pytest.mark.parametrize(("data", "message"), BAD_WAV)
def test_bad_wav_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        sounds.load(data)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_altered_and_cut_wav_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(write_wav(Audio(NOISE[:, :8], RATE), encoding="pcm24"))
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    try:
        found = sounds.load(bytes(content[:cut]))
    except LoadError as error:
        assert str(error)
    else:
        assert found.samples.size


@pytest.mark.parametrize(
    ("suffix", "tolerance"), [(".wav", 2**-16), (".flac", 2**-24), (".ogg", 0.02), (".mp3", 0.02)]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_ending_comes_back(
    tmp_path: Path, suffix: str, tolerance: float, channels: int
) -> None:
    if suffix != ".wav":
        pytest.importorskip("soundfile")
    time = np.arange(16000) / 16000
    tones = [np.sin(2 * np.pi * f * time) / 2 for f in (440, 600)][:channels]
    sound = Audio(np.stack(tones).astype(np.float32), 16000)
    path = sounds.save(sound, tmp_path / f"a{suffix}")
    found = sounds.load(path)
    assert found.sampling_rate == 16000
    assert found.samples.shape == sound.samples.shape
    assert np.abs(found.samples - sound.samples)[:, 2000:-2000].max() <= tolerance
    assert np.array_equal(sounds.load(path.read_bytes()).samples, found.samples)


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3"])
def test_cut_files_are_refused(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("soundfile")
    data = sounds.save(STEREO, tmp_path / f"a{suffix}").read_bytes()
    for share in (0.1, 0.3):
        with pytest.raises(LoadError):
            sounds.load(data[: int(len(data) * share)])


def test_formats_say_what_they_do_not_take(tmp_path: Path) -> None:
    pytest.importorskip("soundfile")
    with pytest.raises(ValueError, match=r"\.mp3 does not take 3 channel\(s\) at 8000 Hz"):
        sounds.save(Audio(np.zeros((3, 9), np.float32), 8000), tmp_path / "a.mp3")
    with pytest.raises(ValueError, match="encoding is one of pcm8"):
        write_wav(STEREO, encoding="pcm12")


@pytest.mark.parametrize("name", ["a.png", "a", "missing/a.wav"])
def test_what_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot hold a sound|no folder"):
        sounds.save(STEREO, tmp_path / name)
    with pytest.raises(ValueError, match="no samples"):
        sounds.save(Audio(np.zeros((1, 0), np.float32), RATE), tmp_path / "a.wav")
    assert list(tmp_path.iterdir()) == []


def test_several_sounds_are_written_in_a_row(tmp_path: Path) -> None:
    path = sounds.save_many([STEREO, STEREO], tmp_path / "a.wav", ["one", "two"])
    found = sounds.load(path).samples
    assert found.shape == (2, 500 + 4000 + 500)
    assert not found[:, 500:4500].any()
    assert np.abs(found[:, 4500:] - NOISE).max() <= 2**-15
    with pytest.raises(ValueError, match="8000 Hz x 1, 8000 Hz x 2"):
        sounds.save_many([TONE, STEREO], path)
    with pytest.raises(ValueError, match="got none"):
        sounds.save_many([], path)


def test_resampling_keeps_tones_and_channels_and_takes_away_what_cannot_be_held() -> None:
    time = np.arange(16000) / 16000
    low, high = (np.sin(2 * np.pi * f * time) / 2 for f in (440, 6000))
    sound = Audio(np.stack([low, high]).astype(np.float32), 16000)
    found = resample(sound, 8000)
    assert found.samples.shape == (2, 8000) and found.sampling_rate == 8000
    assert np.abs(found.samples[0] - low[::2])[200:-200].max() < 2e-3
    assert np.abs(found.samples[1])[200:-200].max() < 2e-3
    back = resample(found, 16000)
    assert np.abs(back.samples[0] - low)[400:-400].max() < 3e-3
    assert np.array_equal(resample(sound, 16000).samples, sound.samples)
    for rate, error in ((0, ValueError), (8000.5, TypeError), (None, TypeError)):
        with pytest.raises(error, match="sampling_rate"):
            resample(sound, rate)


BAD = [
    (3, TypeError, "Expected a sound"),
    (None, TypeError, "Expected a sound"),
    ([0.0, 0.5], TypeError, "Expected a sound"),
    ("no/such/file.wav", LoadError, "no sound at"),
    (".", LoadError, "Could not read"),
    ("\0", LoadError, "Could not read"),
    (b"", LoadError, "not read as a sound"),
    (b"not a sound", LoadError, "not read as a sound"),
    (NOISE[0], ValueError, r"shape \(500,\) has no sampling_rate"),
    ((NOISE[0],), ValueError, "tuple of 1"),
    ((RATE, NOISE), TypeError, "numpy array or tensor first, got int"),
    ((NOISE[0], "8000"), TypeError, "sampling_rate is an integer"),
    ((NOISE.T, RATE), ValueError, "Transpose"),
    ((NOISE[None], RATE), ValueError, "Expected an array"),
    ((NOISE[:, :0], RATE), ValueError, "some samples"),
    ((np.zeros(5, bool), RATE), ValueError, "got bool"),
    ((np.zeros(5, complex), RATE), ValueError, "got complex128"),
    ((np.full(5, np.nan), RATE), ValueError, "not finite"),
    ((np.full(5, 1e300), RATE), ValueError, r"peak here is 1e\+300"),
    ({"array": NOISE}, ValueError, "'sampling_rate' is missing among 'array'"),
    ({}, ValueError, "'array' is missing among none"),
    ((NOISE[0], 16000), ValueError, r"sampling_rate of 8000 Hz, got 16000 Hz. Resample it first"),
    ((NOISE, RATE), ValueError, r"one channel, got 2. Mix them with audio.mono\(\)"),
    (Audio(np.zeros((1, 0), np.float32), RATE), ValueError, "1 to 4096 .*, got 0"),
    ((np.zeros(4097, np.float32), RATE), ValueError, r"1 to 4096 \(0.512 s\), got 4097. Cut"),
]


@pytest.mark.parametrize(("value", "error", "message"), BAD)
def test_bad_sounds_are_refused(value: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        LogMel.debug().prepare([value])


def test_a_rate_is_for_what_has_none() -> None:
    with pytest.raises(TypeError, match="sampling_rate is for a bare array"):
        sounds.load(STEREO, sampling_rate=8000)


SCALARS = st.one_of(
    st.none(), st.integers(), st.floats(), st.text(max_size=9), st.binary(max_size=9)
)
ARRAYS = st.lists(st.integers(0, 9), max_size=4).flatmap(
    lambda shape: st.sampled_from(["u1", "i2", "f2", "f4", ">f8", "i8", "?", "c8", "U1", "O"]).map(
        lambda kind: np.ones(shape).astype(kind)
    )
)
RATES = st.one_of(SCALARS, st.just(8000))
VALUES = st.one_of(
    SCALARS,
    ARRAYS,
    ARRAYS.filter(lambda a: a.dtype.kind in "fi" and a.dtype.isnative).map(torch.from_numpy),
    st.tuples(st.one_of(ARRAYS, SCALARS), RATES),
    st.builds(lambda a, r: {"array": a, "sampling_rate": r}, st.one_of(ARRAYS, SCALARS), RATES),
    st.dictionaries(st.sampled_from(["array", "sampling_rate", "path"]), SCALARS),
    st.builds(
        lambda n, v: (np.array([v] * n, np.float32), 8000), st.integers(0, 70), st.floats(width=32)
    ),
    st.binary(max_size=40).map(lambda b: b"RIFF\0\0\0\0WAVE" + b),
    st.binary(max_size=40).map(lambda b: b"fLaC" + b),
    st.binary(max_size=40).map(lambda b: b"\xff\xfb" + b),
)


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_any_value_is_read_or_refused_clearly(value: object) -> None:
    for read in (sounds.load, lambda v: MuLaw.debug().prepare([v])):
        try:
            found = read(value)
        except (TypeError, ValueError) as error:
            assert str(error)
        else:
            assert isinstance(found, (Audio, dict))
