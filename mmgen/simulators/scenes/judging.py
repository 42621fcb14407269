"""From an image back to a scene, and from a scene to a verdict on a caption.

Reading is analysis by synthesis. Pixels that differ from the border are grouped; each group gets a
colour, a coverage per pixel and, from the moments of that coverage, a centre and a radius under
every shape; the shape whose analytic coverage overlaps best wins. What fits nothing well is read as
"unknown", so that a muddy colour or a blob without a shape satisfies no claim.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import permutations

import numpy as np

from mmgen.simulators.scenes.drawing import coverage
from mmgen.simulators.scenes.grammar import Caption, Claim
from mmgen.simulators.scenes.world import (
    BACKGROUNDS,
    CANVAS,
    COLOURS,
    RADII,
    SHAPES,
    Scene,
    Thing,
)

__all__ = ["UNKNOWN", "Verdict", "check", "judge", "read", "whole"]

UNKNOWN = "unknown"

# Distances are Euclidean in RGB, of 255. The closest two colours are 90 apart, the closest two
# backgrounds 83, and any colour is 80 or more from any background.
_FAR_COLOUR = 40.0
_FAR_BACKGROUND = 36.0
_FOREGROUND = 34.0
_SHARE_BORDER = 0.75
_SPECK = 12
_MIN_OVERLAP = 0.82
_SHARP_OVERLAP = 0.9
_SIZE_BOUNDARY = (RADII["small"][1] + RADII["large"][0]) / 2
# How far sizes may stray from what the simulator draws before they are neither small nor large.
_RADIUS_SLACK = 1.5

# Captions are stricter than this (see `clear_relation` and the zones in grammar.py): an image may
# be a few pixels off what the simulator would have drawn and still be right.
_MIN_OFFSET = 4.0
_MIN_RATIO = 0.8
_ZONE_EDGES = (5.0, 8.0)


@dataclass(frozen=True)
class Verdict:
    """Every claim of a caption, and whether it holds."""

    claims: tuple[tuple[Claim, bool], ...]

    @property
    def satisfied(self) -> bool:
        """Whether all claims hold."""
        return all(holds for _, holds in self.claims)


def judge(image: np.ndarray, caption: Caption) -> Verdict:
    """Check every claim of a caption on an image.

    Args:
        image: uint8 RGB of shape (64, 64, 3).
        caption: A caption with its claims, as `describe` gives.

    Raises:
        ValueError: If the image has another shape or dtype.
    """
    return check(read(image), caption)


def check(scene: Scene, caption: Caption) -> Verdict:
    """Check every claim of a caption on a scene, with its things named in the kindest order."""
    subjects = {index for claim in caption.claims for index in (claim.subject, claim.object)}
    num = max(len(scene.things), len(subjects - {None}))
    things: list[Thing | None] = [*scene.things, *[None] * (num - len(scene.things))]
    # Only the three best guesses are tried in a crowd: it has failed the count already.
    orders = permutations(things if num <= 3 else things[:3])
    verdicts = [[_holds(claim, order, scene) for claim in caption.claims] for order in orders]
    best = max(verdicts, key=sum)
    return Verdict(tuple(zip(caption.claims, best, strict=True)))


def _holds(claim: Claim, things: tuple[Thing | None, ...], scene: Scene) -> bool:
    if claim.kind == "count":
        return str(len(scene.things)) == claim.value
    if claim.kind == "background":
        return scene.background == claim.value
    thing = things[claim.subject]
    if thing is None:
        return False
    if claim.kind == "place":
        return _in_zone(thing, claim.value)
    if claim.kind == "relation":
        other = things[claim.object]
        return other is not None and _related(thing, other, claim.value)
    return getattr(thing, claim.kind) == claim.value


def _related(subject: Thing, other: Thing, value: str) -> bool:
    """At least 4 px the right way, and at least 0.8 times as far as along the other axis."""
    along, across = subject.x - other.x, subject.y - other.y
    if value in ("above", "below"):
        along, across = across, along
    if value in ("left", "above"):
        along = -along
    return along >= _MIN_OFFSET and along >= _MIN_RATIO * abs(across)


def _in_zone(thing: Thing, zone: str) -> bool:
    """Thirds that overlap by 3 px, where captions leave these 3 px out of both."""
    words = zone.split()
    return _in_third(thing.x, "left" in words, "right" in words) and _in_third(
        thing.y, "top" in words, "bottom" in words
    )


def _in_third(position: float, low: bool, high: bool) -> bool:
    offset = position - CANVAS / 2
    if low or high:
        return (offset if high else -offset) >= _ZONE_EDGES[0]
    return abs(offset) <= _ZONE_EDGES[1]


def read(image: np.ndarray) -> Scene:
    """Read a scene out of an image.

    Args:
        image: uint8 RGB of shape (64, 64, 3).

    Returns:
        The things from the top left down, in reading order of their first pixel. Colours, shapes,
        sizes and the background are "unknown" where nothing fits.

    Raises:
        ValueError: If the image has another shape or dtype.
    """
    image = np.asarray(image)
    if image.shape != (CANVAS, CANVAS, 3) or image.dtype != np.uint8:
        raise ValueError(
            f"The judge expects uint8 images of shape ({CANVAS}, {CANVAS}, 3); got {image.dtype} "
            f"{image.shape}. Resize or convert it first."
        )
    pixels = image.astype(np.float32)
    background, ground = _read_background(pixels)
    labels, num = _components(_distance(pixels, ground) > _FOREGROUND)
    things = [_read_thing(pixels, labels == i, ground) for i in range(1, num + 1)]
    return Scene(tuple(thing for thing in things if thing is not None), background)


def whole(scene: Scene) -> bool:
    """Whether all of a scene was read, so that it can be described: one to three things, known."""
    named = [name for t in scene.things for name in (t.shape, t.colour, t.size)]
    return 1 <= len(scene.things) <= 3 and UNKNOWN not in (*named, scene.background)


def _distance(colours: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return np.sqrt(((colours - colour) ** 2).sum(-1))


def _nearest(colour: np.ndarray, names: Mapping[str, tuple[int, int, int]], far: float) -> str:
    distances = _distance(np.array(list(names.values()), dtype=np.float32), colour)
    best = int(distances.argmin())
    return list(names)[best] if distances[best] <= far else UNKNOWN


def _read_background(pixels: np.ndarray) -> tuple[str, np.ndarray]:
    """Name and RGB (3,) of the colour that most border pixels share."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    palette = np.array(list(BACKGROUNDS.values()), dtype=np.float32)
    votes = ((border[:, None] - palette) ** 2).sum(-1).argmin(1)
    winner = np.bincount(votes, minlength=len(palette)).argmax()
    ground = np.median(border[votes == winner], axis=0)
    shared = (_distance(border, ground) <= _FOREGROUND).mean() >= _SHARE_BORDER
    return _nearest(ground, BACKGROUNDS, _FAR_BACKGROUND) if shared else UNKNOWN, ground


def _components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Label 8-connected groups of at least _SPECK pixels 1, 2, ...; (H, W) int and their number.

    Joins horizontal runs with union-find: images hold few runs, so Python is fast enough.
    """
    steps = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    runs = list(zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True))
    parents = list(range(len(runs)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = i = parents[parents[i]]
        return i

    above = 0
    for i, (row, start, end) in enumerate(runs):
        while above < i and (
            runs[above][0] < row - 1 or (runs[above][0] == row - 1 and runs[above][2] < start)
        ):
            above += 1
        j = above
        while j < i and runs[j][0] == row - 1 and runs[j][1] <= end:
            parents[root(i)] = root(j)
            j += 1
    areas: dict[int, int] = {}
    for i, (_, start, end) in enumerate(runs):
        areas[root(i)] = areas.get(root(i), 0) + end - start
    names = {i: k for k, i in enumerate((i for i in areas if areas[i] >= _SPECK), start=1)}
    labels = np.zeros(mask.shape, dtype=np.int32)
    for i, (row, start, end) in enumerate(runs):
        labels[row, start:end] = names.get(root(i), 0)
    return labels, len(names)


def _grow(mask: np.ndarray) -> np.ndarray:
    """Dilate a mask by one pixel in four directions."""
    padded = np.pad(mask, 1)
    views = [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:], mask]
    return np.logical_or.reduce(views)


def _soften(cover: np.ndarray) -> np.ndarray:
    """Blur by the binomial kernel (1, 2, 1) / 4 along both axes: 0.7 px."""
    padded = np.pad(cover, 1)
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4


def _paint(pixels: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """RGB (3,) of a group's paint, from the (P, 3) pixels that differ most from the ground.

    Thin arms and rings have hardly a pixel that an edge has not mixed with the ground, so the
    interior after erosion may be empty or diluted. The least diluted third is always there but, in
    a noisy image, biased away from the ground; all pixels about as far off as these are not.
    """
    distances = _distance(pixels, ground)
    return np.median(pixels[distances >= 0.8 * np.quantile(distances, 5 / 6)], axis=0)


def _read_thing(pixels: np.ndarray, mask: np.ndarray, ground: np.ndarray) -> Thing | None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, left = max(0, rows[0] - 2), max(0, columns[0] - 2)
    box = (slice(top, rows[-1] + 3), slice(left, columns[-1] + 3))
    pixels, mask = pixels[box], mask[box]
    paint = _paint(pixels[mask], ground)
    direction = paint - ground
    alpha = (pixels - ground) @ direction / max(float(direction @ direction), 1.0)
    near = _grow(mask)
    alpha = np.where(near, alpha.clip(0, 1), 0).astype(np.float32)
    # What no mixture of paint and ground explains counts against every shape.
    residual = _distance(pixels, ground + alpha[..., None] * direction)
    strange = float(((residual > _FOREGROUND) & near).sum())
    y, x = np.indices(mask.shape, dtype=np.float32)
    grid = (alpha, x + left + 0.5, y + top + 0.5, strange)
    best = max(_fit(shape, *grid, soft=False) for shape in SHAPES)
    if best[0] < _SHARP_OVERLAP:
        best = max(best, *(_fit(shape, *grid, soft=True) for shape in SHAPES))
    overlap, shape, centre_x, centre_y, radius = best
    colour = _nearest(paint, COLOURS, _FAR_COLOUR)
    shape = shape if overlap >= _MIN_OVERLAP else UNKNOWN
    return Thing(shape, colour, _size(radius), centre_x, centre_y, radius)


def _size(radius: float) -> str:
    if not RADII["small"][0] - _RADIUS_SLACK <= radius <= RADII["large"][1] + _RADIUS_SLACK:
        return UNKNOWN
    return "small" if radius < _SIZE_BOUNDARY else "large"


@cache
def _moments(shape: str) -> tuple[float, float]:
    """Area over radius squared, and height of the centroid below the centre over radius."""
    radius = 100.0
    grid = np.arange(-101.5, 102)
    cover = coverage(shape, grid, grid[:, None], radius)
    area = cover.sum()
    return float(area / radius**2), float((cover.sum(1) @ grid) / area / radius)


def _fit(
    shape: str, alpha: np.ndarray, x: np.ndarray, y: np.ndarray, strange: float, *, soft: bool
) -> tuple[float, str, float, float, float]:
    """Soft overlap (intersection over union) of a coverage with a shape of equal moments.

    Returns:
        Overlap in [0, 1], the shape, and its centre and radius in pixels.
    """
    area = float(alpha.sum())
    per_square, drop = _moments(shape)
    radius = (area / per_square) ** 0.5
    centre_x = float((alpha * x).sum()) / area
    centre_y = float((alpha * y).sum()) / area - drop * radius
    # Networks draw edges a little soft: a template as soft as that is as good a fit.
    cover = coverage(shape, x - centre_x, y - centre_y, radius)
    if soft:
        # Softening dilutes thin shapes, whose paint is then read too pale and whose area too large.
        cover = _soften(cover)
        cover = (cover / cover.max()).clip(0, 1)
        radius *= (area / float(cover.sum())) ** 0.5
        cover = _soften(coverage(shape, x - centre_x, y - centre_y, radius))
        cover = (cover / cover.max()).clip(0, 1)
    # The template's part outside the box is missing from both sums; its area puts it back.
    outside = max(0.0, area - float(cover.sum()))
    union = float(np.maximum(alpha, cover).sum()) + strange + outside
    overlap = float(np.minimum(alpha, cover).sum()) / union
    return overlap, shape, centre_x, centre_y, radius
