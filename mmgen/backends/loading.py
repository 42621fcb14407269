"""From a name to the parts of a pipeline, whatever library made the checkpoint."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmgen.backends.completeness import check_indices, how_to_complete, kept_files
from mmgen.backends.foreign import Foreign, Place
from mmgen.backends.from_ctranslate2 import load as from_ctranslate2
from mmgen.backends.from_diffusers.calls import options_of as of_diffusers
from mmgen.backends.from_diffusers.loading import load as from_diffusers
from mmgen.backends.from_transformers.loading import load as from_transformers
from mmgen.backends.from_transformers.tokenized_molecules import TokenizedMolecules
from mmgen.backends.placement import settle, spread_of
from mmgen.backends.recognition import Recognised, recognise
from mmgen.backends.recognition.reach import out_of_reach
from mmgen.backends.recognition.repository import download_error
from mmgen.backends.recognition.verbs import ARCHITECTURES, LOADED, WHY_NOT, verbs_of
from mmgen.backends.written import notation_of
from mmgen.core.errors import LoadError, SpecError, UnknownNameError
from mmgen.core.options import Option

__all__ = ["load", "options_of"]

# What both libraries say of a repository that has no weights in safetensors.
_LACKING = re.compile(r"(necessary|file named).*safetensors")
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
        engine: "ctranslate2" to run in it what it can run; None for the library itself. It has no
            use for a placement.
        compute_type: In which precision an engine computes.

    Raises:
        UnknownNameError: If the architecture is none that is known, or the engine is none.
        SpecError: If the weights cannot be placed as asked.
        MissingDependency: If what quantises them is not installed.
        LoadError: If the task is not supported, files are missing or broken, weights are in
            formats that can run code alone, or it needs code of its own.
    """
    found = recognise(name, **place.as_dict())
    if not verbs_of(found.library, found.task, found.architecture):
        raise LoadError(_refusal(found))
    if found.weights == "pickle only":
        raise LoadError(
            f"{found.source} has weights in pickles alone, which can run code when they are "
            f"opened. {_way_round(found)}"
        )
    place, writes = _within_reach(place, found), notation_of(found, place.writes)
    if writes is None:
        return _run_by(found, place, dtype, engine, compute_type)
    loaded = _run_by(found, place, dtype, engine, compute_type)
    codec, found = TokenizedMolecules(loaded.codec, writes), replace(found, x="molecules")
    return replace(loaded, codec=codec, found=found, writes=writes)


def options_of(found: Recognised, place: Place) -> tuple[Option, ...]:
    """What a checkpoint takes, as `Pipeline.options` says once it is loaded; no weights are read.

    Of a pipeline of diffusers its class tells, of a model of transformers also its tokenizer and
    configurations, which are fetched from the Hub if they are not in the cache.

    Args:
        found: What was recognised.
        place: Where it is.

    Raises:
        LoadError: If it is not loaded, or lacks what tells.
    """
    if not verbs_of(found.library, found.task, found.architecture):
        raise LoadError(_refusal(found))
    if found.library == "diffusers":
        return of_diffusers(found)
    place = replace(_within_reach(place, found), weights=False)
    try:
        loaded = _LOADERS[found.library](_in_cache(found, place), place, torch.float32)
    except Exception as error:
        raise _broken(error, found) or error from None
    return (*loaded.encoder.options(), *loaded.model.options(), *loaded.codec.options())


def _run_by(
    found: Recognised, place: Place, dtype: torch.dtype, engine: str | None, compute_type: str
) -> Foreign:
    """The parts, run by their library or by an engine."""
    if engine is None:
        place = replace(place, placement=place.placement.resolved(found.library))
        place.placement.check(found.library)
        loaded = _loaded(found, place, dtype)
        return _placed(loaded, dtype) if place.placement.given else loaded
    if engine != "ctranslate2":
        raise UnknownNameError(f"No engine {engine!r}. There is: 'ctranslate2'.")
    if place.placement.given:
        raise SpecError(
            "CTranslate2 keeps its weights in one place. Leave device_map and quantization out; "
            'compute_type="int8" is its way to eight bits.'
        )
    return from_ctranslate2(found, place, compute_type=compute_type)


def _refusal(found: Recognised) -> str:
    """Why a checkpoint that is recognised is not loaded."""
    alike = ARCHITECTURES.get((found.library, found.task), ())
    tasks = ", ".join(f"{task} of {library}" for library, task in LOADED)
    why = WHY_NOT.get(found.architecture)
    which = f"of this task, {', '.join(alike)}" if alike else tasks
    return (
        f"{found.source} is {found.architecture} of {found.library}, for {found.task}: "
        f"{found.distribution}. " + ("" if why is None else f"{why}. ") + "Such checkpoints are "
        f"recognised, but not loaded yet; these are: {which}."
    )


def _way_round(found: Recognised) -> str:
    """What to do where there are no weights but in pickles."""
    return (
        "Ask whoever made it for safetensors, or convert it where you trust it: "
        f"{found.library} loads it and save_pretrained writes safetensors."
    )


def _loaded(found: Recognised, place: Place, dtype: torch.dtype) -> Foreign:
    """The parts by the library's loader, which does not say that a download was interrupted."""
    check_indices(found, place)
    try:
        loaded = _LOADERS[found.library](_in_cache(found, place), place, dtype)
        return replace(loaded, found=found)
    except Exception as error:
        broken = _broken(error, found)
        if broken is not None:
            raise broken from None
        if not isinstance(error, LoadError):
            raise
        advice = how_to_complete(found, place)
        if _asks(found, place) and _LACKING.search(str(error)):
            advice = f"If it has weights in pickles, these are not read. {_way_round(found)}"
        if advice is None:
            raise
        raise LoadError(f"{error} {advice}") from None


def _broken(error: Exception, found: Recognised) -> Exception | None:
    """The same error, if it is one of a download."""
    return None if found.revision is None else download_error(error, found.source, found.revision)


def _in_cache(found: Recognised, place: Place) -> Recognised:
    """The same, as the folder in the cache that a Hub id means where the Hub is not asked.

    Some of what the libraries look for they ask the Hub for all the same.
    """
    folder = kept_files(found, place) if place.local_files_only else None
    return found if folder is None else replace(found, source=str(folder))


def _within_reach(place: Place, found: Recognised) -> Place:
    """The same, or the cache alone where the Hub is not to be had, which is asked file by file."""
    if not _asks(found, place) or not out_of_reach():
        return place
    return replace(place, local_files_only=True)


def _asks(found: Recognised, place: Place) -> bool:
    """Whether the Hub is asked for what is not in the cache."""
    from huggingface_hub import constants

    return bool(found.revision) and not (place.local_files_only or constants.HF_HUB_OFFLINE)


def _placed(loaded: Foreign, dtype: torch.dtype) -> Foreign:
    """The same, knowing where it computes, and whether it can be moved."""
    parts = (loaded.encoder, loaded.model, loaded.codec)
    modules = [module for part in parts for module in part.modules()]
    pipeline = getattr(loaded.model, "pipeline", None)
    device, fixed = _main_device(modules, pipeline), _fixed(modules, pipeline)
    for part in parts:
        settle(part, device, dtype)

    def save(folder: Path) -> None:
        with warnings.catch_warnings():
            # All of it comes into memory for that, which is known by now.
            warnings.filterwarnings("ignore", message="Attempting to save a model with offloaded")
            loaded.save(folder)

    return replace(loaded, fixed=fixed, save=save)


def _main_device(modules: list[nn.Module], pipeline: Any) -> torch.device:
    if pipeline is not None:
        return torch.device(pipeline._execution_device)
    for module in modules:
        places = getattr(module, "hf_device_map", None) or {}
        for place in places.values():
            if place not in ("cpu", "disk"):
                return torch.device(place)
    weights = (p.device for module in modules for p in module.parameters() if not p.is_meta)
    return next(weights, torch.device("cpu"))


def _fixed(modules: list[nn.Module], pipeline: Any) -> str | None:
    if pipeline is not None and (pipeline.hf_device_map or _offloads(modules)):
        return "its weights are moved between devices by diffusers"
    return next((why for why in map(spread_of, modules) if why), None)


def _offloads(modules: list[nn.Module]) -> bool:
    return any(getattr(module, "_hf_hook", None) is not None for module in modules)
