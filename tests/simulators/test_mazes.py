"""The maze simulator: every cell is reached, ways are the shortest, and the judge sees walls."""

from __future__ import annotations

import numpy as np
import pytest

from mmgen.simulators.mazes import (
    GOAL,
    START,
    Maze,
    centre,
    is_free,
    paced_path,
    render,
    sample_ends,
    sample_maze,
    shortest_way,
)

SIZE = 5


def _distances(maze: Maze) -> np.ndarray:
    """Steps between all cells, by Floyd and Warshall: another way than the search's."""
    count = maze.size**2
    steps = np.full((count, count), np.inf)
    for row in range(maze.size):
        for column in range(maze.size):
            steps[row * maze.size + column, row * maze.size + column] = 0
            for r, c in maze.neighbours((row, column)):
                steps[row * maze.size + column, r * maze.size + c] = 1
    for k in range(count):
        steps = np.minimum(steps, steps[:, k, None] + steps[None, k])
    return steps


@pytest.mark.parametrize("num_loops", [0, 4])
def test_every_cell_is_reached_and_ways_are_the_shortest(num_loops: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        maze = sample_maze(rng, size=SIZE, num_loops=num_loops)
        # A tree of N^2 cells has N^2 - 1 openings.
        openings = (~maze.right).sum() + (~maze.below).sum()
        assert openings == SIZE**2 - 1 + num_loops
        steps = _distances(maze)
        assert np.isfinite(steps).all() and (steps == steps.T).all()
        for _ in range(10):
            start, goal = sample_ends(rng, maze)
            way = shortest_way(maze, start, goal)
            assert (way[0], way[-1]) == (start, goal) and start != goal
            assert len(way) - 1 == steps[start[0] * SIZE + start[1], goal[0] * SIZE + goal[1]]


def test_demonstrations_meet_no_wall_and_keep_their_pace() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        maze = sample_maze(rng, size=SIZE, num_loops=3)
        start, goal = sample_ends(rng, maze)
        way = shortest_way(maze, start, goal)
        path = paced_path(way, SIZE**2)
        assert path.shape == (SIZE**2, 2) and path.dtype == np.float32
        assert (path[0] == centre(start)).all() and (path[-1] == centre(goal)).all()
        assert is_free(maze, path)
        lengths = np.linalg.norm(np.diff(path, axis=0), axis=1)
        assert lengths.tolist() == [1.0] * (len(way) - 1) + [0.0] * (SIZE**2 - len(way))


def test_a_path_has_a_point_for_each_cell() -> None:
    with pytest.raises(ValueError, match="A path of 2 points.*the way has 3"):
        paced_path([(0, 0), (0, 1), (0, 2)], 2)


def test_the_judge_sees_walls() -> None:
    right, below = np.zeros((3, 2), bool), np.zeros((2, 3), bool)
    right[1, 0] = below[1, 2] = True
    maze = Maze(right, below)
    across = np.array([[0.5, 1.5], [1.5, 1.5]])
    assert not is_free(maze, across) and not is_free(maze, across[::-1])
    assert is_free(maze, across - [0, 1]) and is_free(maze, across + [0, 1])
    down = np.array([[2.5, 1.5], [2.5, 2.5]])
    assert not is_free(maze, down) and is_free(maze, down - [1, 0])
    # Around the end of the wall, and a chord that cuts it short.
    assert is_free(maze, np.array([[0.5, 1.2], [0.9, 0.9], [1.5, 1.2]]))
    assert not is_free(maze, np.array([[0.5, 1.5], [1.4, 0.9]]))
    # Out of the maze, and over many columns at once.
    assert not is_free(maze, np.array([[0.5, 0.5], [-0.1, 0.5]]))
    assert not is_free(maze, np.array([[0.1, 1.5], [2.9, 1.6]]))


def test_straight_lines_through_random_mazes_mostly_fail() -> None:
    rng = np.random.default_rng(2)
    free = 0
    for _ in range(200):
        maze = sample_maze(rng, size=SIZE, num_loops=3)
        start, goal = sample_ends(rng, maze)
        free += is_free(maze, np.stack([centre(start), centre(goal)]))
    assert 0 < free < 60


def test_pictures_show_walls_and_ends_in_the_pixels_of_their_cells() -> None:
    right, below = np.zeros((2, 1), bool), np.zeros((1, 2), bool)
    right[0, 0] = True
    image = render(Maze(right, below), start=(0, 0), goal=(1, 1))
    assert image.shape == (16, 16, 3)
    assert (image[1:8, 7:9] == 10).all() and (image[9:15, 7:9] == 248).all()
    assert (image[4, 4] == START).all() and (image[12, 12] == GOAL).all()
    plain = render(Maze(right, below))
    assert (plain[4, 4] == 248).all() and (plain[0] == 10).all()


def test_walls_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(N, N - 1\) and \(N - 1, N\).*\(3, 2\).*\(3, 3\)"):
        Maze(np.zeros((3, 2), bool), np.zeros((3, 3), bool))
    walls = np.ones((2, 1), bool)
    with pytest.raises(ValueError, match=r"No way leads from cell \(0, 0\)"):
        shortest_way(Maze(walls, walls.T), (0, 0), (1, 1))
