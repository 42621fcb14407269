"""An expert of PushT that has learnt nothing: it tries pushes on a table of its own.

A push begins beside the T, at one of many places along its outline, and goes straight in. Each is
tried on a `Table`, and so is what follows the best of them; taken is the one after which the T lies
nearest to its goal for the time that it takes. Then the agent goes around the T to where the push
begins, and pushes. How far the T is from its goal is the root mean square way of its mass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmgen.simulators.pusht.table import CENTRE, GOAL, OUTLINE, RADIUS, Table, placed
from mmgen.simulators.pusht.ways import CORNERS, ROOM, clear, free, lengths, nearest, way

__all__ = ["Expert", "Push", "distance"]

_GYRATION = 3000**0.5
_SPACING, _INSET = 12.0, 4.0
_LONGEST, _STRIDE = 130.0, 2.0
_AHEAD, _PUSHING = 40.0, 24.0
"""How far ahead of the agent its goal lies on the way, and in a push: twice its way in 0.1 s."""
_BOUNDS = 22.0, 490.0
_EXTRA = 10.0
_BEAM = 6


def distance(poses: np.ndarray, goal: np.ndarray = GOAL) -> np.ndarray:
    """Root mean square way of the T's mass from poses (..., 3) to its goal (3,), in pixels."""
    turn = (poses[..., 2] - goal[2] + np.pi) % (2 * np.pi) - np.pi
    x = poses[..., 0] - CENTRE[1] * np.sin(poses[..., 2])
    y = poses[..., 1] + CENTRE[1] * np.cos(poses[..., 2])
    there = placed(CENTRE, goal)
    return np.sqrt((x - there[0]) ** 2 + (y - there[1]) ** 2 + (_GYRATION * turn) ** 2)


def _left(poses: np.ndarray) -> np.ndarray:
    """About how many steps it takes from poses (..., 3) to the goal."""
    far = distance(poses)
    return far / 2 + 15 * np.log((far / 1.5).clip(1))


@dataclass(frozen=True)
class Push:
    """A straight way of the agent against the T.

    Args:
        start: Where it begins (2,), on the table, clear of the T.
        end: Where it ends (2,).
        after: The T then (3,).
        cost: Of it: lower is better.
    """

    start: np.ndarray
    end: np.ndarray
    after: np.ndarray
    cost: float


def _places() -> tuple[np.ndarray, np.ndarray]:
    """Where pushes begin, and where they go, in the T's own frame: (K, 2) each."""
    starts, ways = [], []
    for a, b in zip(OUTLINE, np.roll(OUTLINE, -1, axis=0), strict=True):
        side = np.linalg.norm(b - a)
        along = (b - a) / side
        inward = np.array([-along[1], along[0]])
        count = max(2, round((side - 2 * _INSET) / _SPACING) + 1)
        for share in np.linspace(_INSET, side - _INSET, count):
            starts.append(a + share * along - ROOM * inward)
            ways.append(inward)
    found, ways = np.array(starts), np.array(ways)
    room = np.linalg.norm(found - nearest(found), axis=1)
    keep = room > ROOM - 0.5
    return found[keep], ways[keep]


_STARTS, _WAYS = _places()


class Expert:
    """What to do in each state. One for each episode: it keeps to the push that it has begun.

    Args:
        table: Where it tries pushes.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.push: Push | None = None
        self._pushing = False

    def act(self, state: np.ndarray) -> np.ndarray:
        """The next action (2,) for a state (5,)."""
        agent, pose = state[:2], state[2:]
        if self._pushing and np.linalg.norm(self.push.end - agent) < 1.5:
            self.push, self._pushing = None, False
        if self.push is None:
            self.push = self.plan(agent, pose)
        if not self._pushing and np.linalg.norm(self.push.start - agent) < 5.0:
            self._pushing = True
        if self._pushing:
            return _towards(agent, self.push.start, self.push.end)
        return self._around(agent, pose)

    def plan(self, agent: np.ndarray, pose: np.ndarray) -> Push:
        """The best next push, by what it and another one after it come to."""
        first = self._pushes(agent, pose)
        best = sorted(first, key=lambda p: p.cost)[:_BEAM]
        if not best:
            raise ValueError(f"No push is open to an agent at {agent} with the T at {pose}.")
        if distance(best[0].after) < 2.0:
            return best[0]
        found = []
        for push in best:
            then = self._pushes(push.end, push.after)
            spent = push.cost - _left(push.after)
            least = min((p.cost for p in then), default=np.inf)
            found.append((min(push.cost, spent + least), push))
        return min(found, key=lambda f: f[0])[1]

    def _pushes(self, agent: np.ndarray, pose: np.ndarray) -> list[Push]:
        """Each of the pushes from here that can be, as long as is best."""
        starts, ways = placed(_STARTS, pose), placed(_WAYS, np.array([0, 0, pose[2]]))
        inside = _inside(pose)
        here = _leave(_local(agent, pose), pose)
        far = lengths(here, _STARTS, inside)
        low, high = _BOUNDS
        open_ = np.isfinite(far) & ((starts > low) & (starts < high)).all(1)
        found = []
        least = min(10.0, 0.3 * float(distance(pose)))
        skip = ROOM - RADIUS - 2.0
        steps = np.arange(0.0, _LONGEST, _STRIDE)
        for start, go, along in zip(starts[open_], ways[open_], far[open_], strict=True):
            path = start + (skip + steps)[:, None] * go
            stay = ((path > RADIUS + 6) & (path < 506 - RADIUS - 1)).all(1)
            path = path[: len(path) if stay.all() else stay.argmin()]
            if len(path) < 2:
                continue
            after = self.table.push(pose, path)
            spent = _EXTRA + 2 * along / _AHEAD + 2 * (skip + steps[: len(path)]) / _PUSHING
            moved = np.abs(after - pose) @ (1.0, 1.0, _GYRATION) > least
            cost = np.where(moved, spent + _left(after), np.inf)
            k = int(cost.argmin())
            if not moved[k]:
                continue
            found.append(Push(start, path[k], after[k], float(cost[k])))
        return found

    def _around(self, agent: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """The point of the way around the T that lies ahead of the agent."""
        here, end = _local(agent, pose), _local(self.push.start, pose)
        out = _leave(here, pose)
        if np.linalg.norm(out - here) > 1e-6:
            return placed(out, pose)
        points = np.concatenate([here[None], way(here, end, _inside(pose))])
        sides = np.linalg.norm(np.diff(points, axis=0), axis=1)
        passed = np.concatenate([[0.0], sides.cumsum()])
        for ahead in _AHEAD * np.array([1.0, 0.8, 0.6, 0.4]):
            goal = np.array([np.interp(ahead, passed, points[:, k]) for k in (0, 1)])
            if free(here, goal):
                break
        return placed(goal, pose)


def _towards(agent: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The point ahead of the agent on the line of a push, at most its end."""
    whole = np.linalg.norm(end - start)
    go = (end - start) / whole
    along = float((agent - start) @ go)
    return start + min(along + _PUSHING, whole) * go


def _local(point: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """A point of the table in the T's own frame."""
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    return (point - pose[:2]) @ np.array([[cos, -sin], [sin, cos]])


def _leave(point: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Where an agent that touches the T, or nearly, goes first: where a push might begin."""
    if clear(point):
        return point
    starts = placed(_STARTS, pose)
    low, high = _BOUNDS
    far = np.linalg.norm(_STARTS - point, axis=1)
    return _STARTS[np.where(((starts > low) & (starts < high)).all(1), far, np.inf).argmin()]


def _inside(pose: np.ndarray) -> np.ndarray:
    """Which corners of ways lie on the table (6,)."""
    corners = placed(CORNERS, pose)
    low, high = _BOUNDS
    return ((corners > low) & (corners < high)).all(1)
