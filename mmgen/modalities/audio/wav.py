"""WAV files, without a library: PCM of 8, 16, 24 and 32 bits, and floats.

No size that a file states is trusted: what it says must be there, or it is refused.

Source: Multimedia Programming Interface and Data Specifications 1.0 (IBM & Microsoft, 1991);
EBU Tech 3306 (RF64).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from mmgen.core.errors import LoadError
from mmgen.modalities.audio.value import MAX_CHANNELS, MAX_RATE, Audio

__all__ = ["ENCODINGS", "read_wav", "write_wav"]

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
# Writers that cannot go back to the header leave this where a size belongs.
_UNKNOWN = 0xFFFFFFFF
_BITS = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64)}

ENCODINGS = {
    "pcm8": (_PCM, 8),
    "pcm16": (_PCM, 16),
    "pcm24": (_PCM, 24),
    "pcm32": (_PCM, 32),
    "float32": (_FLOAT, 32),
}
"""How samples can be written."""


def read_wav(data: bytes, name: str) -> Audio:
    """The sound of a WAV file.

    Integers k of b bits are k / 2**(b - 1).

    Args:
        data: The file.
        name: What to call it in errors.

    Raises:
        LoadError: If it is cut short, altered, or of a kind that is not read.
    """
    if data[:4] not in (b"RIFF", b"RF64") or data[8:12] != b"WAVE":
        raise LoadError(f"{name} is no WAV file: it does not begin with RIFF....WAVE.")
    header: tuple[int, int, int, int] | None = None
    long_size: int | None = None
    for kind, declared, start in _chunks(data):
        there = len(data) - start
        if kind == b"data":
            if header is None:
                raise LoadError(f"{name} has sound before the header that says what it is.")
            if declared == _UNKNOWN:
                declared = there if long_size is None else long_size
            return _decode(data, start, declared, header, name)
        if declared > there:
            raise LoadError(
                f"{name} is cut short: its {kind!r} chunk has {declared} bytes, {there} are there."
            )
        if kind == b"fmt ":
            header = _read_header(data[start : start + declared], name)
        elif kind == b"ds64" and declared >= 16:
            long_size = struct.unpack_from("<Q", data, start + 8)[0]
    raise LoadError(f"{name} is cut short: there is no sound in it.")


def write_wav(audio: Audio, *, encoding: str = "pcm16") -> bytes:
    """The WAV file of a sound.

    With integers of b bits a value comes back within half a step of 2**(1 - b). The greatest is one
    step below 1, and what is above it comes back as that.

    Args:
        audio: The sound.
        encoding: One of ENCODINGS.

    Raises:
        ValueError: If the encoding is unknown, or the sound is too long for the format.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding is one of {', '.join(ENCODINGS)}; got {encoding!r}.")
    tag, bits = ENCODINGS[encoding]
    x = audio.samples.T
    width = bits // 8
    if x.size * width > 2**32 - 64:
        raise ValueError(f"A WAV file holds at most 4 GiB; {audio!r} is longer. Write it in parts.")
    content = x.astype("<f4").tobytes() if tag == _FLOAT else _to_integers(x, bits)
    channels, rate = x.shape[1], audio.sampling_rate
    head = struct.pack(
        "<HHIIHH", tag, channels, rate, rate * channels * width, channels * width, bits
    )
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(head)) + head
    body += b"data" + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, declared size, where its content begins) of each chunk."""
    place = 12
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        yield kind, size, place + 8
        place += 8 + size + size % 2


def _read_header(head: bytes, name: str) -> tuple[int, int, int, int]:
    """(format tag, channels, rate in Hz, bits) of a fmt chunk."""
    if len(head) < 16:
        raise LoadError(f"{name} has a header of {len(head)} bytes, expected at least 16.")
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", head)
    if tag == _EXTENSIBLE and len(head) >= 40:
        tag = struct.unpack_from("<H", head, 24)[0]
    if tag not in _BITS or bits not in _BITS[tag]:
        raise LoadError(
            f"{name} has format {tag} with {bits} bits; PCM of 8, 16, 24 or 32 bits and floats of "
            "32 or 64 are read. Convert it first."
        )
    if not 1 <= channels <= MAX_CHANNELS or not 1 <= rate <= MAX_RATE:
        raise LoadError(
            f"{name} states {channels} channels at {rate} Hz; 1 to {MAX_CHANNELS} channels at up "
            f"to {MAX_RATE} Hz are read."
        )
    if block != channels * bits // 8:
        raise LoadError(
            f"{name} states {block} bytes for {channels} channels of {bits} bits. It is altered."
        )
    return tag, channels, rate, bits


def _decode(
    data: bytes, start: int, size: int, header: tuple[int, int, int, int], name: str
) -> Audio:
    tag, channels, rate, bits = header
    there, block = len(data) - start, channels * bits // 8
    if size > there:
        raise LoadError(f"{name} is cut short: {size} bytes of sound are stated, {there} there.")
    if size % block or not size:
        raise LoadError(
            f"{name} has {size} bytes of sound, expected a multiple of {block} above zero."
        )
    raw = np.frombuffer(data, np.uint8, size, start)
    x = raw.view(f"<f{bits // 8}") if tag == _FLOAT else _from_integers(raw, bits)
    samples = np.ascontiguousarray(x.reshape(-1, channels).T, dtype=np.float32)
    try:
        return Audio(samples, rate)
    except ValueError as error:
        raise LoadError(f"{name} holds no sound that can be used: {error}") from None


def _from_integers(raw: np.ndarray, bits: int) -> np.ndarray:
    if bits == 8:
        return (raw.astype(np.float32) - 128) / 128
    if bits == 24:
        # Three bytes as the upper ones of four.
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        return wide.view("<i4")[:, 0] / 2.0**31
    return raw.view(f"<i{bits // 8}") / 2.0 ** (bits - 1)


def _to_integers(x: np.ndarray, bits: int) -> bytes:
    scale = 2.0 ** (bits - 1)
    k = np.rint(x.astype(np.float64) * scale).clip(-scale, scale - 1).astype("<i4")
    if bits == 8:
        return (k + 128).astype(np.uint8).tobytes()
    if bits == 24:
        return np.ascontiguousarray(k)[..., None].view(np.uint8)[..., :3].tobytes()
    return k.astype(f"<i{bits // 8}").tobytes()
