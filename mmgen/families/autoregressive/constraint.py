"""Sequences that are only gone on with as long as they can become one that will do."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mmgen.families.autoregressive.warping import Warping

__all__ = ["Accepts", "Constrained", "Constraint"]

Accepts = Callable[[list[int]], bool]
"""Whether a sequence of tokens will do."""

# What has more tokens refused in a row is where the model has hardly ever been, and ends there.
_MOST_REFUSED = 24


@dataclass(frozen=True)
class Constraint:
    """Which sequences there may be.

    Args:
        begins: Whether a sequence that will do may begin with these tokens.
        ends: Whether these tokens will do as they are.
        closing: Which tokens would close something that these open, whether they may come or not;
            in a sequence that will do nothing is open.
    """

    begins: Accepts
    ends: Accepts
    closing: Callable[[list[int]], list[int]]


@dataclass(frozen=True)
class Constrained:
    """Draws as `Warping` does, of the tokens that may come next.

    What may is asked of tokens that are drawn and not of the whole vocabulary: if no sequence that
    will do goes on with one, its logit becomes minus infinity, and another is drawn of what is
    left. So a token has the model's probability given that it may come next:

        p(z_n | z_<n, allowed) = p(z_n | z_<n) / sum of p(z | z_<n) over allowed z.

    Where the end is drawn too early, because something is open, what closes something comes, if
    there is such a token that may. Where nothing may come, or nothing likely, the sequence ends.

    This is not P(Z | Z will do), which would also favour beginnings with many ways on.

    Args:
        warping: Changes to the logits, each time of the tokens that are left.
        constraint: Which may come.
        end: The id of the end.
    """

    warping: Warping
    constraint: Constraint
    end: int

    def choose(self, logits_RV: Tensor, before_RL: Tensor, uniform_R: Tensor) -> Tensor:
        """One token for each row (R,), drawn by a uniform number."""
        drawn_R = self.warping.choose(logits_RV, before_RL, uniform_R)
        logits_RV = logits_RV.clone()
        # What else there is for a row of which only closing tokens are left.
        others: dict[int, Tensor] = {}
        rows = torch.arange(len(drawn_R), device=drawn_R.device)
        for count in range(_MOST_REFUSED):
            rows = rows[self._refused(before_RL[rows], drawn_R[rows])]
            if not len(rows):
                return drawn_R
            logits_RV[rows, drawn_R[rows]] = -math.inf
            for row in rows[drawn_R[rows] == self.end].tolist():
                closing = self.constraint.closing(before_RL[row].tolist())
                others[row] = logits_RV[row].clone()
                others[row][closing] = -math.inf
                logits_RV[row] = torch.where(others[row].isfinite(), -math.inf, logits_RV[row])
            for row in rows[~logits_RV[rows].isfinite().any(1)].tolist():
                logits_RV[row] = others.pop(row, logits_RV[row])
            drawn_R[rows] = self.end
            rows = rows[logits_RV[rows].isfinite().any(1)]
            again = [_fresh(u, count) for u in uniform_R[rows].tolist()]
            numbers = torch.tensor(again, dtype=torch.float64, device=rows.device)
            drawn_R[rows] = self.warping.choose(logits_RV[rows], before_RL[rows], numbers)
        drawn_R[rows] = self.end
        return drawn_R

    def _refused(self, before_RL: Tensor, drawn_R: Tensor) -> Tensor:
        """Which rows (R,) may not go on as drawn."""
        rows = zip(before_RL.tolist(), drawn_R.tolist(), strict=True)
        found = [not self._allows(before, token) for before, token in rows]
        return torch.tensor(found, dtype=torch.bool, device=drawn_R.device)

    def _allows(self, before: list[int], token: int) -> bool:
        if token == self.end:
            return self.constraint.ends(before)
        return self.constraint.begins([*before, token])


def _fresh(uniform: float, count: int) -> float:
    """Another uniform number, which follows from the first one and says nothing of its size.

    Where the first one lies in the interval of the token that it drew would do as well, but for
    rounding: how wide that is differs a little with what else is in the batch.
    """
    return random.Random(f"{uniform} {count}").random()
