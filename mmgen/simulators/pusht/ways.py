"""Ways around the T for an agent that shall not touch it, in the T's own frame.

The T and the room that the agent keeps from it are two boxes, a bar and a stem. A shortest way
bends at their corners alone.
"""

from __future__ import annotations

import numpy as np

from mmgen.simulators.pusht.table import OUTLINE, RADIUS

__all__ = ["CORNERS", "ROOM", "clear", "free", "lengths", "nearest", "way"]

ROOM = RADIUS + 10.0
"""From the T to the middle of an agent that stands before a push."""
_LEAST = RADIUS + 5.0
_SIGNS = np.array([(-1, -1), (1, -1), (1, 1), (1, 1), (-1, 1), (-1, 1)])
CORNERS = OUTLINE[[0, 1, 2, 4, 5, 7]] + (ROOM - 1.0) * _SIGNS
"""Where ways may bend (6, 2)."""
_BOXES = np.array([[(-60, 0), (60, 30)], [(-15, 0), (15, 120)]]) + _LEAST * np.array(
    [[(-1, -1), (1, 1)]]
)


def nearest(points: np.ndarray) -> np.ndarray:
    """The point of the T's outline that is nearest to each (N, 2)."""
    a, b = OUTLINE, np.roll(OUTLINE, -1, axis=0)
    along = b - a
    share = ((points[:, None] - a) * along).sum(-1) / (along**2).sum(-1)
    feet = a + share.clip(0, 1)[..., None] * along
    best = ((points[:, None] - feet) ** 2).sum(-1).argmin(1)
    return feet[np.arange(len(points)), best]


def free(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Whether the straight ways from starts (..., 2) to ends (..., 2) keep clear of the T."""
    delta = ends - starts
    delta = np.where(np.abs(delta) < 1e-9, 1e-9, delta)
    clear = np.ones(delta.shape[:-1], bool)
    for low, high in _BOXES:
        one, other = (low - starts) / delta, (high - starts) / delta
        enter = np.minimum(one, other).max(-1).clip(0, None)
        leave = np.maximum(one, other).min(-1).clip(None, 1)
        clear &= enter >= leave
    return clear


def clear(point: np.ndarray) -> bool:
    """Whether a point (2,) is one that ways may lead through."""
    return not ((point > _BOXES[:, 0]) & (point < _BOXES[:, 1])).all(1).any()


def _graph(start: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Lengths of the shortest ways from a start to each corner (6,), of those in bounds."""
    between = np.linalg.norm(CORNERS[:, None] - CORNERS[None], axis=-1)
    between = np.where(free(CORNERS[:, None], CORNERS[None]), between, np.inf)
    first = np.where(free(start, CORNERS), np.linalg.norm(CORNERS - start, axis=-1), np.inf)
    first = np.where(inside, first, np.inf)
    for _ in range(len(CORNERS) - 1):
        first = np.minimum(first, (first[:, None] + between).min(0))
        first = np.where(inside, first, np.inf)
    return first


def lengths(start: np.ndarray, ends: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Lengths of the shortest ways to ends (N, 2), infinite where there is none.

    Args:
        start: (2,), clear of the T.
        ends: (N, 2), likewise.
        inside: Which of the corners can be gone to, boolean (6,).
    """
    straight = np.linalg.norm(ends - start, axis=-1)
    last = np.linalg.norm(ends[:, None] - CORNERS, axis=-1)
    last = np.where(free(ends[:, None], CORNERS), last, np.inf)
    bent = (_graph(start, inside) + last).min(1)
    return np.where(free(start, ends), straight, bent)


def way(start: np.ndarray, end: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The next point of the shortest way from start to end, and those after it (N, 2).

    Where there is no way, the end alone.
    """
    points = [start]
    while not free(points[-1], end) and len(points) <= len(CORNERS):
        here = points[-1]
        ahead = np.linalg.norm(CORNERS - here, axis=-1)
        seen = free(here, CORNERS) & inside & (ahead > 1e-6)
        onward = np.array([lengths(c, end[None], inside)[0] for c in CORNERS])
        total = np.where(seen, ahead + onward, np.inf)
        if not np.isfinite(total).any():
            break
        points.append(CORNERS[total.argmin()])
    return np.array([*points[1:], end])
