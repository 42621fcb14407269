"""Sequences of actions as pictures: each dimension over time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["plot"]

WIDTH, HEIGHT, MARGIN = 240, 160, 8
COLOURS = (
    (31, 119, 180),
    (214, 39, 40),
    (44, 160, 44),
    (255, 127, 14),
    (148, 103, 189),
    (23, 190, 207),
    (140, 86, 75),
    (227, 119, 194),
)


def plot(values: Sequence[np.ndarray], titles: Sequence[str] = ()) -> Image.Image:
    """One panel for each sequence (T, A), all on the same scale, which stands at the left.

    Every dimension is a line over time, its first number a dot. Dimensions past the eighth take
    the first colours again.
    """
    columns = math.ceil(math.sqrt(len(values)))
    rows = math.ceil(len(values) / columns)
    lines = 14 if titles else 0
    sheet = Image.new("RGB", (columns * WIDTH, rows * (HEIGHT + lines)), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    low = min(float(np.nanmin(v)) for v in values)
    high = max(float(np.nanmax(v)) for v in values)
    for i, value in enumerate(values):
        left, top = (i % columns) * WIDTH, (i // columns) * (HEIGHT + lines)
        if titles:
            # One line of it: arrays, as conditions are, have several.
            title = " ".join(titles[i].split())[: WIDTH // 7]
            draw.text((left + MARGIN, top + 1), title, fill=(0, 0, 0))
        _panel(draw, np.asarray(value, np.float64), (left, top + lines), (low, high))
    return sheet


def _panel(
    draw: ImageDraw.ImageDraw,
    value: np.ndarray,
    corner: tuple[int, int],
    scale: tuple[float, float],
) -> None:
    left, top = corner[0] + MARGIN, corner[1] + MARGIN
    width, height = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN
    draw.rectangle((left, top, left + width, top + height), outline=(180, 180, 180))
    low, high = scale
    share = (value - low) / (high - low) if high > low else np.full_like(value, 0.5)
    if low < 0 < high:
        zero = top + height * (1 + low / (high - low))
        draw.line((left, zero, left + width, zero), fill=(220, 220, 220))
    x = left + width * np.arange(len(value)) / max(1, len(value) - 1)
    for k in range(value.shape[1]):
        colour = COLOURS[k % len(COLOURS)]
        y = top + height * (1 - share[:, k])
        draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=colour, width=2)
        draw.ellipse((x[0] - 2, y[0] - 2, x[0] + 2, y[0] + 2), fill=colour)
    draw.text((left + 3, top + 1), f"{high:.4g}", fill=(120, 120, 120))
    draw.text((left + 3, top + height - 12), f"{low:.4g}", fill=(120, 120, 120))
