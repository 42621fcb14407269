"""Models of transformers whose weights lie on several devices, or on the disk until needed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from mmgen.backends.placement import Placement
from mmgen.backends.quantization import quantization_config

__all__ = ["load_placed"]

Load = Callable[..., tuple[nn.Module, dict[str, Any]]]

# Buffers are entries of a device map, and no modules.
_HARMLESS = "The following device_map keys do not match any submodules"


def load_placed(load: Load, placement: Placement, dtype: torch.dtype) -> tuple[nn.Module, Any]:
    """A model and the report of its loading, its weights where they were asked for.

    Weights that a checkpoint leaves out, since they follow from its configuration, cannot be read
    when they are needed; they stay on the device that computes, and others make room for them.

    Args:
        load: from_pretrained of a class, waiting for where weights go.
        placement: Where they shall go.
        dtype: Their precision.
    """
    settings = _settings(placement, dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_HARMLESS, category=UserWarning)
        model, report = load(**settings)
        unsaved = _unsaved(model)
        if unsaved:
            settings = {k: v for k, v in settings.items() if k != "max_memory"}
            settings["device_map"] = _keeping(model, unsaved, bounded=bool(placement.max_memory))
            model, report = load(**settings)
    return model, report


def _settings(placement: Placement, dtype: torch.dtype) -> dict[str, Any]:
    """What from_pretrained is asked for."""
    found: dict[str, Any] = {}
    if placement.quantization is not None:
        asked = quantization_config(placement.quantization, "transformers", dtype)
        found["quantization_config"] = asked
        # What is quantised cannot be moved afterwards.
        found["device_map"] = {"": placement.device or "cpu"}
    for name in ("device_map", "max_memory", "offload_folder"):
        value = getattr(placement, name)
        if value is not None:
            found[name] = value
    return found


def _unsaved(model: nn.Module) -> list[str]:
    """Names of weights that are on no device, and that no file holds."""
    hooks = (getattr(module, "_hf_hook", None) for module in model.modules())
    maps = [m for m in (getattr(hook, "weights_map", None) for hook in hooks) if m is not None]
    if not maps:
        return []
    held = {name for own in maps for name in own}
    named = model.named_parameters()
    return [name for name, weight in named if weight.is_meta and name not in held]


def _keeping(model: nn.Module, names: Iterable[str], *, bounded: bool) -> dict[str, Any]:
    """The model's device map with the modules of some weights where it computes.

    Args:
        model: A model with a device map.
        names: Names of the weights.
        bounded: Whether as much as they take goes to the disk for it.
    """
    found = dict(model.hf_device_map)
    places = [place for place in found.values() if place not in ("cpu", "disk")]
    main = places[0] if places else "cpu"
    added = 0
    for name in names:
        module = name.rpartition(".")[0]
        added += _size(model.get_submodule(module))
        _split(found, model, module)
        found[module] = main
    kept = {name.rpartition(".")[0] for name in names}
    tied = {end for pair in getattr(model, "all_tied_weights_keys", {}).items() for end in pair}
    for entry in [e for e, place in reversed(found.items()) if place == main and e not in kept]:
        module = dict(model.named_modules()).get(entry)
        if not bounded or added <= 0:
            break
        if module is not None and not any(name.startswith(f"{entry}.") for name in tied):
            found[entry] = "disk"
            added -= _size(module)
    return found


def _split(places: dict[str, Any], model: nn.Module, module: str) -> None:
    """Replace the entry that a module is in by entries of its parts, down to the module itself."""
    while module not in places:
        entry = max((e for e in places if not e or module.startswith(f"{e}.")), key=len)
        place, parent = places.pop(entry), model.get_submodule(entry)
        own = (*parent.named_parameters(recurse=False), *parent.named_buffers(recurse=False))
        for name, _ in (*parent.named_children(), *own):
            places[f"{entry}.{name}" if entry else name] = place


def _size(module: nn.Module) -> int:
    """Bytes of a module's weights."""
    return sum(p.numel() * p.element_size() for p in module.parameters())
