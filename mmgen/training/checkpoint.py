"""Checkpoints of a training run: safetensors and JSON, written beside and renamed.

Randomness is not in them: every draw of a step follows from the seed and the step's number, so the
number is all there is to keep.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.core.errors import LoadError
from mmgen.core.files import folder_beside, read_json, read_tensors, write_beside
from mmgen.core.fitted import Fitted
from mmgen.training.ema import WeightAverage
from mmgen.training.parting import parted_like, whole
from mmgen.training.settings import TrainSettings
from mmgen.training.validation import Validation

__all__ = ["load_assets", "load_checkpoint", "save_checkpoint"]

# What a run may change when it goes on, without becoming another run.
_FREE = {
    "cache_gb",
    "checkpoint_every",
    "compile",
    "gradient_checkpointing",
    "log_every",
    "sample_every",
    "tensorboard",
    "workers",
}
# May change, too, though the run then differs from one in one go: a learning rate that had fallen
# to nothing is again where the longer schedule has it.
_EXTENDED = {"steps"}


def save_checkpoint(
    folder: Path | None,
    *,
    step: int,
    module: nn.Module,
    parts: nn.ModuleDict,
    optimizers: Sequence[torch.optim.Optimizer],
    average: WeightAverage,
    settings: TrainSettings,
    validation: Validation | None = None,
) -> None:
    """Write everything that going on needs. What was there before stays until all is written.

    Where weights are parted all processes call it, and those that write nothing give no folder.
    """
    from safetensors.torch import save

    tensors = {f"module.{k}": v for k, v in module.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.weights.items()}
    first = 0  # parameters are numbered through all optimizers
    for optimizer in optimizers:
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{first + index}.{k}": v for k, v in state.items()}
        first += _num_parameters(optimizer)
    if folder is None:
        for tensor in tensors.values():
            whole(tensor)
        return
    data = save({k: whole(v.detach()).cpu().contiguous().clone() for k, v in tensors.items()})
    with folder_beside(folder) as new:
        write_beside(new / "state.safetensors", data)
        assets = _assets(parts)
        for name, own in assets.items():
            write_beside(new / name, own)
        content: dict[str, Any] = {"step": step, "settings": asdict(settings)}
        content["assets"] = sorted(assets)
        if validation is not None:
            content["validation"] = validation.state()
        write_beside(new / "state.json", json.dumps(content, indent=1).encode())


def load_assets(folder: Path, parts: nn.ModuleDict) -> bool:
    """Put a checkpoint's vocabularies into parts, so that they are not taken anew.

    Returns:
        Whether there is a checkpoint that holds them.

    Raises:
        LoadError: If one is missing, or does not fit.
    """
    if not folder.is_dir():
        return False
    names = read_json(folder / "state.json").get("assets")
    if names is None:
        return False
    for part, module in parts.items():
        own = {n for n in map(str, names) if n.startswith(f"{part}.") and Path(n).name == n}
        if not own or not isinstance(module, Fitted):
            continue
        for name in own:
            if not (folder / name).is_file():
                raise LoadError(f"There is no {name} in {folder}. The checkpoint is incomplete.")
        try:
            module.load_assets({n.removeprefix(f"{part}."): (folder / n).read_bytes() for n in own})
        except LoadError as error:
            raise LoadError(
                f"What {folder} holds for the {part} does not fit it, so it is of a run of another "
                f"pipeline, or broken: {error} Name another output folder."
            ) from None
    return True


def load_checkpoint(
    folder: Path,
    *,
    module: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    average: WeightAverage,
    settings: TrainSettings,
    validation: Validation | None = None,
) -> int:
    """Put a checkpoint's state into a run.

    Returns:
        The number of steps done.

    Raises:
        LoadError: If it cannot be read, is of a run with other settings, or is of a later step
            than the last of this one.
    """
    content = read_json(folder / "state.json")
    ours = _as_read(settings)
    # A setting that came later had its default in the runs before.
    theirs = _as_read(TrainSettings()) | content.get("settings", {})
    changed = [k for k in ours if k not in _FREE | _EXTENDED and ours[k] != theirs[k]]
    if changed:
        raise LoadError(
            f"{folder} is of a run with other settings: "
            + ", ".join(f"{k} was {theirs[k]}, is now {ours[k]}" for k in changed)
            + ". Go on with the same ones, or name another output folder."
        )
    done = int(content["step"])
    if done > settings.steps:
        raise LoadError(
            f"{folder} is of step {done}, beyond the {settings.steps} steps asked for. Ask for at "
            "least as many, or name another output folder."
        )
    tensors = read_tensors(folder / "state.safetensors")
    try:
        own = module.state_dict()
        read = _under(tensors, "module.").items()
        module.load_state_dict({k: parted_like(v, own.get(k, v)) for k, v in read})
    except RuntimeError:
        raise LoadError(
            f"{folder} is of a run of another pipeline: its weights have other names or shapes. "
            "Name another output folder."
        ) from None
    average.load(_under(tensors, "average."))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _under(tensors, "optimizer.").items():
        index, _, entry = name.partition(".")
        state.setdefault(int(index), {})[entry] = tensor
    first = 0
    for optimizer in optimizers:
        count = _num_parameters(optimizer)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        own = {
            index: {k: parted_like(v, p) for k, v in state[first + index].items()}
            for index, p in enumerate(parameters)
            if first + index in state
        }
        optimizer.load_state_dict({**optimizer.state_dict(), "state": own})
        first += count
    if validation is not None and "validation" in content:
        validation.load_state(content["validation"])
    return done


def _assets(parts: nn.ModuleDict) -> dict[str, bytes]:
    """The vocabularies and so on of all parts, by file."""
    return {
        f"{part}.{name}": data
        for part, module in parts.items()
        if isinstance(module, Fitted)
        for name, data in module.assets().items()
    }


def _as_read(settings: TrainSettings) -> dict[str, Any]:
    """As JSON gives them back."""
    return json.loads(json.dumps(asdict(settings)))


def _num_parameters(optimizer: torch.optim.Optimizer) -> int:
    return sum(len(group["params"]) for group in optimizer.param_groups)


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
