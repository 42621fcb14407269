"""What a scene is, and the distribution that scenes are drawn from.

Lengths are in pixels of a 64 x 64 canvas whatever size it is rendered at; x grows to the right and
y downwards, and pixel (i, j) covers [i, i + 1) x [j, j + 1).
"""

from dataclasses import dataclass

import numpy as np

__all__ = [
    "BACKGROUNDS",
    "CANVAS",
    "COLOURS",
    "PAIRS_UNSEEN",
    "RADII",
    "SHAPES",
    "SIZES",
    "Scene",
    "Thing",
    "clear_relation",
    "sample_scene",
]

CANVAS = 64
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
COLOURS = {
    "red": (220, 35, 40),
    "orange": (250, 135, 20),
    "yellow": (250, 225, 40),
    "green": (35, 165, 60),
    "blue": (40, 85, 230),
    "purple": (135, 45, 170),
    "pink": (250, 150, 195),
    "cyan": (50, 210, 225),
}
BACKGROUNDS = {
    "white": (248, 248, 248),
    "grey": (128, 128, 128),
    "black": (10, 10, 10),
    "navy": (12, 22, 92),
}
SIZES = ("small", "large")
RADII = {"small": (6.0, 7.5), "large": (10.5, 12.5)}

# Ten of the 48 pairs, at most two of any shape or colour, so that every part of an unseen pair has
# been seen often in other company: what is tested is composition.
PAIRS_UNSEEN = frozenset(
    {
        ("orange", "circle"),
        ("cyan", "circle"),
        ("red", "square"),
        ("purple", "square"),
        ("blue", "triangle"),
        ("yellow", "triangle"),
        ("pink", "star"),
        ("orange", "star"),
        ("green", "cross"),
        ("cyan", "ring"),
    }
)

_PAIRS_ALL = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)
_PAIRS = {
    "any": _PAIRS_ALL,
    "seen": tuple(pair for pair in _PAIRS_ALL if pair not in PAIRS_UNSEEN),
    "unseen": tuple(pair for pair in _PAIRS_ALL if pair in PAIRS_UNSEEN),
}
_BACKGROUND_NAMES = tuple(BACKGROUNDS)

_MARGIN = 1.0
_GAP = 3.0
_PROB_RELATED = 0.85
# Chance alone adds about 4 % of twins to scenes of two or three, for some 6 % in all.
_PROB_TWINS = 0.02
_NUM_CANDIDATES = 48


@dataclass(frozen=True)
class Thing:
    """One shape: its centre (x, y) and half extent `radius`, in pixels of the 64 x 64 canvas."""

    shape: str
    colour: str
    size: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    """One to three things on a background."""

    things: tuple[Thing, ...]
    background: str


def clear_relation(
    dx: float | np.ndarray, dy: float | np.ndarray
) -> tuple[bool | np.ndarray, bool | np.ndarray]:
    """Whether an offset is clearly (horizontal, vertical): at least 10 px and 1.5 times the other.

    Captions state a relation only when it is clear, so a caption is never a matter of taste.
    """
    width, height = abs(dx), abs(dy)
    horizontal = (width >= 10) & (width > 1.5 * height)
    vertical = (height >= 10) & (height > 1.5 * width)
    return horizontal, vertical


def sample_scene(
    rng: np.random.Generator, *, pairs: str = "seen", num_things: int | None = None
) -> Scene:
    """Draw a scene.

    Args:
        rng: Source of all randomness.
        pairs: "seen" never holds a pair of PAIRS_UNSEEN, "unseen" holds at least one such pair and
            is otherwise seen, "any" draws from all pairs.
        num_things: 1, 2 or 3, or None to draw it with probability .35, .45, .20.

    Raises:
        ValueError: If `pairs` or `num_things` is none of the above.
    """
    if pairs not in _PAIRS:
        raise ValueError(f"Expected pairs to be 'seen', 'unseen' or 'any'; got {pairs!r}.")
    if num_things is None:
        draw = rng.random()
        num_things = 1 if draw < 0.35 else 2 if draw < 0.80 else 3
    elif num_things not in (1, 2, 3):
        raise ValueError(f"Expected num_things to be 1, 2 or 3; got {num_things!r}.")
    looks = _sample_looks(rng, pairs, num_things)
    background = _BACKGROUND_NAMES[rng.integers(len(_BACKGROUND_NAMES))]
    while True:
        sizes = [SIZES[rng.integers(2)] for _ in looks]
        radii = [RADII[size][0] + rng.random() * np.ptp(RADII[size]) for size in sizes]
        related = rng.random() < _PROB_RELATED
        # Three large things seldom fit at the first try; a few tries keep them from dying out.
        for _ in range(12):
            places = _sample_places(rng, radii, related)
            if places is not None:
                rows = zip(looks, sizes, places, radii, strict=True)
                things = tuple(
                    Thing(shape, colour, size, x, y, float(radius))
                    for (colour, shape), size, (x, y), radius in rows
                )
                return Scene(things, background)


def _sample_looks(rng: np.random.Generator, pairs: str, num: int) -> list[tuple[str, str]]:
    """(colour, shape) of every thing, in random order; now and then two or three are twins."""
    rest = _PAIRS["seen" if pairs == "unseen" else pairs]
    looks = [rest[rng.integers(len(rest))] for _ in range(num)]
    if pairs == "unseen":
        looks[0] = _PAIRS["unseen"][rng.integers(len(_PAIRS["unseen"]))]
    if num > 1 and rng.random() < _PROB_TWINS:
        num_twins = 2 if num == 2 or rng.random() < 0.5 else 3
        looks[:num_twins] = [looks[0]] * num_twins
    return [looks[i] for i in rng.permutation(num)]


def _sample_places(
    rng: np.random.Generator, radii: list[float], related: bool
) -> list[tuple[float, float]] | None:
    """Centres inside the canvas whose bounding boxes keep their distance, or None if stuck."""
    places: list[tuple[float, float]] = []
    for radius in radii:
        num = _NUM_CANDIDATES if places else 1
        low = radius + _MARGIN
        x, y = low + rng.random((2, num)) * (CANVAS - 2 * low)
        free = np.ones(num, dtype=bool)
        clear = np.full(num, not (related and places))
        for (other_x, other_y), other in zip(places, radii, strict=False):
            dx, dy = x - other_x, y - other_y
            free &= np.maximum(abs(dx), abs(dy)) >= radius + other + _GAP
            horizontal, vertical = clear_relation(dx, dy)
            clear |= horizontal | vertical
        fits = np.flatnonzero(free & clear)
        if not len(fits):
            return None
        places.append((float(x[fits[0]]), float(y[fits[0]])))
    return places
