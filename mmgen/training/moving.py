"""Prepared tensors to where they are needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from mmgen.core.latent import Latent
from mmgen.encoded import Encoded

__all__ = ["moved_to"]


def moved_to(tensors: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Prepared tensors on a device. What is no tensor, such as values not encoded yet, stays."""
    return {k: _moved(v, device) for k, v in tensors.items()}


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Mapping):
        return moved_to(value, device)
    if isinstance(value, Encoded):
        return value.to(device)
    if isinstance(value, Latent):
        return Latent(_moved(value.z, device), _moved(value.lengths, device))
    return value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
