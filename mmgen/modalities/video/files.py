"""Reading what people hold as films, and writing them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmgen.core.errors import LoadError
from mmgen.core.files import check_output, write_beside
from mmgen.modalities.image import files as images
from mmgen.modalities.video.container import read_container, write_mp4
from mmgen.modalities.video.gif import read_gif, write_gif
from mmgen.modalities.video.limits import MAX_BYTES, check_size
from mmgen.modalities.video.value import Video

__all__ = [
    "PREVIEW_SUFFIX",
    "SUFFIXES",
    "load",
    "load_batch",
    "measures",
    "save",
    "save_many",
    "side_by_side",
]

SUFFIXES = (".mp4", ".gif")
PREVIEW_SUFFIX = SUFFIXES[0]
# Rates are the same to a share of this: a GIF rounds its times.
RATE_TOLERANCE = 0.02

_GROUND = 200


def load(value: Any, *, fps: float | None = None) -> Video:
    """Any film.

    Args:
        value: Video; path; bytes of an MP4, MOV, WebM, Matroska, AVI or GIF file; (frames, fps) or
            {"frames", "fps"}. Frames are an array or tensor (T, H, W, 3) or (T, 3, H, W), uint8 or
            floats in [0, 1], or a list of images.
        fps: Of bare frames, in frames/s. Never changes the rate of what has one.

    Raises:
        TypeError: If it is none of these.
        ValueError: If it cannot be read, or it is not clear how.
        MissingDependency: If it is a file of a kind that needs the extra `video`.
    """
    if fps is not None:
        if not isinstance(value, (np.ndarray, Tensor, list)):
            raise TypeError(
                f"fps is for bare frames, got {type(value).__name__}, which has its own. Leave it "
                "out."
            )
        return _from_frames(value, fps)
    if isinstance(value, Video):
        return value
    if isinstance(value, (str, os.PathLike)):
        return _from_bytes(_read(Path(value)), repr(str(value)))
    if isinstance(value, bytes):
        return _from_bytes(value, f"This film of {len(value)} bytes")
    if isinstance(value, (tuple, Mapping)):
        return _from_frames(*_frames_and_rate(value))
    if isinstance(value, (np.ndarray, Tensor, list)):
        raise ValueError("Bare frames have no fps. Give (frames, fps).")
    raise TypeError(
        'Expected a film (Video, path, bytes, (frames, fps) or {"frames", "fps"}), got '
        f"{type(value).__name__}."
    )


def load_batch(values: Sequence[Any], *, num_frames: int, size: int, fps: float) -> Tensor:
    """Films to uint8 (B, T, 3, size, size).

    Raises:
        ValueError: If one has another size, another rate or another number of frames. It is never
            scaled, sped up or cut without being asked.
    """
    batch = []
    for film in map(load, values):
        count, height, width, _ = film.frames.shape
        if (height, width) != (size, size):
            raise ValueError(
                f"Expected frames of {size} x {size} pixels, got {width} x {height}. Resize or "
                "crop them first."
            )
        if count != num_frames:
            raise ValueError(
                f"Expected {num_frames} frames, got {count}. Take some: "
                f"Video(video.frames[:{num_frames}], video.fps)."
            )
        if abs(film.fps - fps) > RATE_TOLERANCE * fps:
            raise ValueError(
                f"Expected an fps of {fps:g}, got {film.fps:g}. Take every so many frames: "
                f"Video(video.frames[::n], {fps:g})."
            )
        batch.append(torch.from_numpy(film.frames.copy()))
    return torch.stack(batch).permute(0, 1, 4, 2, 3).contiguous()


def measures(value: Any) -> dict[str, float]:
    """Number of frames of a film, their width and height in pixels, and frames/s."""
    film = load(value)
    count, height, width = film.frames.shape[:3]
    return {"frames": count, "height": height, "width": width, "fps": film.fps}


def save(value: Video, path: str | os.PathLike[str]) -> Path:
    """Write one film in the format that the file's ending names.

    Raises:
        ValueError: If the ending is not that of a film, the folder does not exist, or the format
            does not take this size or rate.
        MissingDependency: If the format needs the extra `video`.
    """
    path = check_output(path, SUFFIXES, what="a film")
    gif = path.suffix.lower() == ".gif"
    write_beside(path, write_gif(value) if gif else write_mp4(value))
    return path


def save_many(
    values: Sequence[Video], path: str | os.PathLike[str], titles: Sequence[str] = ()
) -> Path:
    """Write several films as one that shows them side by side, each under its title.

    Raises:
        ValueError: As `save`, and if the films differ in rate.
    """
    return save(values[0] if len(values) == 1 else side_by_side(values, titles), path)


def side_by_side(values: Sequence[Video], titles: Sequence[str] = ()) -> Video:
    """One film of several; those that end sooner stay on their last frame.

    Raises:
        ValueError: If there is none, or they differ in rate.
    """
    rates = sorted({v.fps for v in values})
    if len(rates) != 1:
        raise ValueError(
            f"Expected films of one fps, got {', '.join(f'{r:g}' for r in rates) or 'none'}."
        )
    sheets = []
    for t in range(max(len(v.frames) for v in values)):
        now = [Image.fromarray(v.frames[min(t, len(v.frames) - 1)]) for v in values]
        sheets.append(np.asarray(images.grid(now, titles)))
    frames = np.stack(sheets)
    # MP4 takes even sides only.
    odd = [(0, n % 2) for n in frames.shape[1:3]]
    return Video(np.pad(frames, [(0, 0), *odd, (0, 0)], constant_values=_GROUND), rates[0])


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise LoadError(f"{str(path)!r} has {size} bytes; films of {MAX_BYTES} are read.")
        return path.read_bytes()
    except FileNotFoundError:
        raise LoadError(f"There is no film at {str(path)!r}.") from None
    except (OSError, ValueError) as error:
        if isinstance(error, LoadError):
            raise
        raise LoadError(f"Could not read {str(path)!r:.200}: {error}") from None


def _from_bytes(data: bytes, name: str) -> Video:
    if data[:4] == b"GIF8":
        return read_gif(data, name)
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return read_container(data, "mp4", name)
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return read_container(data, "matroska", name)
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return read_container(data, "avi", name)
    raise LoadError(
        f"{name} is not read as a film: it is no MP4, MOV, WebM, Matroska, AVI or GIF file."
    )


def _frames_and_rate(value: tuple[Any, ...] | Mapping[Any, Any]) -> tuple[Any, Any]:
    if isinstance(value, tuple):
        if len(value) != 2:
            raise ValueError(f"Expected (frames, fps), got a tuple of {len(value)}.")
        return value
    for name in ("frames", "fps"):
        if value.get(name) is None:
            names = ", ".join(map(repr, list(value)[:6])) or "none"
            raise ValueError(f'Expected {{"frames", "fps"}}; {name!r} is missing among {names}.')
    return value["frames"], value["fps"]


def _from_frames(frames: Any, fps: Any) -> Video:
    if isinstance(frames, list):
        frames = _from_list(frames)
    if isinstance(frames, Tensor):
        frames = frames.detach().cpu()
        frames = (frames.float() if frames.dtype == torch.bfloat16 else frames).numpy()
    if not isinstance(frames, np.ndarray):
        raise TypeError(
            "Expected (frames, fps) with an array, a tensor or a list of images first, got "
            f"{type(frames).__name__}."
        )
    last, second = (frames.shape[i] == 3 if frames.ndim == 4 else False for i in (3, 1))
    if last == second or 0 in frames.shape:
        raise ValueError(
            f"Expected frames (T, H, W, 3) or (T, 3, H, W), got shape {tuple(frames.shape)}."
        )
    if second:
        frames = frames.transpose(0, 2, 3, 1)
    check_size(frames.shape[2], frames.shape[1], frames.shape[0], "This film")
    if np.issubdtype(frames.dtype, np.floating):
        if not np.isfinite(frames).all() or frames.min() < 0 or frames.max() > 1:
            raise ValueError(
                f"Frames of floats lie in [0, 1]; these span {frames.min()} to {frames.max()}. "
                "Rescale them, or give uint8."
            )
        frames = (frames * 255).round()
    elif frames.dtype != np.uint8:
        raise ValueError(f"Frames are uint8 or floats, got {frames.dtype}.")
    return Video(np.ascontiguousarray(frames.astype(np.uint8)), fps)


def _from_list(frames: list[Any]) -> Tensor:
    """A list of images to uint8 (T, H, W, 3)."""
    if not frames:
        raise ValueError("Expected at least one frame, got an empty list.")
    loaded = [images.load(f) for f in frames]
    sizes = sorted({(x.shape[2], x.shape[1]) for x in loaded})
    if len(sizes) != 1:
        raise ValueError(
            f"Frames of one film have one size, got {' and '.join(f'{w} x {h}' for w, h in sizes)}."
        )
    return torch.stack(loaded).permute(0, 2, 3, 1)
