"""An optimiser that steps along orthogonal matrices, and AdamW for what is no such matrix.

The momentum of a weight matrix is replaced by the nearest orthogonal matrix, so that directions
with small gradients are learnt as fast as those with large ones.

Source: Muon (Jordan et al., 2024), kellerjordan.github.io/posts/muon.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon", "hidden_matrices", "orthogonalise"]

# Of a quintic whose iteration drives singular values towards 1, at some cost in how closely.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_MOMENTUM = 0.95
_LEAST_SIDE = 32


def hidden_matrices(module: nn.Module) -> list[nn.Parameter]:
    """Weights of linear maps and convolutions between hidden features.

    Left out are embeddings, and the maps that a module names in `boundary`: those from the data and
    to it, whose rows or columns have each a meaning of their own.
    """
    outside = {part.get_submodule(name) for part in module.modules() for name in _boundary(part)}
    return [
        part.weight
        for part in module.modules()
        if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
        and part not in outside
        and part.weight.requires_grad
        and min(_sides(part.weight)) >= _LEAST_SIDE
    ]


class Muon(torch.optim.Optimizer):
    """Orthogonal steps for some parameters, AdamW for the others.

    Args:
        groups: Parameter groups as of torch, each with "orthogonal" true or false.
        lr: Learning rate of AdamW.
        ratio: Orthogonal steps are this many times larger, and by sqrt(rows / columns) more where
            there are more rows than columns.
        betas: Of AdamW.
        weight_decay: Of both, unless a group says otherwise; decoupled.
        precision: Of the iteration that makes matrices orthogonal.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        ratio: float = 10.0,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.01,
        precision: torch.dtype = torch.float32,
    ) -> None:
        defaults = {"lr": lr, "ratio": ratio, "betas": betas, "weight_decay": weight_decay}
        super().__init__(groups, defaults)
        self._precision = precision

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take one step along the gradients."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if group["orthogonal"]:
                self._orthogonal(parameters, group)
            elif parameters:
                self._adam(parameters, group)

    def _orthogonal(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        lr = group["lr"] * group["ratio"]
        # Matrices of one shape go through the iteration together.
        for (rows, columns), same in groupby(sorted(parameters, key=_sides), key=_sides):
            same = list(same)
            momenta = []
            for p in same:
                momentum = self._state(p, "momentum")["momentum"]
                momentum.lerp_(p.grad, 1 - _MOMENTUM)
                momenta.append(p.grad.lerp(momentum, _MOMENTUM).reshape(rows, columns))
            steps = orthogonalise(torch.stack(momenta).to(self._precision))
            scale = lr * max(1.0, rows / columns) ** 0.5
            for p, step in zip(same, steps, strict=True):
                p.mul_(1 - lr * group["weight_decay"])
                p.add_(step.reshape(p.shape).to(p.dtype), alpha=-scale)

    def _adam(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        for p in parameters:
            state = self._state(p, "exp_avg", "exp_avg_sq", "step")
            state["step"] += 1
            state["exp_avg"].lerp_(p.grad, 1 - beta1)
            state["exp_avg_sq"].mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
            bias1, bias2 = 1 - beta1 ** state["step"].item(), 1 - beta2 ** state["step"].item()
            p.mul_(1 - group["lr"] * group["weight_decay"])
            spread = (state["exp_avg_sq"] / bias2).sqrt_().add_(1e-8)
            p.addcdiv_(state["exp_avg"], spread, value=-group["lr"] / bias1)

    def _state(self, parameter: Tensor, *names: str) -> dict[str, Tensor]:
        state = self.state[parameter]
        for name in names:
            if name not in state:
                state[name] = torch.zeros(()) if name == "step" else torch.zeros_like(parameter)
        return state


def orthogonalise(g_NRC: Tensor, *, steps: int = 5) -> Tensor:
    """Matrices (N, R, C) to about the nearest orthogonal ones: singular values within 0.7 to 1.2.

    Newton-Schulz iteration, which needs products only, in the precision of its input.
    """
    a, b, c = _QUINTIC
    tall = g_NRC.shape[1] > g_NRC.shape[2]
    x = g_NRC.mT.contiguous() if tall else g_NRC
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def _sides(p: Tensor) -> tuple[int, int]:
    return p.shape[0], p[0].numel()


def _boundary(module: nn.Module) -> tuple[str, ...]:
    return getattr(module, "boundary", ())
