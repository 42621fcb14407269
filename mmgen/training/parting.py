"""Weights of which each process has a share, by torch's `fully_shard`, which Accelerate calls.

Whatever the loop keeps (averages, checkpoints, what the run gives in the end) is whole; shares are
put together where it is written and parted again where it is read. All processes take part in that.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from accelerate import Accelerator, DistributedType
from torch import Tensor, nn

__all__ = ["Undo", "is_parted", "parted_like", "prepared", "reshard", "share", "whole"]

# What torch calls the entries of modules in which it keeps how they are parted.
_STATE = "__composable_api_state_key"


def prepared(
    accelerator: Accelerator, step: nn.Module, optimizers: Iterable[torch.optim.Optimizer]
) -> tuple[Any, ...]:
    """The step and its optimisers as the processes of a run share them."""
    if accelerator.distributed_type == DistributedType.FSDP:
        # Every process has loaded all weights. From one alone, buffers would not come.
        accelerator.state.fsdp_plugin.cpu_ram_efficient_loading = False
    return accelerator.prepare(step, *optimizers)


def is_parted(tensor: Tensor) -> bool:
    """Whether a process has only a share of it."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor. If it is parted, all processes ask for it together."""
    return tensor.full_tensor() if is_parted(tensor) else tensor


def share(tensor: Tensor) -> Tensor:
    """This process's share of a tensor, which changes with it."""
    return tensor.to_local() if is_parted(tensor) else tensor


def parted_like(tensor: Tensor, other: Tensor) -> Tensor:
    """A whole tensor, parted as another of its shape is."""
    if not is_parted(other) or tensor.shape != other.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    mesh = other.device_mesh
    full = tensor.to(mesh.device_type, other.dtype)
    # Every process has all of it, and they may come to it in different orders.
    return distribute_tensor(full, mesh, other.placements, src_data_rank=None)


def reshard(module: nn.Module) -> None:
    """Let shares that have changed be put together anew when the module is called next."""
    for part in module.modules():
        if hasattr(part, "reshard"):
            part.reshard()


class Undo:
    """What modules were before their weights were parted.

    Args:
        module: Before.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._before = [(part, type(part), _hooks(part)) for part in module.modules()]

    def __call__(self) -> None:
        """Make them so again, with the weights that they have now, whole and on the CPU.

        All processes call it together.
        """
        made: dict[int, nn.Parameter] = {}
        for part, kind, hooks in self._before:
            for name, value in list(part._parameters.items()):
                if value is None or not is_parted(value):
                    continue
                # Two names of one weight stay so.
                if id(value) not in made:
                    full = whole(value.detach()).cpu()
                    made[id(value)] = nn.Parameter(full, requires_grad=value.requires_grad)
                part._parameters[name] = made[id(value)]
            part.__class__ = kind
            for name in [name for name in vars(part) if name.startswith(_STATE)]:
                del part.__dict__[name]
            part.__dict__.update({name: OrderedDict(own) for name, own in hooks.items()})
        self._module.cpu()


def _hooks(part: nn.Module) -> Mapping[str, Mapping[Any, Any]]:
    """What is called besides, by the names of the attributes that hold it."""
    return {k: OrderedDict(v) for k, v in vars(part).items() if "hooks" in k and v is not None}
