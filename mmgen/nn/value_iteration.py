"""Looking ahead over a grid: what each cell is worth, if one may go on from it, and where one gets.

Source: Value Iteration Networks (Tamar et al., 2016), Sec. 4, arXiv:1602.02867, here with one
neighbour for each action in place of a learnt convolution, and followed from cell to cell.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ValueIteration"]

_MOVES = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
"""Rows and columns by which staying and the four steps lead away."""
_SHARPNESS = 8.0
"""Of choices: rewards are small at first, and a way is one."""


class ValueIteration(nn.Module):
    """Where one gets on a grid whose cells have features, in 0, 1, 2, ... steps.

    From its features each cell has a reward r for staying and for a step to each of its four
    neighbours, on each of M maps. With gamma learnt for each map,

        v <- max_a q_a,  q_a = r_a + gamma v(where a leads),  v = 0 at first and outside the grid,

    K times. One starts where the features say, as a distribution over cells, and in each step goes
    on by softmax_a q_a. A wall is a low reward of the step through it and a goal a high one of
    staying, so that ways of up to K - 1 steps are found by a few weights, whatever the size of the
    grid.

    Args:
        dim: D, width of the features.
        num_maps: M.
        num_rounds: K.
    """

    # Not orthogonalised: they tell single things apart, and have to do so clearly.
    boundary = ("rewards", "starts", "out")

    def __init__(self, dim: int, *, num_maps: int = 4, num_rounds: int = 16) -> None:
        super().__init__()
        self.num_rounds = num_rounds
        self.rewards = nn.Linear(dim, num_maps * len(_MOVES))
        self.starts = nn.Linear(dim, num_maps)
        self.discount = nn.Parameter(torch.full((num_maps,), 3.0))
        self.out = nn.Linear(num_maps * dim, dim)

    def choices(self, x_BHWD: Tensor) -> Tensor:
        """q of each map, cell and action (B, M, L, A), cells row by row."""
        ahead_LA = _neighbours(x_BHWD, 1)
        rewards_BLMA = self.rewards(x_BHWD).flatten(1, 2).unflatten(-1, (-1, len(_MOVES)))
        rewards_BMLA = rewards_BLMA.transpose(1, 2)
        gamma_M11 = torch.sigmoid(self.discount)[:, None, None]
        choices_BMLA = rewards_BMLA
        for _ in range(self.num_rounds - 1):
            # The last one is what lies outside.
            values_BML = F.pad(choices_BMLA.amax(-1), (0, 1))
            choices_BMLA = rewards_BMLA + gamma_M11 * values_BML[:, :, ahead_LA]
        return choices_BMLA

    def forward(self, x_BHWD: Tensor, num_steps: int) -> Tensor:
        """Features (B, H, W, D) of the cells of a grid to those of where one gets (B, T, D)."""
        behind_LA = _neighbours(x_BHWD, -1)
        cells_BLD = x_BHWD.flatten(1, 2)
        going_BMLA = (_SHARPNESS * self.choices(x_BHWD)).softmax(-1)
        # Where each action comes from.
        coming_BMLA = torch.stack(
            [F.pad(p, (0, 1))[:, :, behind_LA[:, a]] for a, p in enumerate(going_BMLA.unbind(-1))],
            dim=-1,
        )
        there_BML = (_SHARPNESS * self.starts(cells_BLD)).transpose(1, 2).softmax(-1)
        found = [there_BML]
        for _ in range(num_steps - 1):
            there_BML = (coming_BMLA * F.pad(there_BML, (0, 1))[:, :, behind_LA]).sum(-1)
            found.append(there_BML)
        places_BTMD = torch.stack(found, dim=1) @ cells_BLD[:, None]
        return self.out(places_BTMD.flatten(2))


def _neighbours(x_BHWD: Tensor, sign: int) -> Tensor:
    """The number of the cell that each move, or its opposite, leads to (L, A); L for outside."""
    height, width = x_BHWD.shape[1:3]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    found = []
    for down, right in _MOVES:
        row, column = rows + sign * down, columns + sign * right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        found.append(torch.where(inside, row * width + column, height * width).flatten())
    return torch.stack(found, dim=1).to(x_BHWD.device)
