"""Looking ahead finds what a search finds, in as many rounds as there are steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmgen.nn.value_iteration import ValueIteration
from mmgen.simulators.mazes import Maze, sample_maze, shortest_way

SIZE, DIM = 4, 8


def _features(maze: Maze, goal: tuple[int, int]) -> torch.Tensor:
    """Of each cell (1, H, W, 8): whether a wall is above, below, left, right; and the goal."""
    x = torch.zeros(1, SIZE, SIZE, DIM)
    for row in range(SIZE):
        for column in range(SIZE):
            near = maze.neighbours((row, column))
            around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
            x[0, row, column, :4] = torch.tensor([float(cell not in near) for cell in around])
    x[0, goal[0], goal[1], 4] = 1.0
    return x


def _planner(num_rounds: int) -> ValueIteration:
    """By given rewards: -1 for a step or a wait, a wall dear, staying at the goal free."""
    module = ValueIteration(DIM, num_maps=1, num_rounds=num_rounds)
    with torch.no_grad():
        for part in (module.rewards, module.starts, module.out):
            part.weight.zero_()
            part.bias.zero_()
        for move in range(1, 5):
            module.rewards.weight[move, move - 1] = -100.0
        module.rewards.weight[0, 4] = 1.0
        module.rewards.bias.fill_(-1.0)
        module.starts.weight[0, 5] = 100.0
        module.out.weight.copy_(torch.eye(DIM))
        module.discount.fill_(50.0)
    return module


@pytest.mark.parametrize("seed", range(5))
def test_values_are_the_steps_to_the_goal(seed: int) -> None:
    maze = sample_maze(np.random.default_rng(seed), size=SIZE, num_loops=2)
    goal = (seed % SIZE, 1)
    steps = [[len(shortest_way(maze, (r, c), goal)) - 1 for c in range(SIZE)] for r in range(SIZE)]
    wanted = torch.tensor(steps, dtype=torch.float32)
    for rounds in (16, 3):
        values = _planner(rounds).choices(_features(maze, goal)).amax(-1)
        # What lies further than there are rounds is not seen.
        assert torch.equal(-values.reshape(SIZE, SIZE), wanted.clamp(max=rounds))


def test_following_it_gets_to_the_goal_and_stays() -> None:
    maze = sample_maze(np.random.default_rng(3), size=SIZE)
    start, goal = (0, 0), (3, 2)
    way = shortest_way(maze, start, goal)
    x = _features(maze, goal)
    x[0, start[0], start[1], 5] = 1.0
    # In the last two features each cell says where it is.
    x[0, :, :, 6] = torch.arange(SIZE)[:, None].float()
    x[0, :, :, 7] = torch.arange(SIZE).float()
    found = _planner(16)(x, len(way) + 2)[0, :, 6:]
    # To wait is worse by a step, which leaves e^-8 for it, and each step adds to that.
    wanted = torch.tensor([*way, goal, goal], dtype=torch.float32)
    assert (found - wanted).abs().max() < 1e-2


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    module = ValueIteration(DIM, num_maps=2, num_rounds=3)
    x = torch.randn(2, 3, 5, DIM)
    found = module(x, 4)
    assert found.shape == (2, 4, DIM)
    (found * torch.randn_like(found)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())
    # Each grid alone as in company.
    assert torch.allclose(module(x[1:], 4), found[1:], atol=1e-6)
