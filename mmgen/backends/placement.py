"""Where the weights of a checkpoint lie while it runs, and in how many bits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from mmgen.backends.quantization import QUANTIZATIONS
from mmgen.core.errors import SpecError

__all__ = ["OFFLOADS", "Placement", "settle", "spread_of"]

OFFLOADS = ("model", "sequential", "disk")
"""How a pipeline of diffusers can leave memory to one part at a time: that of an accelerator, or,
with "disk", any."""


@dataclass(frozen=True)
class Placement:
    """Where weights lie, as Accelerate and the libraries' quantisers take it.

    Args:
        device_map: For transformers "auto", "balanced", "sequential", a device, or
            {module: device}, the device "disk" among them; for diffusers "balanced", or "auto",
            which is that where there are accelerators, and the CPU where there are none.
        max_memory: Most bytes of weights on each device, {0: "20GB", "cpu": "8GB"}. What does not
            fit goes to the next, and in the end stays on the disk until it is needed.
        offload_folder: Where weights are written that stay on the disk and cannot be read from
            the checkpoint's own files.
        offload: For diffusers, what is on the accelerator at a time: "model" for one of its
            models, "sequential" for one layer. With "disk" that is one layer, too, and the rest
            is not in memory at all; an accelerator is not needed.
        quantization: "int8" or "int4", or a configuration of one of the library's quantisers.
        device: Where all of it goes if there is no device_map; the CPU if None.

    Raises:
        TypeError, ValueError: If they are no such values, or do not go together.
    """

    device_map: str | Mapping[str, Any] | None = None
    max_memory: Mapping[int | str, int | str] | None = None
    offload_folder: str | os.PathLike[str] | None = None
    offload: str | None = None
    quantization: Any = None
    device: torch.device | str | None = None

    def __post_init__(self) -> None:
        kept = self.offload_folder and self.offload != "disk"
        if self.device_map is None and (self.max_memory or kept):
            raise TypeError(
                "max_memory and offload_folder say how a device_map is made. Give "
                'device_map="auto", too.'
            )
        if self.offload is not None and self.offload not in OFFLOADS:
            raise ValueError(f"offload is one of {', '.join(OFFLOADS)}; got {self.offload!r}.")
        if isinstance(self.quantization, str) and self.quantization not in QUANTIZATIONS:
            raise ValueError(
                f"quantization is {' or '.join(map(repr, QUANTIZATIONS))}, or a configuration of "
                f"the library's own, such as BitsAndBytesConfig(...); got {self.quantization!r}."
            )
        if self.offload is not None and self.device_map is not None:
            raise TypeError("offload and device_map are two ways to place weights. Give one.")
        if self.device is not None and self.device_map is not None:
            raise TypeError(
                "device says where all of the weights go, device_map where each does. Give one."
            )

    def check(self, library: str) -> None:
        """Refuse what a library has no way to do here.

        Raises:
            SpecError: If it is something that only the other can, or that wants an accelerator
                where there is none.
        """
        if library == "transformers":
            if self.offload is not None:
                raise SpecError(
                    f"offload={self.offload!r} is for pipelines of diffusers. For a model of "
                    'transformers give device_map="auto" and max_memory.'
                )
            return
        if isinstance(self.device_map, Mapping) or (self.device_map and self.offload_folder):
            raise SpecError(
                "Pipelines of diffusers are placed whole part by whole part: give "
                'device_map="balanced", or offload="model", "sequential" or "disk".'
            )
        asked = f"offload={self.offload!r}" if self.offload else f"device_map={self.device_map!r}"
        if self.offload == "disk":
            if self.quantization is not None:
                raise SpecError(
                    'What is quantised is in memory: give offload="disk" or quantization, not both.'
                )
            return
        if self.fetched and not torch.accelerator.is_available():
            raise SpecError(
                f"{asked} moves the weights of a diffusers pipeline to accelerators, of which "
                'there are none here. Leave it out; if memory is short, give offload="disk" or '
                "dtype=torch.bfloat16."
            )
        if isinstance(self.quantization, str) and not torch.cuda.is_available():
            raise SpecError(
                f"quantization={self.quantization!r} is done by bitsandbytes, which diffusers "
                "runs on a GPU alone. Give TorchAoConfig(...) of diffusers instead, or "
                "dtype=torch.bfloat16."
            )

    def resolved(self, library: str) -> Placement:
        """The same in the words of a library.

        Raises:
            SpecError: If it leaves weights on the disk, which the library does in another way.
        """
        if library != "diffusers" or self.device_map != "auto":
            return self
        if torch.accelerator.is_available():
            return replace(self, device_map="balanced")
        if self.max_memory is not None:
            raise SpecError(
                "There is no accelerator here, so a pipeline of diffusers has all of its weights "
                'in memory. If that is short, give offload="disk" in place of device_map.'
            )
        return replace(self, device_map=None)

    @property
    def fetched(self) -> bool:
        """Whether weights may be elsewhere than where it is computed."""
        return self.offload is not None or self.device_map is not None

    @property
    def given(self) -> bool:
        """Whether anything was asked for besides a device."""
        return self.fetched or self.quantization is not None


def spread_of(module: nn.Module) -> str | None:
    """Why the weights of a loaded module cannot be moved any more; None if they can.

    Args:
        module: A model of transformers or diffusers.
    """
    if getattr(module, "hf_quantizer", None) is not None:
        return "its weights are quantised"
    places = {str(place) for place in (getattr(module, "hf_device_map", None) or {}).values()}
    if len(places) > 1 or "disk" in places:
        return f"its weights are spread over {', '.join(sorted(places))}"
    return None


def settle(part: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Let every module of ours say by its first parameter where it computes.

    Weights that are read when they are needed are nowhere in between, so those of a library's
    model do not tell. Nothing but ours is touched.

    Args:
        part: An encoder, model or codec that wraps a library's model.
        device: Where inputs go.
        dtype: In which precision it computes.
    """
    for module in part.modules():
        if type(module).__module__.split(".")[0] != __name__.split(".")[0]:
            continue
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.to(device))
        place = nn.Parameter(torch.zeros(0, device=device, dtype=dtype), requires_grad=False)
        module.register_parameter("place", place)
