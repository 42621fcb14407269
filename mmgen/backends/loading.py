"""From a name to the parts of a pipeline, whatever library made the checkpoint."""

from __future__ import annotations

import os

import torch

from mmgen.backends.foreign import Foreign, Place
from mmgen.backends.from_ctranslate2 import load as from_ctranslate2
from mmgen.backends.from_diffusers.loading import load as from_diffusers
from mmgen.backends.from_transformers.loading import load as from_transformers
from mmgen.backends.recognition import recognise
from mmgen.backends.recognition.verbs import LOADED
from mmgen.core.errors import LoadError, UnknownNameError

__all__ = ["load"]

_LOADERS = {"transformers": from_transformers, "diffusers": from_diffusers}


def load(
    name: str | os.PathLike[str],
    place: Place,
    *,
    dtype: torch.dtype = torch.float32,
    engine: str | None = None,
    compute_type: str = "float32",
) -> Foreign:
    """Recognise a checkpoint and load it.

    Args:
        name: Folder or Hub id.
        place: Where it is beside that.
        dtype: Precision of the weights.
        engine: "ctranslate2" to run in it what it can run; None for the library itself.
        compute_type: In which precision an engine computes.

    Raises:
        UnknownNameError: If the architecture is none that is known, or the engine is none.
        LoadError: If the task is not supported, files are missing or broken, weights are in
            formats that can run code alone, or it needs code of its own.
    """
    found = recognise(name, **place.as_dict())
    if (found.library, found.task) not in LOADED:
        tasks = ", ".join(f"{task} of {library}" for library, task in LOADED)
        raise LoadError(
            f"{found.source} is {found.architecture} of {found.library}, for {found.task}: "
            f"{found.distribution}. Such checkpoints are recognised, but not loaded yet; these "
            f"are: {tasks}."
        )
    if found.weights == "pickle only":
        raise LoadError(
            f"{found.source} has weights in pickles alone, which can run code when they are "
            "opened. Ask whoever made it for safetensors, or convert it where you trust it: "
            f"{found.library} loads it and save_pretrained writes safetensors."
        )
    if engine is None:
        return _LOADERS[found.library](found, place, dtype)
    if engine != "ctranslate2":
        raise UnknownNameError(f"No engine {engine!r}. There is: 'ctranslate2'.")
    return from_ctranslate2(found, place, compute_type=compute_type)
