"""What a film is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["MAX_FPS", "Video"]

MAX_FPS = 1000


@dataclass(frozen=True, eq=False, repr=False)
class Video:
    """A film without sound.

    Args:
        frames: uint8 (T, H, W, 3), red, green and blue.
        fps: Frames per second.

    Raises:
        TypeError: If a field is of another type.
        ValueError: If the frames have another shape, or the rate is none.
    """

    frames: np.ndarray
    fps: float

    def __post_init__(self) -> None:
        x, fps = self.frames, self.fps
        if not isinstance(x, np.ndarray) or x.dtype != np.uint8:
            kind = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
            raise TypeError(
                f"frames is a numpy array of uint8, got {kind}. "
                "mmgen.modalities.video.load((frames, fps)) takes other kinds."
            )
        if x.ndim != 4 or x.shape[3] != 3 or 0 in x.shape:
            raise ValueError(f"frames has shape (T, H, W, 3), got {x.shape}.")
        if isinstance(fps, bool) or not isinstance(fps, (int, float, np.integer, np.floating)):
            raise TypeError(f"fps is a number of frames per second, got {fps!r:.60}.")
        if not math.isfinite(fps) or not 0 < fps <= MAX_FPS:
            raise ValueError(f"fps lies above 0 and at most {MAX_FPS} frames/s, got {fps}.")
        object.__setattr__(self, "fps", float(fps))

    def __repr__(self) -> str:
        count, height, width, _ = self.frames.shape
        return f"Video({count} frames of {width} x {height}, {self.fps:g} frames/s)"

    @classmethod
    def debug(cls) -> Video:
        """Four frames of 8 x 8 in which a white bar moves to the right."""
        frames = np.zeros((4, 8, 8, 3), np.uint8)
        for t, frame in enumerate(frames):
            frame[:, 2 * t : 2 * t + 2] = 255
        return cls(frames, 8.0)

    @property
    def seconds(self) -> float:
        """Duration in s."""
        return len(self.frames) / self.fps
