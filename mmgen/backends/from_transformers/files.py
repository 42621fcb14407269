"""What transformers reads from the files of a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmgen.backends.foreign import Place
from mmgen.backends.from_transformers.placed import load_placed
from mmgen.backends.from_transformers.tokenizers import first_line, load_tokenizer
from mmgen.backends.recognition import Recognised
from mmgen.core.errors import LoadError

__all__ = ["load_files", "load_model", "load_reader", "load_words"]

# What many checkpoints lack, and nothing here asks for: what masks frames in training, and what
# makes one vector of all states.
_UNUSED = ("masked_spec_embed", "pooler.dense.weight", "pooler.dense.bias")


def load_model(
    kind: str, found: Recognised, place: Place, dtype: torch.dtype, **where: Any
) -> nn.Module:
    """The model of a checkpoint, by a class of transformers. `where` is passed on to it."""
    import transformers
    from safetensors import SafetensorError

    if not place.weights:
        return _without_weights(kind, found, place, **where)
    try:
        load = partial(
            getattr(transformers, kind).from_pretrained,
            found.source,
            **_where(found, place),
            **where,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=dtype,
            output_loading_info=True,
        )
        model, report = load_placed(load, place.placement, dtype)
    except (OSError, ValueError, SafetensorError) as error:
        raise LoadError(
            f"Could not load {kind} with safetensors weights from {found.source}: "
            f"{first_line(error)}"
        ) from None
    missing = sorted(key for key in report["missing_keys"] if not key.endswith(_UNUSED))
    if missing:
        raise LoadError(
            f"{found.source} lacks weights of its {kind}: {', '.join(missing[:3])} "
            f"and {max(0, len(missing) - 3)} more. Get the files again."
        )
    return model.eval()


def _without_weights(kind: str, found: Recognised, place: Place, **where: Any) -> nn.Module:
    """The model as its configuration says it is, on the meta device."""
    import transformers

    where = {**_where(found, place), **where}
    made = getattr(transformers, kind)
    try:
        config = transformers.AutoConfig.from_pretrained(
            found.source, **where, trust_remote_code=False
        )
        with torch.device("meta"):
            model = getattr(made, "from_config", made)(config)
    except (OSError, ValueError) as error:
        raise LoadError(
            f"Could not make {kind} of the configuration of {found.source}: {first_line(error)}"
        ) from None
    with suppress(OSError):
        # Where there is none, it follows from the configuration.
        model.generation_config = transformers.GenerationConfig.from_pretrained(
            found.source, **where
        )
    return model.eval()


def _where(found: Recognised, place: Place) -> dict[str, Any]:
    return {**place.as_dict(), "revision": found.revision or place.revision}


def load_reader(found: Recognised, place: Place, kind: str | type = "AutoProcessor") -> Any:
    """What reads texts, sounds or images for a checkpoint, by a class of transformers."""
    import transformers

    kind = kind if isinstance(kind, type) else getattr(transformers, kind)
    try:
        return kind.from_pretrained(found.source, **_where(found, place), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise LoadError(
            f"Could not load what reads {' and '.join(found.y)} for {found.source} "
            f"({kind.__name__}): "
            f"{first_line(error)} Get its processor or tokenizer files, too."
        ) from None


def load_files(found: Recognised, place: Place, names: Sequence[str]) -> dict[str, bytes]:
    """Some small files of a checkpoint, those that there are."""
    from transformers.utils import cached_file

    missing = {
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_connection_errors": False,
    }
    paths = {n: cached_file(found.source, n, **_where(found, place), **missing) for n in names}
    return {name: Path(path).read_bytes() for name, path in paths.items() if path is not None}


def load_words(found: Recognised, place: Place) -> Any:
    """The tokenizer of a checkpoint."""
    tokenizer = load_tokenizer(
        found.source,
        "",
        hint="the folder of a whole checkpoint",
        trust_remote_code=False,
        **_where(found, place),
    )
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        # What transformers makes of a configuration alone, where a tokenizer's files are missing.
        raise LoadError(
            f"{found.source} has no tokenizer: the one that its configuration names knows no word. "
            "Get the tokenizer's files, too."
        )
    _check_class(tokenizer, found, place)
    return tokenizer


def _check_class(tokenizer: Any, found: Recognised, place: Place) -> None:
    """Refuse a tokenizer of a class that passes over the file of another."""
    if getattr(tokenizer, "is_fast", True):
        return
    file = load_files(found, place, ("tokenizer.json",)).get("tokenizer.json")
    try:
        words = set(json.loads(file)["model"]["vocab"]) if file else None
    except (ValueError, KeyError, TypeError):
        return
    if words is not None and len(words & set(tokenizer.get_vocab())) < len(words) / 2:
        raise LoadError(
            f"{found.source} names {type(tokenizer).__name__} as its tokenizer, which does not know"
            " the words of its tokenizer.json. Correct tokenizer_class in tokenizer_config.json."
        )
