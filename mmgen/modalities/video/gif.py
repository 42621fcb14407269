"""GIF: at most 256 colours a frame, times in hundredths of a second."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image

from mmgen.core.errors import LoadError
from mmgen.modalities.video.limits import check_size
from mmgen.modalities.video.value import Video

__all__ = ["read_gif", "write_gif"]

COLOURS = 256
# What browsers take for frames that state no duration, in ms.
UNSTATED = 100

_TRAILER = b";"


def read_gif(data: bytes, name: str) -> Video:
    """The film of a GIF, on white where it is transparent.

    Its rate is that of its shortest frame; longer ones are repeated as often as they last, and the
    rate is then set so that the film lasts as long as the file says.

    Raises:
        LoadError: If it is cut short, altered, or larger than what is read.
    """
    check_size(*struct.unpack_from("<HH", data.ljust(10, b"\0"), 6), 1, name)
    if not data.rstrip(b"\0").endswith(_TRAILER):
        raise LoadError(f"{name} is cut short: its end is missing.")
    frames, durations = [], []
    try:
        with Image.open(io.BytesIO(data), formats=["GIF"]) as image:
            for index in range(image.n_frames):
                image.seek(index)
                # A frame may make the whole larger; its pixels are not yet made here.
                check_size(image.width, image.height, index + 1, name)
                durations.append(image.info.get("duration", 0) or UNSTATED)
                frames.append(_on_white(image))
    except LoadError:
        raise
    except Exception as error:
        # An altered file makes Pillow fail in many ways, IndexError and struct.error among them.
        raise LoadError(f"Could not read {name} as a film: {error}") from None
    if len({f.shape for f in frames}) > 1:
        raise LoadError(f"{name} changes its size on the way. Convert it first.")
    step = min(durations)
    counts = [round(d / step) for d in durations]
    check_size(frames[0].shape[1], frames[0].shape[0], sum(counts), name)
    seconds = sum(durations) / 1000
    try:
        return Video(np.repeat(np.stack(frames), counts, axis=0), sum(counts) / seconds)
    except ValueError as error:
        raise LoadError(f"{name} holds no film that can be used: {error}") from None


def write_gif(video: Video) -> bytes:
    """The GIF of a film, played for ever.

    Frames of up to 256 colours keep them exactly; others get the 256 that fit them best. Times are
    rounded to hundredths of a second, each so that the film as a whole is on time.

    Raises:
        ValueError: If a frame lasts less than a hundredth of a second.
    """
    if video.fps > 100:
        raise ValueError(f"A GIF shows at most 100 frames/s, got {video.fps:g}. Write .mp4.")
    ends = np.rint(np.arange(len(video.frames) + 1) * 100 / video.fps).astype(int)
    durations = (np.diff(ends) * 10).tolist()
    images = [_with_palette(frame) for frame in video.frames]
    buffer = io.BytesIO()
    images[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=durations,
        loop=0,
        optimize=False,
        # Each frame whole, so that no colour of it depends on the one before.
        disposal=2,
    )
    return buffer.getvalue()


def _with_palette(frame: np.ndarray) -> Image.Image:
    colours, index = np.unique(frame.reshape(-1, 3), axis=0, return_inverse=True)
    if len(colours) > COLOURS:
        return Image.fromarray(frame).quantize(COLOURS, dither=Image.Dither.FLOYDSTEINBERG)
    image = Image.fromarray(index.reshape(frame.shape[:2]).astype(np.uint8), mode="P")
    image.putpalette(colours.tobytes())
    return image


def _on_white(image: Image.Image) -> np.ndarray:
    if image.mode != "RGB":
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layer)
    return np.asarray(image.convert("RGB"))
