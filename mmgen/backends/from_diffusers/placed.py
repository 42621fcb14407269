"""Pipelines of diffusers whose weights lie on several devices, or on one of them by turns."""

from __future__ import annotations

import inspect
import os
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from mmgen.backends.placement import Placement, spread_of
from mmgen.backends.quantization import quantization_config
from mmgen.backends.recognition import Recognised
from mmgen.core.errors import LoadError

__all__ = ["load_placed"]

# What computes for the longest, and what is largest.
_QUANTIZED = ("transformer", "transformer_2", "unet", "prior")


def load_placed(
    load: Callable[..., Any],
    placement: Placement,
    dtype: torch.dtype,
    *,
    found: Recognised,
    where: Mapping[str, Any],
) -> Any:
    """A pipeline with its weights where they were asked for.

    Args:
        load: from_pretrained of a pipeline, waiting for where weights go.
        placement: Where they shall go.
        dtype: Their precision.
        found: What was recognised.
        where: Of a Hub id, as libraries take it.

    Raises:
        LoadError: If no part of it is one that is quantised.
    """
    if placement.offload == "disk":
        return _from_disk(load, placement, dtype, found=found, where=where)
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


def _from_disk(
    load: Callable[..., Any],
    placement: Placement,
    dtype: torch.dtype,
    *,
    found: Recognised,
    where: Mapping[str, Any],
) -> Any:
    """A pipeline whose layers are read when they compute. It is loaded part by part, so it is in
    memory at no time."""
    import diffusers
    import transformers

    own = None if placement.offload_folder is not None else TemporaryDirectory(prefix="mmgen-")
    root = Path(own.name if own else placement.offload_folder)
    parts = {}
    for name, kind in found.parts.items():
        made = getattr(diffusers, kind, None) or getattr(transformers, kind, None)
        if not (inspect.isclass(made) and issubclass(made, nn.Module)):
            continue
        # What neither library reads of the checkpoint's own files is written here.
        (root / name).mkdir(parents=True, exist_ok=True)
        parts[name] = made.from_pretrained(
            found.source,
            subfolder=name,
            **where,
            use_safetensors=True,
            dtype=dtype,
            device_map={"": "disk"},
            offload_folder=os.fspath(root / name),
        )
    loaded = load(**parts)
    if own is not None:
        weakref.finalize(loaded, own.cleanup)
    return loaded


def _of_parts(asked: Any) -> Any:
    """The configuration of a whole pipeline from that of its networks."""
    from diffusers import PipelineQuantizationConfig

    if isinstance(asked, PipelineQuantizationConfig):
        return asked
    return PipelineQuantizationConfig(quant_mapping=dict.fromkeys(_QUANTIZED, asked))
