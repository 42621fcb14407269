"""Random weights that tell one input from another."""

from __future__ import annotations

import torch

__all__ = ["sharpened"]


def sharpened(model: torch.nn.Module, std: float = 0.5) -> torch.nn.Module:
    """Weights so large that the likeliest token depends on all that came before."""
    generator = torch.Generator().manual_seed(0)
    embeddings = model.get_input_embeddings().weight
    for parameter in model.parameters():
        if parameter.ndim > 1:
            own = 0.02 if parameter is embeddings else std
            parameter.data = torch.randn(parameter.shape, generator=generator) * own
    return model.eval()
