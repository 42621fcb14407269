"""Pipelines of diffusers whose weights lie on several devices, or on one of them by turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from mmgen.backends.placement import Placement, spread_of
from mmgen.backends.quantization import quantization_config
from mmgen.core.errors import LoadError

__all__ = ["load_placed"]

# What computes for the longest, and what is largest.
_QUANTIZED = ("transformer", "transformer_2", "unet", "prior")


def load_placed(load: Callable[..., Any], placement: Placement, dtype: torch.dtype) -> Any:
    """A pipeline with its weights where they were asked for.

    Args:
        load: from_pretrained of a pipeline, waiting for where weights go.
        placement: Where they shall go.
        dtype: Their precision.

    Raises:
        LoadError: If no part of it is one that is quantised.
    """
    settings: dict[str, Any] = {}
    if placement.quantization is not None:
        asked = quantization_config(placement.quantization, "diffusers", dtype)
        settings["quantization_config"] = _of_parts(asked)
    for name in ("device_map", "max_memory"):
        value = getattr(placement, name)
        if value is not None:
            settings[name] = value
    loaded = load(**settings)
    parts = [part for part in loaded.components.values() if isinstance(part, nn.Module)]
    if placement.quantization is not None and not any(map(spread_of, parts)):
        raise LoadError(
            f"None of the parts of this {type(loaded).__name__} was quantised. Name them with "
            "quantization=PipelineQuantizationConfig(quant_mapping={part: ...})."
        )
    place = {} if placement.device is None else {"device": placement.device}
    if placement.offload == "model":
        loaded.enable_model_cpu_offload(**place)
    elif placement.offload == "sequential":
        loaded.enable_sequential_cpu_offload(**place)
    elif placement.quantization is not None and placement.device is not None:
        for part in parts:
            part.to(placement.device)
    return loaded


def _of_parts(asked: Any) -> Any:
    """The configuration of a whole pipeline from that of its networks."""
    from diffusers import PipelineQuantizationConfig

    if isinstance(asked, PipelineQuantizationConfig):
        return asked
    return PipelineQuantizationConfig(quant_mapping=dict.fromkeys(_QUANTIZED, asked))
