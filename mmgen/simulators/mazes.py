"""Mazes and ways through them: a program for P(path | maze), and its judge.

A maze is a grid of N x N square cells, some pairs of neighbours with a wall between. Lengths are in
cells: x grows to the right and y downwards, cell (row, column) covers [column, column + 1) x
[row, row + 1), and the whole lies in [0, N] x [0, N]. A path is a row of points (T, 2), (x, y), to
be gone through in straight lines. A demonstration goes a shortest way from centre to centre, one
cell at each point, and then waits at the goal: its k-th point tells of the way alone how it begins,
and not how long it is.

Mazes are made by the program alone: no data, no licence, no download.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

__all__ = [
    "GOAL",
    "START",
    "Maze",
    "centre",
    "is_free",
    "paced_path",
    "render",
    "sample_ends",
    "sample_maze",
    "shortest_way",
]

Cell = tuple[int, int]

START, GOAL = (35, 165, 60), (220, 35, 40)
"""Colours of the cells where a path starts and ends, in pictures."""
_WALL, _FLOOR = (10, 10, 10), (248, 248, 248)


@dataclass(frozen=True)
class Maze:
    """Which neighbours have a wall between them.

    Args:
        right: Between cell (r, c) and (r, c + 1), boolean (N, N - 1).
        below: Between cell (r, c) and (r + 1, c), boolean (N - 1, N).

    Raises:
        ValueError: If the arrays do not fit together.
    """

    right: np.ndarray
    below: np.ndarray

    def __post_init__(self) -> None:
        size = len(self.right)
        wanted = ((size, size - 1), (size - 1, size))
        if size < 2 or (self.right.shape, self.below.shape) != wanted:
            raise ValueError(
                f"Walls of a maze of N x N cells are (N, N - 1) and (N - 1, N), N from 2 on; got "
                f"{self.right.shape} and {self.below.shape}."
            )

    @property
    def size(self) -> int:
        """N, cells on a side."""
        return len(self.right)

    def neighbours(self, cell: Cell) -> list[Cell]:
        """The cells that are open to this one."""
        row, column = cell
        found = []
        if row > 0 and not self.below[row - 1, column]:
            found.append((row - 1, column))
        if row < self.size - 1 and not self.below[row, column]:
            found.append((row + 1, column))
        if column > 0 and not self.right[row, column - 1]:
            found.append((row, column - 1))
        if column < self.size - 1 and not self.right[row, column]:
            found.append((row, column + 1))
        return found


def sample_maze(rng: np.random.Generator, *, size: int, num_loops: int = 0) -> Maze:
    """A maze of which every cell can be reached from every other.

    A spanning tree by a walk that turns back at dead ends, and `num_loops` of the walls that are
    left opened, so that there are several ways.

    Args:
        rng: What it is drawn by.
        size: N, cells on a side.
        num_loops: Walls to open beyond the tree, as far as there are any.
    """
    right = [[True] * (size - 1) for _ in range(size)]
    below = [[True] * size for _ in range(size - 1)]
    # More than the walk can ask for: it enters each cell once.
    draws = rng.integers(2**31, size=size**2 + 1).tolist()
    trail = [divmod(draws.pop() % size**2, size)]
    seen = {trail[0]}
    while trail:
        row, column = trail[-1]
        around = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
        fresh = [c for c in around if 0 <= min(c) and max(c) < size and c not in seen]
        if not fresh:
            trail.pop()
            continue
        cell = fresh[draws.pop() % len(fresh)]
        if cell[0] == row:
            right[row][min(column, cell[1])] = False
        else:
            below[min(row, cell[0])][column] = False
        seen.add(cell)
        trail.append(cell)
    walls = np.concatenate([np.ravel(right), np.ravel(below)])
    walls[rng.permutation(np.flatnonzero(walls))[:num_loops]] = False
    half = size * (size - 1)
    return Maze(walls[:half].reshape(size, size - 1), walls[half:].reshape(size - 1, size))


def sample_ends(rng: np.random.Generator, maze: Maze) -> tuple[Cell, Cell]:
    """Two different cells, all pairs equally likely."""
    count = maze.size**2
    first, step = int(rng.integers(count)), int(rng.integers(1, count))
    return divmod(first, maze.size), divmod((first + step) % count, maze.size)


def shortest_way(maze: Maze, start: Cell, goal: Cell) -> list[Cell]:
    """The fewest cells from start to goal, both included; of ways as short, always the same one.

    Raises:
        ValueError: If there is no way.
    """
    came: dict[Cell, Cell] = {start: start}
    waiting = deque([start])
    while waiting and goal not in came:
        cell = waiting.popleft()
        for near in maze.neighbours(cell):
            if near not in came:
                came[near] = cell
                waiting.append(near)
    if goal not in came:
        raise ValueError(f"No way leads from cell {start} to {goal}.")
    way = [goal]
    while way[-1] != start:
        way.append(came[way[-1]])
    return way[::-1]


def centre(cell: Cell) -> np.ndarray:
    """The middle of a cell as (x, y), float32 (2,)."""
    return np.array([cell[1] + 0.5, cell[0] + 0.5], np.float32)


def paced_path(way: list[Cell], num_points: int) -> np.ndarray:
    """A path from centre to centre, one cell at each point, that then waits at the goal.

    Args:
        way: Cells, each a neighbour of the one before.
        num_points: T.

    Returns:
        (T, 2), (x, y) in cells, float32.

    Raises:
        ValueError: If the way has more cells than the path points.
    """
    if len(way) > num_points:
        raise ValueError(
            f"A path of {num_points} points goes through as many cells at most; the way has "
            f"{len(way)}. Give it more points."
        )
    return np.stack([centre(way[min(k, len(way) - 1)]) for k in range(num_points)])


def is_free(maze: Maze, path: np.ndarray) -> bool:
    """Whether a path (T, 2) keeps within the maze and crosses no wall on the way."""
    points = np.asarray(path, np.float64)
    if points.min() < 0 or points.max() > maze.size:
        return False
    # What holds for walls between columns holds for those between rows with x and y exchanged.
    return not _crosses(maze.right, points) and not _crosses(maze.below.T, points[:, ::-1])


def _crosses(walls: np.ndarray, points: np.ndarray) -> bool:
    """Whether a path meets any of the walls (N, N - 1) that stand at x = 1, 2, ..."""
    before, after = points[:-1], points[1:]
    for place in range(1, len(walls)):
        meets = (before[:, 0] < place) != (after[:, 0] < place)
        if not meets.any():
            continue
        a, b = before[meets], after[meets]
        height = a[:, 1] + (place - a[:, 0]) / (b[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
        rows = np.floor(height).astype(int).clip(0, len(walls) - 1)
        if walls[rows, place - 1].any():
            return True
    return False


def render(
    maze: Maze, *, start: Cell | None = None, goal: Cell | None = None, scale: int = 8
) -> np.ndarray:
    """The maze from above: walls black, a cell's walls in the pixels of its own edge.

    Args:
        maze: What is drawn.
        start: A cell to mark in the colour `START`.
        goal: One to mark in the colour `GOAL`.
        scale: Pixels of a cell.

    Returns:
        uint8 (N * scale, N * scale, 3).
    """
    side = maze.size * scale
    image = np.full((side, side, 3), _FLOOR, np.uint8)
    inset = scale // 4
    for cell, colour in ((start, START), (goal, GOAL)):
        if cell is not None:
            top, left = cell[0] * scale, cell[1] * scale
            image[top + inset : top + scale - inset, left + inset : left + scale - inset] = colour
    image[[0, -1]] = image[:, [0, -1]] = _WALL
    # By cell: (row, pixel of it, column, pixel of it, colour).
    cells = image.reshape(maze.size, scale, maze.size, scale, 3)
    rows, columns = np.nonzero(maze.right)
    cells[rows, :, columns, -1] = cells[rows, :, columns + 1, 0] = _WALL
    rows, columns = np.nonzero(maze.below)
    cells[rows, -1, columns] = cells[rows + 1, 0, columns] = _WALL
    return image
