"""The optimisers of a run: one, or one for each phase."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from mmgen.training.muon import Muon, hidden_matrices
from mmgen.training.settings import TrainSettings
from mmgen.training.trainable import Trainable

__all__ = ["optimizers_of"]


def optimizers_of(
    pipe: Trainable, module: nn.Module, settings: TrainSettings, *, precision: str
) -> list[torch.optim.Optimizer]:
    """One optimiser for each phase of what is trained, or one if it has none.

    Args:
        pipe: What is trained.
        module: The module that holds its parameters.
        settings: Which optimiser, and how it moves.
        precision: "no", "bf16" or "fp16".

    Raises:
        ValueError: If nothing of a phase is trained.
    """
    if not pipe.phases:
        return [_optimizer(module, module.parameters(), settings, precision)]
    shares = [list(pipe.phase_parameters(phase)) for phase in pipe.phases]
    placed = {id(p) for share in shares for p in share}
    shares[-1] += [p for p in module.parameters() if id(p) not in placed]
    for phase, share in zip(pipe.phases, shares, strict=True):
        if not any(p.requires_grad for p in share):
            raise ValueError(
                f"Training alternates between {', '.join(pipe.phases)}, and nothing of the "
                f"{phase} would be trained. Leave out only and lora_rank, or name parts of each."
            )
    return [_optimizer(module, share, settings, precision, momentum=0.0) for share in shares]


def _optimizer(
    module: nn.Module,
    parameters: Iterable[nn.Parameter],
    settings: TrainSettings,
    precision: str,
    *,
    momentum: float = 0.9,
) -> torch.optim.Optimizer:
    parameters = [p for p in parameters if p.requires_grad]
    own = {id(p) for p in parameters}
    matrices = hidden_matrices(module) if settings.optimizer == "muon" else []
    matrices = [p for p in matrices if id(p) in own]
    hidden = {id(p) for p in matrices}
    rest = [p for p in parameters if id(p) not in hidden]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    rates = {"lr": settings.learning_rate, "betas": (momentum, settings.beta2)}
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, fused=True, **rates)
    groups = [{**group, "orthogonal": False} for group in groups]
    groups.append({"params": matrices, "weight_decay": settings.weight_decay, "orthogonal": True})
    brief = torch.bfloat16 if precision == "bf16" else torch.float32
    return Muon(groups, precision=brief, **rates)
