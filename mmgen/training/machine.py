"""What the loop asks of the machine and the terminal."""

from __future__ import annotations

import resource
from contextlib import AbstractContextManager, nullcontext

import torch
from accelerate import DistributedType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmgen.core.errors import MissingDependency, SpecError

__all__ = [
    "attention",
    "chosen_precision",
    "compile_networks",
    "memory_gb",
    "progress_bar",
    "require_known",
    "require_tensorboard",
]


def compile_networks(part: nn.Module) -> None:
    """Compile the networks in a part, in place."""
    # The largest pieces that are called as modules: networks, not the parts that hold them.
    inside: set[nn.Module] = set()
    for module in part.modules():
        if module not in inside and type(module).__module__.startswith("mmgen.nn."):
            module.compile(dynamic=False)
            inside |= set(module.modules())


def attention(device: torch.device) -> AbstractContextManager[None]:
    """How attention is computed in training on a device."""
    # On CPUs the fused kernel's backward took a third of a step, plain products a tenth.
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def chosen_precision(choice: str) -> str:
    """ "no", "bf16" or "fp16", by `TrainSettings.precision`."""
    if choice != "auto":
        return choice
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return "bf16" if torch.cpu._is_amx_tile_supported() else "no"


def require_known(kind: DistributedType, *, fsdp_version: int) -> None:
    """Refuse plugins of Accelerate that part weights otherwise than by torch's fully_shard.

    Args:
        kind: How processes share a run.
        fsdp_version: Of the plugin that parts weights, if it is that one.

    Raises:
        SpecError: If it is one of them.
    """
    others = (DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)
    if kind in others or (kind == DistributedType.FSDP and fsdp_version == 1):
        name = "version 1 of FSDP" if kind == DistributedType.FSDP else kind.value
        raise SpecError(
            f"fit copies the weights to each process, or parts them by version 2 of FSDP; {name} "
            "would part them otherwise. Start it with `accelerate launch --multi_gpu`, with "
            "`--use_fsdp --fsdp_version 2`, or with torchrun."
        )


def memory_gb() -> float:
    """The most that this process has held, in GB: of the GPU if there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def require_tensorboard() -> None:
    """Raise MissingDependency unless there is TensorBoard."""
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise MissingDependency(
            "tensorboard", extra="train", purpose="Writing logs for TensorBoard"
        ) from None


def progress_bar(*, disable: bool) -> Progress:
    """A bar with a note, which is the field `note` of each task."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        disable=disable,
    )
