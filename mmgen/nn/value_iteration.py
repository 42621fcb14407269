"""Looking ahead over a grid: where one is after 0, 1, 2, ... steps, if one goes by what pays.

Sources: Maximum Entropy Inverse Reinforcement Learning (Ziebart et al., 2008), Algorithm 1, for
ways that are the likelier the more their steps pay; Value Iteration Networks (Tamar et al., 2016),
Sec. 4, arXiv:1602.02867, for doing so within a network, here with one neighbour for each action in
place of a learnt convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["ValueIteration"]

_MOVES = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
"""Rows and columns by which staying and the four steps lead away."""
_SCALE = 8.0
"""Of rewards in nats, so that they get large before features do."""
_OUTSIDE = -1e4
"""Reward of a step that leaves the grid."""


class ValueIteration(nn.Module):
    """Where one is on a grid whose cells have features, after 0, 1, 2, ... steps.

    From its features each cell has a reward r_a for staying and for a step to each of its four
    neighbours, and starts are drawn by a softmax over cells. All ways of T - 1 such steps are
    weighed by exp(sum of their rewards). With k steps left,

        q_k,a = r_a + v_{k-1}(where a leads),  v_k = log sum_a exp q_k,a,  v_0 = 0,

    one then goes on by softmax_a q_k,a, and what is known of where one is after each step follows
    forwards. A wall is a low reward of the step through it and a goal a high one of staying, so
    that shortest ways are found by a few weights, whatever the size of the grid.

    Args:
        dim: D, width of the features.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.rewards = nn.Linear(dim, len(_MOVES))
        self.starts = nn.Linear(dim, 1, bias=False)
        # Near zero every way is as likely, and all of them learn.
        for part in (self.rewards, self.starts):
            nn.init.normal_(part.weight, std=0.05 / dim**0.5)
        nn.init.zeros_(self.rewards.bias)

    def forward(self, x_BHWD: Tensor, num_steps: int) -> Tensor:
        """The cells' features to the probabilities of each cell after each step (B, T, L).

        Args:
            x_BHWD: Features.
            num_steps: T, the start included.
        """
        leads_LAL = _neighbours(*x_BHWD.shape[1:3]).to(x_BHWD)
        size = len(leads_LAL)
        onward_MN = leads_LAL.flatten(0, 1)
        rewards_BLA = self.rewards(x_BHWD).flatten(1, 2) * _SCALE
        rewards_BLA = rewards_BLA + _OUTSIDE * (1 - leads_LAL.sum(-1))
        going = []
        choices_BLA = rewards_BLA
        for _ in range(num_steps - 1):
            going.append(choices_BLA.softmax(-1))
            values_BL = choices_BLA.logsumexp(-1)
            choices_BLA = rewards_BLA + (values_BL @ onward_MN.T).unflatten(-1, (size, -1))
        there_BL = (self.starts(x_BHWD).flatten(1) * _SCALE).softmax(-1)
        found = [there_BL]
        for going_BLA in reversed(going):
            there_BL = (there_BL[..., None] * going_BLA).flatten(1) @ onward_MN
            found.append(there_BL)
        return torch.stack(found, dim=1)


def _neighbours(height: int, width: int) -> Tensor:
    """Whether each move from each cell leads to each cell (L, A, L), boolean."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    moves = torch.tensor(_MOVES)
    row_LA = rows.reshape(-1, 1) + moves[:, 0]
    column_LA = columns.reshape(-1, 1) + moves[:, 1]
    there_LAL = row_LA[..., None] == rows.flatten()
    return there_LAL & (column_LA[..., None] == columns.flatten())
