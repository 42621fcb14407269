"""Films in files that FFmpeg reads: MP4 and its kin."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import numpy as np

from mmgen.core.errors import LoadError, MissingDependency
from mmgen.modalities.video.limits import check_size
from mmgen.modalities.video.value import Video

__all__ = ["read_container", "write_mp4"]

# How hard H.264 presses: 0 loses nothing but colour detail, 51 all.
QUALITY = 15


def read_container(data: bytes, kind: str, name: str) -> Video:
    """The film of a file; its sound is left out.

    Args:
        data: The file.
        kind: "mp4" (and MOV), "matroska" (and WebM) or "avi". Nothing else is tried, so that no
            file can name others to be read.
        name: What to call it in errors.

    Raises:
        LoadError: If it is cut short, altered, or larger than what is read.
        MissingDependency: If PyAV is not installed.
    """
    av = _av("Reading films")
    try:
        with av.open(io.BytesIO(data), format=kind) as file:
            stream = next(iter(file.streams.video), None)
            if stream is None or stream.codec_context is None:
                raise LoadError(f"{name} holds no film of a kind that is read.")
            rate, stated = stream.average_rate or stream.guessed_rate, stream.frames
            size = (stream.codec_context.width, stream.codec_context.height)
            check_size(*size, max(1, stated), name)
            frames: list[np.ndarray] = []
            for frame in file.decode(stream):
                if (frame.width, frame.height) != size:
                    raise LoadError(f"{name} changes its size on the way. Convert it first.")
                check_size(*size, len(frames) + 1, name)
                frames.append(frame.to_ndarray(format="rgb24"))
    except av.error.FFmpegError as error:
        raise LoadError(f"Could not read {name} as a film: {error}") from None
    if not frames or len(frames) < stated:
        raise LoadError(f"{name} is cut short: {stated} frames are stated, {len(frames)} there.")
    try:
        return Video(np.stack(frames), float(rate or 0))
    except ValueError as error:
        raise LoadError(f"{name} holds no film that can be used: {error}") from None


def write_mp4(video: Video) -> bytes:
    """The MP4 of a film, in H.264 with half of the colour detail, as all players take it.

    Smooth frames come back within 4 of 255 levels on average, most of it from the change of colour
    space.

    Raises:
        ValueError: If a side is odd.
        MissingDependency: If PyAV is not installed.
    """
    av = _av("Writing .mp4 files")
    _, height, width, _ = video.frames.shape
    if height % 2 or width % 2:
        raise ValueError(f"An MP4 has even sides, got {width} x {height}. Crop it, or write .gif.")
    buffer = io.BytesIO()
    try:
        with av.open(buffer, "w", format="mp4") as file:
            rate = Fraction(video.fps).limit_denominator(1001)
            stream = file.add_stream("libx264", rate=rate)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.options = {"crf": str(QUALITY)}
            for image in video.frames:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                file.mux(stream.encode(frame))
            file.mux(stream.encode())
    except av.error.FFmpegError as error:
        raise ValueError(f"{video!r} cannot be written as MP4: {error}") from None
    return buffer.getvalue()


def _av(purpose: str) -> Any:
    try:
        import av
    except (ImportError, OSError):
        raise MissingDependency("av", extra="video", purpose=purpose) from None
    return av
