"""How the next token is drawn: the logits changed, then one uniform number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Warping", "draw"]


@dataclass(frozen=True)
class Warping:
    """Changes to the logits of the next token, applied in the order of the arguments below.

    The defaults change nothing.

    Args:
        repetition_penalty: Logits of tokens that came before are divided by it if positive and
            multiplied if negative.
        temperature: Logits are divided by it; at 0 only the likeliest token stays.
        top_k: Only the so many likeliest tokens stay; 0 for all.
        top_p: Only the likeliest tokens that together reach this probability stay.
        min_p: Only tokens with at least this share of the likeliest one's probability stay.

    Sources: CTRL (Keskar et al., 2019), Sec. 4.1, arXiv:1909.05858 (repetition penalty, here with
    the sign of the logit minded, as usual since); Hierarchical Neural Story Generation (Fan et al.,
    2018), Sec. 5.1, arXiv:1805.04833 (top k); The Curious Case of Neural Text Degeneration
    (Holtzman et al., 2019), Eq. 2-3, arXiv:1904.09751 (top p); Turning Up the Heat: Min-p Sampling
    (Nguyen et al., 2024), Sec. 3, arXiv:2407.01082.
    """

    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __call__(self, logits_RV: Tensor, before_RL: Tensor) -> Tensor:
        """Changed logits (R, V), minus infinity where a token is excluded.

        Args:
            logits_RV: Logits of the next token, float32.
            before_RL: Tokens that came before.
        """
        logits_RV = self._seen(logits_RV, before_RL)
        if self.temperature == 0:
            best_R1 = logits_RV.argmax(1, keepdim=True)
            return torch.full_like(logits_RV, -math.inf).scatter(1, best_R1, 0.0)
        logits_RV = logits_RV / self.temperature
        if 0 < self.top_k < logits_RV.shape[1]:
            least_R1 = logits_RV.topk(self.top_k, dim=1).values[:, -1:]
            logits_RV = logits_RV.masked_fill(logits_RV < least_R1, -math.inf)
        if self.top_p < 1:
            logits_RV = self._nucleus(logits_RV)
        if self.min_p > 0:
            least_R1 = logits_RV.amax(1, keepdim=True) + math.log(self.min_p)
            logits_RV = logits_RV.masked_fill(logits_RV < least_R1, -math.inf)
        return logits_RV

    def choose(self, logits_RV: Tensor, before_RL: Tensor, uniform_R: Tensor) -> Tensor:
        """One token for each row (R,), drawn from the changed logits by a uniform number."""
        if self.temperature == 0:
            # Summing the probabilities of a large vocabulary costs as much as a small model's step.
            return self._seen(logits_RV, before_RL).argmax(1)
        return draw(self(logits_RV, before_RL), uniform_R)

    def _seen(self, logits_RV: Tensor, before_RL: Tensor) -> Tensor:
        unchanged = self.repetition_penalty == 1
        return logits_RV if unchanged else self._penalised(logits_RV, before_RL)

    def _penalised(self, logits_RV: Tensor, before_RL: Tensor) -> Tensor:
        penalty = self.repetition_penalty
        seen_RV = torch.zeros_like(logits_RV, dtype=torch.bool).scatter(1, before_RL, True)
        lower = torch.where(logits_RV < 0, logits_RV * penalty, logits_RV / penalty)
        return torch.where(seen_RV, lower, logits_RV)

    def _nucleus(self, logits_RV: Tensor) -> Tensor:
        ordered, order = logits_RV.sort(dim=1, descending=True, stable=True)
        share = ordered.softmax(1)
        # A token goes if those before it reach the probability alone; the first one stays.
        beyond = share.cumsum(1) - share >= self.top_p
        beyond[:, 0] = False
        return logits_RV.masked_fill(torch.zeros_like(beyond).scatter(1, order, beyond), -math.inf)


def draw(logits_RV: Tensor, uniform_R: Tensor) -> Tensor:
    """One token for each row (R,), where its cumulated probability passes the uniform number."""
    cumulated = logits_RV.softmax(-1, dtype=torch.float64).cumsum(-1)
    point = uniform_R.to(cumulated)[..., None] * cumulated[..., -1:]
    return torch.searchsorted(cumulated, point, right=True)[..., 0]
