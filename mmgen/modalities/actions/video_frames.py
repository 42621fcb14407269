"""Single frames of a video file by their times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmgen.core.errors import LoadError, MissingDependency

if TYPE_CHECKING:
    import av

__all__ = ["read_frames"]


def read_frames(path: Path, times: Sequence[float], *, tolerance: float) -> np.ndarray:
    """The frames at these times, uint8 (len(times), H, W, 3).

    Args:
        path: A video file.
        times: In s from its start.
        tolerance: Greatest distance of a frame from its time, in s.

    Raises:
        LoadError: If the file is missing or no video, or no frame lies there.
        MissingDependency: If PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        raise MissingDependency(
            "av", extra="video", purpose="Reading the films of a dataset"
        ) from None
    if not path.is_file():
        raise LoadError(f"There is no {path}. The dataset is incomplete.")
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            first = int(min(times) / stream.time_base)
            container.seek(max(0, first), stream=stream, backward=True)
            found = _nearest(container.decode(stream), times, tolerance)
    except (av.FFmpegError, IndexError, OSError) as error:
        raise LoadError(f"{path} could not be read as a video: {error}") from None
    for time in times:
        if time not in found:
            raise LoadError(
                f"{path} has no frame within {tolerance:g} s of {time:g} s. Its frames and the "
                "timestamps of the dataset do not belong together."
            )
    return np.stack([found[time] for time in times])


def _nearest(
    frames: Iterable[av.VideoFrame], times: Sequence[float], tolerance: float
) -> dict[float, np.ndarray]:
    """The frame nearest to each time among those within the tolerance, read no further."""
    found: dict[float, tuple[float, np.ndarray]] = {}
    last = max(times) + tolerance
    for frame in frames:
        if frame.time is None:
            continue
        for time in times:
            distance = abs(frame.time - time)
            if distance <= tolerance and distance < found.get(time, (np.inf,))[0]:
                found[time] = (distance, frame.to_ndarray(format="rgb24"))
        if frame.time > last:
            break
    return {time: image for time, (_, image) in found.items()}
