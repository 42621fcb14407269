"""Whole checkpoints of diffusers as the parts of a pipeline."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmgen.backends.completeness import check_parts, kept_files, stored_numbers
from mmgen.backends.foreign import Foreign, Place
from mmgen.backends.from_diffusers.adapters import LibraryAdapters
from mmgen.backends.from_diffusers.calls import Call
from mmgen.backends.from_diffusers.denoiser import LibraryDenoiser
from mmgen.backends.from_diffusers.denoisers import DENOISERS, Learning, learning_of
from mmgen.backends.from_diffusers.diffusion import LibraryDiffusion
from mmgen.backends.from_diffusers.labels import reads_labels
from mmgen.backends.from_diffusers.pipelines import LibraryPipeline
from mmgen.backends.from_diffusers.placed import load_placed
from mmgen.backends.from_diffusers.planning import PLANNERS, load_planner
from mmgen.backends.given import AsGiven
from mmgen.backends.recognition import Recognised
from mmgen.backends.values import AnyFilm, AnyImage, AnySound
from mmgen.core.codec import Codec
from mmgen.core.errors import LoadError, MissingDependency, SpecError
from mmgen.modalities.image.files import fit_into_square

__all__ = ["load"]

_FPS = 8.0


def load(found: Recognised, place: Place, dtype: torch.dtype) -> Foreign:
    """P(X | Y) of a diffusers pipeline, by its own call."""
    check_parts(found, place)
    if found.architecture in PLANNERS:
        return load_planner(found, place, dtype)
    loaded = _loaded(found, place, dtype)
    _check_words(found, loaded)
    if not place.placement.given:
        _check_whole(found, place, loaded)
    call = Call.of(type(loaded), found)
    model, codec, denoiser, side = _asked(found, place, loaded, call)
    # What adapters change, it has to make anew.
    changed = {} if denoiser is None else {"changed": denoiser.forget}
    adapters = LibraryAdapters(loaded, **changed)
    encoder = AsGiven(
        tuple(call.arguments),
        required=call.required,
        tokenizers=[v for k, v in loaded.components.items() if k.startswith("tokenizer") and v],
        max_tokens=call.limit,
        readers={"label": reads_labels(loaded)},
    )
    if side is not None:
        encoder.adapting["image"] = partial(fit_into_square, size=side)

    def save(folder: Path) -> None:
        adapters.require_none_loaded()
        if place.placement.offload == "disk":
            raise SpecError(
                "What stays on the disk is not written a second time. Load it again without "
                "offload to save it."
            )
        loaded.save_pretrained(folder)

    return Foreign(encoder, model, codec, found, save, adapters)


def _asked(
    found: Recognised, place: Place, loaded: Any, call: Call
) -> tuple[LibraryPipeline, Codec, LibraryDenoiser | None, int | None]:
    """The model, its codec, what asks its network, and the side of pictures beside what is learnt.

    The denoiser is None if only the library's call asks the network, the side if any will do.
    """
    # What is only fetched for a call of the library is not there for the family's own.
    kind = None if place.placement.fetched else DENOISERS.get(found.architecture)
    codec = kind.codec(loaded) if kind else None
    if codec:
        denoiser = kind(loaded)
        model = LibraryDiffusion(loaded, spec=codec.spec, denoiser=denoiser, call=call)
        return model, codec, denoiser, codec.size if kind.beside else None
    learning = "its weights are only fetched" if place.placement.fetched else learning_of(loaded)
    square = side = denoiser = None
    if isinstance(learning, Learning):
        denoiser, (square, side) = learning.denoiser, learning.lessons.sides()
    codec = _codec(found.x, loaded, side=square)
    return (
        LibraryPipeline(loaded, spec=codec.spec, call=call, learning=learning),
        codec,
        denoiser,
        side,
    )


def _check_words(found: Recognised, loaded: Any) -> None:
    """Refuse a tokenizer that is none, or has words that the text encoder beside it lacks."""
    for name, tokenizer in loaded.components.items():
        if not name.startswith("tokenizer") or not hasattr(tokenizer, "all_special_ids"):
            continue
        words = len(tokenizer)
        if words <= len(tokenizer.all_special_ids):
            raise LoadError(
                f"The {name} of {found.source} knows no word. Get its files, too, all of the "
                f"folder {name!r}."
            )
        encoder = getattr(loaded, name.replace("tokenizer", "text_encoder"), None)
        known = _num_words(encoder)
        if known is not None and words > known:
            raise LoadError(
                f"The {name} of {found.source} has {words} tokens, its text encoder {known}. They "
                "do not belong together."
            )


def _num_words(encoder: Any) -> int | None:
    """Tokens that a text encoder knows; None if it does not say."""
    inner = getattr(encoder, "get_input_embeddings", None)
    try:
        return None if inner is None else inner().weight.shape[0]
    except NotImplementedError:
        # CLAP's, in releases of transformers before 5.24.
        return None


def _check_whole(found: Recognised, place: Place, loaded: Any) -> None:
    """Refuse networks that have got only a part of their weights."""
    local = Path(found.source)
    folder = local if local.is_dir() else kept_files(found, place)
    for name, part in loaded.components.items():
        if not isinstance(part, nn.Module):
            continue
        numbers = {id(p): p.numel() for p in part.parameters()}
        lacking = [key for key, p in part.named_parameters() if p.is_meta]
        stored = stored_numbers(folder / name) if folder is not None else None
        if lacking or (stored and stored < sum(numbers.values())):
            what = f"among them {lacking[0]}" if lacking else f"it has {stored} numbers of them"
            raise LoadError(
                f"{found.source} lacks weights of its {name}, {what}. Get the files again."
            )


def _codec(x: str, loaded: Any, *, side: int | None = None) -> Codec:
    if x == "image":
        return AnyImage(side)
    if x == "video":
        return AnyFilm(_FPS)
    for part in ("vocoder", "vae", "unet", "transformer"):
        config = getattr(getattr(loaded, part, None), "config", None)
        rate = getattr(config, "sampling_rate", None) or getattr(config, "sample_rate", None)
        if rate:
            return AnySound(int(rate), mono=part == "vocoder")
    raise LoadError(
        f"{type(loaded).__name__} does not say at which rate its sounds are: none of its parts has "
        "a sampling_rate. A sound without one is no sound."
    )


def _loaded(found: Recognised, place: Place, dtype: torch.dtype) -> Any:
    from diffusers import DiffusionPipeline

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
        loaded = load_placed(load, place.placement, dtype, found=found, where=where)
    except MissingDependency:
        raise
    except Exception as error:
        # Whatever a library makes of files that nobody vouches for.
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        if said.startswith("You set `ignore_mismatched_sizes`"):
            # Which ones, its library has printed above.
            said = "some weights have other shapes than its configurations say"
        belong = isinstance(error, (RuntimeError, TypeError, AttributeError))
        hint = " Its weights and its configurations do not belong together." if belong else ""
        raise LoadError(
            f"Could not load {found.architecture} with safetensors weights from {found.source}: "
            f"{said.rstrip('.')}.{hint}"
        ) from error
    loaded.set_progress_bar_config(disable=True)
    return loaded
