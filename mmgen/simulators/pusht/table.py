"""The table of PushT: a T that an agent pushes about, as gym-pusht defines it.

Lengths are in pixels of its 512 x 512, x to the right and y downwards, angles in rad. A state is
(x, y) of the agent, (x, y) of the T's own origin, the middle of the top edge of its bar, and its
angle. An action is the point (x, y) that the agent heads for during the next tenth of a second.

Nothing slides on here: what is not pushed stands still. So what a push does follows from the way
that the agent goes, and hardly from how fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mmgen.core.errors import MissingDependency

if TYPE_CHECKING:
    from gym_pusht.envs import PushTEnv

__all__ = [
    "CENTRE",
    "GOAL",
    "MOST_STEPS",
    "OUTLINE",
    "RADIUS",
    "Table",
    "placed",
]

GOAL = np.array([256.0, 256.0, np.pi / 4])
"""Where the T shall lie: (x, y, angle)."""
RADIUS = 15.0
"""Of the agent."""
CENTRE = np.array([0.0, 45.0])
"""What the T turns about, its centre of mass, in its own frame."""
OUTLINE = np.array(
    [(-60, 0), (60, 0), (60, 30), (15, 30), (15, 120), (-15, 120), (-15, 30), (-60, 30)], np.float64
)
"""Corners of the T in its own frame, in a row around it (8, 2)."""
MOST_STEPS = 300
"""Of an episode, each 0.1 s."""
_STEP = 0.01
_NEAR = np.array([20.0, 20.0, 0.3])
"""Deviations from the goal where an episode starts near it."""


def placed(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Points (..., 2) of the T's own frame on the table, if it lies at (x, y, angle)."""
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    return points @ np.array([[cos, sin], [-sin, cos]]) + pose[:2]


class Table:
    """A table of which states can be set, to try what a push would do.

    Raises:
        MissingDependency: If gym-pusht is not installed.
    """

    def __init__(self) -> None:
        try:
            from gym_pusht.envs import PushTEnv
        except ImportError:
            raise MissingDependency(
                "gym-pusht", extra="policies", purpose="Simulating PushT"
            ) from None
        self._env: PushTEnv = PushTEnv()
        self._played: PushTEnv = PushTEnv()
        self._env.reset(seed=0)

    def start(self, seed: int, *, near: bool = False) -> np.ndarray:
        """Begin an episode, and give its first state (5,).

        Args:
            seed: Of the start.
            near: Whether the T lies near its goal, and the agent beside it, rather than as
                gym-pusht starts.
        """
        if not near:
            return self._played.reset(seed=seed)[0]
        rng = np.random.default_rng([seed, 1])
        pose = GOAL + rng.standard_normal(3) * _NEAR
        side, far = rng.uniform(0, 2 * np.pi), rng.uniform(60, 160)
        agent = placed(CENTRE, pose) + far * np.array([np.cos(side), np.sin(side)])
        state = np.concatenate([agent.clip(30, 480), pose])
        return self._played.reset(seed=seed, options={"reset_to_state": state})[0]

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """Carry out an action in the episode: the state, the reward, and whether it succeeded."""
        state, reward, done, _, _ = self._played.step(action)
        return state, float(reward), bool(done)

    def push(self, pose: np.ndarray, path: np.ndarray) -> np.ndarray:
        """Where the T goes while the agent goes along a path.

        Args:
            pose: (x, y, angle) of the T.
            path: Points (N, 2) of the agent, each 0.01 s after the one before.

        Returns:
            (N, 3): the T at each of them.
        """
        env = self._env
        agent, block, space = env.agent, env.block, env.space
        # The angle first: it turns about the centre of mass, and so moves the origin.
        block.angle = float(pose[2])
        block.position = float(pose[0]), float(pose[1])
        block.velocity, block.angular_velocity = (0, 0), 0
        agent.position = float(path[0, 0]), float(path[0, 1])
        space.reindex_shapes_for_body(block)
        space.reindex_shapes_for_body(agent)
        speeds = (np.diff(path, axis=0) / _STEP).tolist()
        found = [(*block.position, block.angle)]
        for speed in speeds:
            agent.velocity = tuple(speed)
            space.step(_STEP)
            found.append((*block.position, block.angle))
        return np.array(found)
