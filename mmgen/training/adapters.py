"""Low-rank adapters: a few new weights beside the frozen ones, merged into them at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mmgen.core.errors import MissingDependency, SpecError, UnknownNameError, close_names
from mmgen.pipeline import Pipeline
from mmgen.training.settings import TrainSettings
from mmgen.training.trainable import Trainable

if TYPE_CHECKING:
    from peft import LoraModel

__all__ = ["Adapters", "adapted"]


class Adapters:
    """Adapters of linear layers of a pipeline's model that can learn; they alone are trained.

    Args:
        pipe: The pipeline, changed in place: everything else in it is frozen.
        rank: Of the adapters.
        seed: Of their first weights. They change nothing until they are trained.
        targets: Pieces of the names of the layers, between dots; all layers if empty.

    Raises:
        UnknownNameError: If no layer has such a piece. The message lists the close ones.
        SpecError: If the model has no linear layer, or the pipeline has adapters already.
        MissingDependency: If peft is not installed.

    Source: LoRA: Low-Rank Adaptation of Large Language Models (Hu et al., 2021), Sec. 4,
    arXiv:2106.09685
    """

    def __init__(
        self, pipe: Pipeline, *, rank: int, seed: int, targets: Sequence[str] = ()
    ) -> None:
        try:
            from peft import LoraConfig, LoraModel
        except ImportError:
            raise MissingDependency("peft", extra="lora", purpose="Training adapters") from None
        present = (*pipe.adapters.weights, *pipe.adapters.fused)
        if present:
            raise SpecError(
                f"The weights hold the adapters {', '.join(present)}, and what is learnt would be "
                "kept as if they did not. Take them away first: pipe.adapters.unload()."
            )
        linear = [
            name
            for name, module in pipe.model.named_modules()
            if isinstance(module, nn.Linear) and module.weight.requires_grad
        ]
        if not linear:
            raise SpecError("The model has no linear layer to adapt. Train without lora_rank.")
        if targets:
            linear = _chosen(linear, targets)
        self._pipe = pipe
        self._frozen = {n: p.requires_grad for n, p in pipe.parts.named_parameters()}
        pipe.parts.requires_grad_(False)
        torch.manual_seed(seed)
        config = LoraConfig(r=rank, lora_alpha=rank, target_modules=linear)
        self._model: LoraModel = LoraModel(pipe.model, config, "default")

    def factors(self) -> dict[str, tuple[Tensor, Tensor]]:
        """(A, B) of each adapted matrix, by its name within the parts of the pipeline."""
        return {
            f"model.{name}.weight": tuple(
                getattr(module, which)["default"].weight.detach().cpu().clone()
                for which in ("lora_A", "lora_B")
            )
            for name, module in self._pipe.model.named_modules()
            if hasattr(module, "lora_A")
        }

    def merge(self) -> None:
        """Add the adapters to the weights, and leave the model as it was built."""
        self._model.merge_and_unload()
        self._restore()

    def remove(self) -> None:
        """Leave the model as it was before."""
        self._model.unload()
        self._restore()

    def _restore(self) -> None:
        for name, parameter in self._pipe.parts.named_parameters():
            parameter.requires_grad_(self._frozen[name])


def _chosen(layers: Sequence[str], targets: Sequence[str]) -> list[str]:
    """The layers that have a target in their name, as a piece between dots."""
    found = []
    for target in targets:
        own = [name for name in layers if f".{target}." in f".{name}."]
        if not own:
            pieces = sorted({piece for name in layers for piece in name.split(".")})
            raise UnknownNameError(
                f"No linear layer of the model has {target!r} in its name. "
                f"{close_names(target, pieces)}"
            )
        found += own
    return list(dict.fromkeys(found))


@contextmanager
def adapted(pipe: Trainable, settings: TrainSettings) -> Iterator[Adapters | None]:
    """With adapters if there are to be some, merged if all goes well."""
    if not settings.lora_rank:
        yield None
        return
    if not isinstance(pipe, Pipeline):
        raise TypeError(f"Adapters are for a pipeline, got {type(pipe).__name__}.")
    own = {"rank": settings.lora_rank, "seed": settings.seed, "targets": settings.lora_targets}
    adapters = Adapters(pipe, **own)
    try:
        yield adapters
    except BaseException:
        adapters.remove()
        raise
    adapters.merge()
