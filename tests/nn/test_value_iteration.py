"""Looking ahead weighs all ways by what they pay, and so finds what a search finds."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from mmgen.nn.value_iteration import ValueIteration
from mmgen.simulators.mazes import Maze, sample_maze, shortest_way

SIZE, DIM = 4, 6
MOVES = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))


def _features(maze: Maze, start: tuple[int, int], goal: tuple[int, int]) -> torch.Tensor:
    """Of each cell (1, H, W, 6): walls above, below, left and right; the goal; the start."""
    x = torch.zeros(1, SIZE, SIZE, DIM)
    for row in range(SIZE):
        for column in range(SIZE):
            near = maze.neighbours((row, column))
            around = [(row + down, column + right) for down, right in MOVES[1:]]
            x[0, row, column, :4] = torch.tensor([float(cell not in near) for cell in around])
    x[0, goal[0], goal[1], 4] = 1.0
    x[0, start[0], start[1], 5] = 1.0
    return x


def test_all_ways_are_weighed_by_what_they_pay() -> None:
    torch.manual_seed(0)
    module = ValueIteration(3)
    torch.nn.init.normal_(module.rewards.weight, std=0.1)
    torch.nn.init.normal_(module.starts.weight, std=0.1)
    height, width, steps = 2, 3, 4
    x = torch.randn(1, height, width, 3)
    pays = 8 * module.rewards(x)[0].detach().double()
    starts = (8 * module.starts(x)[0, ..., 0].detach().double()).flatten().softmax(0)
    wanted = torch.zeros(steps, height * width, dtype=torch.float64)
    for start in range(height * width):
        own = torch.zeros_like(wanted)
        for actions in product(range(len(MOVES)), repeat=steps - 1):
            cell, total, way = divmod(start, width), 0.0, [start]
            for action in actions:
                total += float(pays[cell[0], cell[1], action])
                cell = (cell[0] + MOVES[action][0], cell[1] + MOVES[action][1])
                if not (0 <= cell[0] < height and 0 <= cell[1] < width):
                    break
                way.append(cell[0] * width + cell[1])
            else:
                own[range(steps), way] += np.exp(total)
        wanted += starts[start] * own / own[0].sum()
    assert (module(x, steps)[0] - wanted).abs().max() < 1e-5


@pytest.mark.parametrize("seed", range(5))
def test_the_shortest_way_is_followed_to_the_goal_and_kept(seed: int) -> None:
    maze = sample_maze(np.random.default_rng(seed), size=SIZE)
    start, goal = (0, 0), (3, seed % SIZE)
    way = shortest_way(maze, start, goal)
    module = ValueIteration(DIM)
    with torch.no_grad():
        for part in (module.rewards, module.starts):
            part.weight.zero_()
        # Each step and wait costs 2, a wall 60 more, staying at the goal nothing: times eight.
        module.rewards.bias.fill_(-2.0)
        for move in range(4):
            module.rewards.weight[move + 1, move] = -60.0
        module.rewards.weight[0, 4] = 2.0
        module.starts.weight[0, 5] = 10.0
    found = module(_features(maze, start, goal), len(way) + 2)[0]
    cells = [row * SIZE + column for row, column in [*way, goal, goal]]
    assert found.argmax(-1).tolist() == cells
    assert found[range(len(cells)), cells].min() > 0.999


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    module = ValueIteration(8)
    x = torch.randn(2, 3, 5, 8)
    found = module(x, 4)
    assert found.shape == (2, 4, 15)
    assert torch.allclose(found.sum(-1), torch.ones(2, 4))
    (found * torch.randn_like(found)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())
    # Each grid alone as in company.
    assert torch.allclose(module(x[1:], 4), found[1:], atol=1e-6)
