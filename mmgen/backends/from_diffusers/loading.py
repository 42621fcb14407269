"""Whole checkpoints of diffusers as the parts of a pipeline."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from mmgen.backends.foreign import Foreign, Place
from mmgen.backends.from_diffusers.adapters import LibraryAdapters
from mmgen.backends.from_diffusers.calls import Call
from mmgen.backends.from_diffusers.denoisers import DENOISERS
from mmgen.backends.from_diffusers.diffusion import LibraryDiffusion
from mmgen.backends.from_diffusers.pipelines import LibraryPipeline
from mmgen.backends.from_diffusers.placed import load_placed
from mmgen.backends.given import AsGiven
from mmgen.backends.recognition import Recognised
from mmgen.backends.values import AnyFilm, AnyImage, AnySound
from mmgen.core.codec import Codec
from mmgen.core.errors import LoadError

__all__ = ["load"]

_FPS = 8.0


def load(found: Recognised, place: Place, dtype: torch.dtype) -> Foreign:
    """P(X | Y) of a diffusers pipeline, by its own call."""
    loaded = _loaded(found, place, dtype)
    call = Call.of(type(loaded), found)
    encoder = AsGiven(
        tuple(call.arguments),
        required=call.required,
        tokenizers=[v for k, v in loaded.components.items() if k.startswith("tokenizer") and v],
        max_tokens=call.limit,
    )
    # What is only fetched for a call of the library is not there for the family's own.
    kind = None if place.placement.fetched else DENOISERS.get(found.architecture)
    denoised = kind.codec(loaded) if kind else None
    codec = denoised or _codec(found.x, loaded)
    model: LibraryPipeline
    adapters = LibraryAdapters(loaded)
    if denoised:
        denoiser = kind(loaded)
        adapters = LibraryAdapters(loaded, changed=denoiser.forget)
        model = LibraryDiffusion(loaded, spec=codec.spec, denoiser=denoiser, call=call)
    else:
        model = LibraryPipeline(loaded, spec=codec.spec, call=call)

    def save(folder: Path) -> None:
        adapters.require_none_loaded()
        loaded.save_pretrained(folder)

    return Foreign(encoder, model, codec, found, save, adapters)


def _codec(x: str, loaded: Any) -> Codec:
    if x == "image":
        return AnyImage()
    if x == "video":
        return AnyFilm(_FPS)
    for part in ("vocoder", "vae", "unet", "transformer"):
        config = getattr(getattr(loaded, part, None), "config", None)
        rate = getattr(config, "sampling_rate", None) or getattr(config, "sample_rate", None)
        if rate:
            return AnySound(int(rate))
    raise LoadError(
        f"{type(loaded).__name__} does not say at which rate its sounds are: none of its parts has "
        "a sampling_rate. A sound without one is no sound."
    )


def _loaded(found: Recognised, place: Place, dtype: torch.dtype) -> Any:
    from diffusers import DiffusionPipeline
    from safetensors import SafetensorError

    where = {**place.as_dict(), "revision": found.revision or place.revision}
    try:
        load = partial(
            DiffusionPipeline.from_pretrained,
            found.source,
            **where,
            use_safetensors=True,
            dtype=dtype,
            trust_remote_code=False,
        )
        loaded = load_placed(load, place.placement, dtype)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise LoadError(
            f"Could not load {found.architecture} with safetensors weights from {found.source}: "
            f"{str(error).strip().splitlines()[0]}"
        ) from None
    loaded.set_progress_bar_config(disable=True)
    return loaded
