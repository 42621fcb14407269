"""How much of a film is read."""

from __future__ import annotations

from mmgen.core.errors import LoadError

__all__ = ["MAX_BYTES", "MAX_FRAMES", "MAX_PIXELS", "check_size"]

MAX_BYTES = 2**30
"""Of a file."""

MAX_FRAMES = 2**16
MAX_PIXELS = 2**24
"""Of a frame."""

MAX_VALUES = 2**31
"""Of a film: bytes once it is read."""


def check_size(width: int, height: int, num_frames: int, name: str) -> None:
    """Refuse a film that is too large to be read, before it is.

    Raises:
        LoadError: If it has no pixels, or too many of anything.
    """
    pixels = width * height
    if not 0 < pixels <= MAX_PIXELS:
        raise LoadError(
            f"{name} has frames of {width} x {height}; 1 to {MAX_PIXELS} pixels are read. Scale it "
            "down first."
        )
    if not 0 < num_frames <= min(MAX_FRAMES, MAX_VALUES // (3 * pixels)):
        raise LoadError(
            f"{name} has {num_frames} frames of {width} x {height}; 1 to "
            f"{min(MAX_FRAMES, MAX_VALUES // (3 * pixels))} of that size are read. Cut it first."
        )
