"""From a scene to pixels: signed distances with one pixel of linear coverage.

A thing covers a pixel by clip(1/2 - d, 0, 1), where d is the signed distance in pixels from the
pixel's centre to the outline, negative inside. Formulas are analytic, so any size renders sharply.
All shapes are upright and lie within the box of half extent `radius` around their centre.

Source: the five-pointed star folds as in 2D distance functions (Inigo Quilez, iquilezles.org).
"""

import math
from collections.abc import Callable

import numpy as np

from mmgen.simulators.scenes.world import BACKGROUNDS, CANVAS, COLOURS, Scene

__all__ = ["coverage", "render"]

_SQUARE = 0.9  # half side; the bare unit square looks larger than a circle of the same extent
_TRIANGLE = 1.12  # circumradius
_STAR = 1.05  # circumradius
_STAR_INNER = 0.45  # inner radius as a share of the outer one; a pentagram (.38) is thin at 6 px
_CROSS_ARM = 0.36  # half width of the arms
_RING_HOLE = 0.55

_COS36, _SIN36 = math.cos(math.pi / 5), math.sin(math.pi / 5)


def _circle(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    return np.sqrt(x * x + y * y) - r


def _square(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    return np.maximum(abs(x), abs(y)) - _SQUARE * r


def _triangle(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    inner = _TRIANGLE * r / 2
    y = y - inner / 2  # from the centre of the bounding box to the centroid
    return np.maximum(y, abs(x) * (math.sqrt(3) / 2) - y / 2) - inner


def _star(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    outer = _STAR * r
    x, y = abs(x), -y + outer * (1 - _COS36) / 2
    fold = 2 * np.maximum(_COS36 * x - _SIN36 * y, 0)
    x, y = x - fold * _COS36, y + fold * _SIN36
    fold = 2 * np.maximum(-_COS36 * x - _SIN36 * y, 0)
    x, y = abs(x + fold * _COS36), y + fold * _SIN36 - outer
    edge_x, edge_y = _STAR_INNER * _SIN36, _STAR_INNER * _COS36 - 1
    along = np.clip((x * edge_x + y * edge_y) / (edge_x**2 + edge_y**2), 0, outer)
    side = np.sign(y * edge_x - x * edge_y)
    return np.hypot(x - edge_x * along, y - edge_y * along) * side


def _cross(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    x, y = abs(x), abs(y)
    arm = _CROSS_ARM * r
    return np.minimum(np.maximum(x - r, y - arm), np.maximum(x - arm, y - r))


def _ring(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    width = r * (1 - _RING_HOLE) / 2
    return abs(np.sqrt(x * x + y * y) - (r - width)) - width


_DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
}


def coverage(shape: str, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Share of each pixel that a shape covers.

    Args:
        shape: One of SHAPES.
        x: Pixel centres relative to the shape's centre, in pixels, broadcastable with y.
        y: The same, downwards.
        radius: Half extent in pixels.

    Returns:
        Values in [0, 1] of the broadcast shape.
    """
    return np.clip(0.5 - _DISTANCES[shape](x, y, radius), 0, 1)


def render(scene: Scene, size: int = CANVAS) -> np.ndarray:
    """Draw a scene.

    Returns:
        uint8 RGB of shape (size, size, 3).
    """
    scale = size / CANVAS
    canvas = np.empty((size, size, 3), dtype=np.float32)
    canvas[:] = BACKGROUNDS[scene.background]
    for thing in scene.things:
        x, y, radius = thing.x * scale, thing.y * scale, thing.radius * scale
        left, right = max(0, int(x - radius - 2)), min(size, int(x + radius + 3))
        top, bottom = max(0, int(y - radius - 2)), min(size, int(y + radius + 3))
        across = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - x)
        down = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - y)
        alpha = coverage(thing.shape, across, down, radius)[..., None]
        box = canvas[top:bottom, left:right]
        box += alpha * (np.asarray(COLOURS[thing.colour], dtype=np.float32) - box)
    return np.rint(canvas).astype(np.uint8)
