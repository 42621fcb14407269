"""Reading what people hold as sounds, and writing them."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmgen.core.errors import LoadError, MissingDependency
from mmgen.core.files import check_output, write_beside
from mmgen.modalities.audio.value import Audio, resample
from mmgen.modalities.audio.wav import read_wav, write_wav

__all__ = [
    "PREVIEW_SUFFIX",
    "SUFFIXES",
    "doubts",
    "fit_to_rate",
    "in_a_row",
    "is_one",
    "load",
    "load_batch",
    "measures",
    "save",
    "save_many",
]

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
PREVIEW_SUFFIX = SUFFIXES[0]
_SILENT, _FULL, _CLIPPED_SHARE = 1e-4, 0.999, 1e-3
MAX_BYTES = 2**30
MAX_SAMPLES = 2**27
# More rows than this are time, not channels.
MOST_CHANNELS = 8
GAP = 0.5  # s, between the sounds of an overview

_FORMATS = {".flac": ("FLAC", "PCM_24"), ".ogg": ("OGG", "VORBIS"), ".mp3": ("MP3", None)}
_INTEGERS = {"uint8": (128, 128), "int16": (0, 2**15), "int32": (0, 2**31)}
# libsndfile's Vorbis writer overflows its stack on long blocks.
_BLOCK = 2**15


def load(value: Any, *, sampling_rate: int | None = None) -> Audio:
    """Any sound.

    Args:
        value: Audio; path; bytes of a WAV, FLAC, OGG or MP3 file; (array, rate in Hz) or
            {"array", "sampling_rate"}. Arrays and tensors are (time,) or (channels, time), floats
            in [-1, 1] or integers of WAV's ranges.
        sampling_rate: Of a bare array or tensor, in Hz. Never resamples.

    Raises:
        TypeError: If it is none of these.
        ValueError: If it cannot be read, or it is not clear how.
        MissingDependency: If it is a file of a kind that needs the extra `audio`.
    """
    if sampling_rate is not None:
        if not isinstance(value, (np.ndarray, Tensor)):
            raise TypeError(
                f"sampling_rate is for a bare array or tensor, got {type(value).__name__}, which "
                "has its own. Leave it out; mmgen.modalities.audio.resample changes rates."
            )
        return _from_array(value, sampling_rate)
    if isinstance(value, Audio):
        return value
    if isinstance(value, (str, os.PathLike)):
        return _from_bytes(_read(Path(value)), repr(str(value)))
    if isinstance(value, bytes):
        return _from_bytes(value, f"This sound of {len(value)} bytes")
    if isinstance(value, Mapping):
        return _from_mapping(value)
    if isinstance(value, tuple):
        if len(value) != 2:
            raise ValueError(f"Expected (array, sampling_rate), got a tuple of {len(value)}.")
        return _from_array(*value)
    if isinstance(value, (np.ndarray, Tensor)):
        raise ValueError(
            f"A bare array of shape {tuple(value.shape)} has no sampling_rate. Give "
            "(array, sampling_rate)."
        )
    raise TypeError(
        "Expected a sound (Audio, path, bytes, (array, sampling_rate) or "
        f'{{"array", "sampling_rate"}}), got {type(value).__name__}.'
    )


def is_one(value: Any) -> bool:
    """Whether what a call was given is one sound: (array, sampling_rate) is, though it is a tuple.

    No list of sounds can be taken for one, since a rate is none.
    """
    if not isinstance(value, tuple):
        return not isinstance(value, list)
    pair = len(value) == 2 and isinstance(value[0], (np.ndarray, Tensor))
    return pair and isinstance(value[1], Real)


def measures(value: Any) -> dict[str, float]:
    """Duration in s, rate in Hz and number of channels of a sound."""
    sound = load(value)
    channels = sound.samples.shape[0]
    return {"seconds": sound.seconds, "Hz": sound.sampling_rate, "channels": channels}


def doubts(value: Any) -> list[str]:
    """What may be wrong with a sound: it is silent, or clipped."""
    samples = np.abs(load(value).samples)
    if not samples.size or samples.max() < _SILENT:
        return ["silent"]
    return ["clipped"] if (samples >= _FULL).mean() > _CLIPPED_SHARE else []


def fit_to_rate(value: Any, sampling_rate: int) -> Audio:
    """A sound mixed to one channel and resampled. Its length stays."""
    return resample(load(value).mono(), sampling_rate)


def load_batch(
    values: Sequence[Any], *, sampling_rate: int, max_samples: int
) -> tuple[Tensor, Tensor]:
    """Sounds of one channel to samples (B, N), zero beyond each length, and lengths (B,).

    Args:
        values: What `load` takes.
        sampling_rate: The rate they have, in Hz.
        max_samples: Most samples of one.

    Raises:
        ValueError: If one has another rate, several channels, no samples or too many. It is never
            changed without being asked.
    """
    sounds = [load(v) for v in values]
    for sound in sounds:
        channels, length = sound.samples.shape
        if sound.sampling_rate != sampling_rate:
            raise ValueError(
                f"Expected a sampling_rate of {sampling_rate} Hz, got {sound.sampling_rate} Hz. "
                f"Resample it first: mmgen.modalities.audio.resample(audio, {sampling_rate})."
            )
        if channels != 1:
            raise ValueError(
                f"Expected samples of one channel, got {channels}. Mix them with audio.mono(), or "
                "take one: Audio(audio.samples[:1], audio.sampling_rate)."
            )
        if not 1 <= length <= max_samples:
            raise ValueError(
                f"Expected samples of 1 to {max_samples} ({max_samples / sampling_rate:g} s), got "
                f"{length}. Cut it first."
            )
    lengths = torch.tensor([s.samples.shape[1] for s in sounds], dtype=torch.long)
    padded = torch.zeros(len(sounds), int(lengths.max()) if sounds else 0)
    for row, sound in zip(padded, sounds, strict=True):
        row[: sound.samples.shape[1]] = torch.from_numpy(sound.samples[0])
    return padded, lengths


def save(value: Audio, path: str | os.PathLike[str]) -> Path:
    """Write one sound in the format that the file's ending names: WAV in 16 bits, FLAC in 24.

    Raises:
        ValueError: If the ending is not that of a sound, the folder does not exist, or the format
            does not take this rate or so many channels.
        MissingDependency: If the format needs the extra `audio`.
    """
    path = check_output(path, SUFFIXES, what="a sound")
    if not value.samples.size:
        raise ValueError("A sound of no samples cannot be written.")
    suffix = path.suffix.lower()
    write_beside(path, write_wav(value) if suffix == ".wav" else _encode(value, suffix))
    return path


def save_many(
    values: Sequence[Audio], path: str | os.PathLike[str], titles: Sequence[str] = ()
) -> Path:
    """Write several sounds as one, in a row. Titles are not written: a sound has no place for them.

    Raises:
        ValueError: As `save`, and if the sounds differ in rate or number of channels.
    """
    return save(in_a_row(values), path)


def in_a_row(values: Sequence[Audio]) -> Audio:
    """One sound after the other, with half a second of silence between.

    Raises:
        ValueError: If there is none, or they differ in rate or number of channels.
    """
    kinds = sorted({(v.sampling_rate, v.samples.shape[0]) for v in values})
    if len(kinds) != 1:
        raise ValueError(
            "Expected sounds of one sampling_rate and one number of channels, got "
            f"{', '.join(f'{r} Hz x {c}' for r, c in kinds) or 'none'}."
        )
    rate, channels = kinds[0]
    silence = np.zeros((channels, round(GAP * rate)), np.float32)
    parts = [part for v in values for part in (silence, v.samples)][1:]
    return Audio(np.concatenate(parts, axis=1), rate)


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise LoadError(f"{str(path)!r} has {size} bytes; sounds of {MAX_BYTES} are read.")
        return path.read_bytes()
    except FileNotFoundError:
        raise LoadError(f"There is no sound at {str(path)!r}.") from None
    except (OSError, ValueError) as error:
        raise LoadError(f"Could not read {str(path)!r:.200}: {error}") from None


def _from_bytes(data: bytes, name: str) -> Audio:
    if data[:4] in (b"RIFF", b"RF64"):
        return read_wav(data, name)
    mp3 = data[:3] == b"ID3" or (data[:1] == b"\xff" and data[1:2] >= b"\xe0")
    if not mp3 and data[:4] not in (b"fLaC", b"OggS"):
        raise LoadError(f"{name} is not read as a sound: it is no WAV, FLAC, OGG or MP3 file.")
    soundfile = _soundfile("Reading FLAC, OGG and MP3 files")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.frames * file.channels > MAX_SAMPLES:
                raise LoadError(
                    f"{name} states {file.frames} samples of {file.channels} channels; at most "
                    f"{MAX_SAMPLES} are read. Cut it first."
                )
            x, stated = file.read(dtype="float32", always_2d=True), file.frames
            rate = file.samplerate
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise LoadError(f"Could not read {name} as a sound: {error}") from None
    if not len(x) or len(x) < stated:
        raise LoadError(f"{name} is cut short: {stated} samples are stated, {len(x)} there.")
    try:
        # Lossy formats overshoot what they were made from.
        return Audio(np.ascontiguousarray(x.T).clip(-1, 1), rate)
    except ValueError as error:
        raise LoadError(f"{name} holds no sound that can be used: {error}") from None


def _encode(value: Audio, suffix: str) -> bytes:
    soundfile = _soundfile(f"Writing {suffix} files")
    kind, subtype = _FORMATS[suffix]
    channels, rate = value.samples.shape[0], value.sampling_rate
    buffer, x = io.BytesIO(), value.samples.T
    try:
        with soundfile.SoundFile(
            buffer, "w", samplerate=rate, channels=channels, subtype=subtype, format=kind
        ) as file:
            for start in range(0, len(x), _BLOCK):
                file.write(x[start : start + _BLOCK])
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{suffix} does not take {channels} channel(s) at {rate} Hz: {error} Write .wav, or "
            "resample it first."
        ) from None
    return buffer.getvalue()


def _from_mapping(value: Mapping[Any, Any]) -> Audio:
    for name in ("array", "sampling_rate"):
        if value.get(name) is None:
            names = ", ".join(map(repr, list(value)[:6])) or "none"
            raise ValueError(
                f'Expected {{"array", "sampling_rate"}}; {name!r} is missing among {names}.'
            )
    return _from_array(value["array"], value["sampling_rate"])


def _from_array(array: Any, sampling_rate: Any) -> Audio:
    if isinstance(array, Tensor):
        array = array.detach().cpu()
        array = (array.float() if array.dtype == torch.bfloat16 else array).numpy()
    if not isinstance(array, np.ndarray):
        raise TypeError(
            "Expected (array, sampling_rate) with a numpy array or tensor first, got "
            f"{type(array).__name__}."
        )
    x = array[None] if array.ndim == 1 else array
    if x.ndim != 2 or not x.size or x.shape[0] > MOST_CHANNELS:
        raise ValueError(
            f"Expected an array (time,) or (channels, time) with 1 to {MOST_CHANNELS} channels and "
            f"some samples, got shape {tuple(array.shape)}. Transpose what has its channels last."
        )
    if x.dtype.name in _INTEGERS:
        offset, scale = _INTEGERS[x.dtype.name]
        x = (x.astype(np.float64) - offset) / scale
    elif not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"An array is float, int16, int32 or uint8, got {x.dtype}.")
    # Range and numbers are checked before a cast that could hide them.
    if not np.isfinite(x).all():
        raise ValueError("The array holds values that are not finite numbers.")
    peak = float(np.abs(x).max())
    if peak > 1:
        raise ValueError(
            f"An array of floats lies in [-1, 1], the peak here is {peak:.6g}. Divide."
        )
    return Audio(np.ascontiguousarray(x, dtype=np.float32), sampling_rate)


def _soundfile(purpose: str) -> Any:
    try:
        import soundfile
    except (ImportError, OSError):
        raise MissingDependency("soundfile", extra="audio", purpose=purpose) from None
    return soundfile
