"""From a configuration to P(X | Y)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mmgen.backends.recognition.configuration import Configuration, from_folder, from_hub
from mmgen.backends.recognition.recognised import Recognised
from mmgen.backends.recognition.table import Group, Table, table
from mmgen.backends.recognition.weights import weights_in
from mmgen.core.errors import LoadError, UnknownNameError, close_names

__all__ = ["recognise"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_TYPE = re.compile(r"[A-Za-z0-9_.+-]{1,128}")
_OWN_CODE = ("auto_map", "trust_remote_code", "custom_pipelines")


def recognise(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> Recognised:
    """What a checkpoint of diffusers or transformers is, from `model_index.json` or `config.json`.

    No weights are read, no library is loaded, and nothing that the files name is imported, opened
    or followed.

    Args:
        name: Folder, or Hub id.
        revision: Commit, tag or branch, for a Hub id.
        cache_dir: Cache of the Hub, if not the usual one.
        token: For private and gated repositories; that of `hf auth login` if None.
        local_files_only: Whether to look in the cache alone. HF_HUB_OFFLINE does the same.

    Raises:
        UnknownNameError: If the name is neither, or the architecture is none that is known; the
            message names close ones.
        LoadError: If there is no configuration, it is broken, it asks for code of its own, or the
            repository is gated or out of reach.
    """
    text = os.fspath(name)
    if os.path.isdir(text):
        found = from_folder(Path(text))
    elif os.path.exists(text):
        raise LoadError(f"{text!r} is a file. Name the folder of a whole checkpoint.")
    else:
        found = from_hub(
            text,
            revision=revision,
            local_files_only=local_files_only,
            cache_dir=cache_dir,
            token=token,
        )
    _refuse_own_code(found)
    known = table()
    decide = _of_diffusers if found.library == "diffusers" else _of_transformers
    architecture, group = decide(found, known)
    return Recognised(
        library=group.library,
        task=group.task,
        x=group.x,
        y=group.y,
        architecture=architecture,
        source=found.source,
        revision=found.revision,
        weights=weights_in(found.folder, group.library) if found.folder else "unknown",
        parts=_parts(found) if found.library == "diffusers" else {},
    )


def _refuse_own_code(found: Configuration) -> None:
    keys = [key for key in _OWN_CODE if found.content.get(key)]
    if keys:
        raise _own_code(found, f"its configuration sets {' and '.join(keys)}")


def _own_code(found: Configuration, why: str) -> LoadError:
    return LoadError(
        f"{found.source} asks for code of its own ({why}). Code from a checkpoint never runs "
        "unless asked for, and recognition never asks. Use a version of it that the library knows "
        f"by itself, or load it with {found.library} where you trust it."
    )


def _of_diffusers(found: Configuration, known: Table) -> tuple[str, Group]:
    stated = found.content.get("_class_name")
    if isinstance(stated, list):
        raise _own_code(found, "its class is in a file beside it")
    architecture = _checked(stated, _NAME, found, "_class_name")
    for part, value in found.content.items():
        if part.startswith("_") or not _is_pair(value):
            continue
        library = value[0]
        if isinstance(library, str) and library not in (*known.versions, "peft", *known.folders):
            raise _own_code(found, f"a part comes from {_shown(library)}")
    group = known.find("diffusers", architecture)
    if group is None:
        raise _unknown(found, architecture, known)
    return architecture, group


def _parts(found: Configuration) -> dict[str, str]:
    """Classes of the parts of a pipeline, but for those that are left out and what is none."""
    named = {k: v for k, v in found.content.items() if not k.startswith("_") and _is_pair(v)}
    kinds = {part: kind for part, (_, kind) in named.items() if isinstance(kind, str)}
    return {part: _checked(kind, _NAME, found, part) for part, kind in kinds.items()}


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2


def _of_transformers(found: Configuration, known: Table) -> tuple[str, Group]:
    content = found.content
    if "_class_name" in content:
        part = _checked(content["_class_name"], _NAME, found, "_class_name")
        raise LoadError(
            f"{found.source} is a part of a diffusers pipeline ({part}). Name the pipeline, whose "
            "folder holds model_index.json."
        )
    stated, model_type = content.get("architectures"), content.get("model_type")
    if model_type is not None:
        model_type = _checked(model_type, _TYPE, found, "model_type")
    if not stated:
        return _by_type(found, model_type, known)
    if not isinstance(stated, list):
        raise _wrong(found, "architectures", stated)
    architecture = _checked(stated[0], _NAME, found, "architectures")
    group = known.find("transformers", architecture)
    if group is None:
        raise _unknown(found, architecture, known, siblings=sorted(known.of_type(model_type or "")))
    return architecture, group


def _by_type(found: Configuration, model_type: str | None, known: Table) -> tuple[str, Group]:
    """Old configurations state a `model_type` alone, which may leave one task or several."""
    if model_type is None:
        raise LoadError(
            f"The configuration of {found.source} states neither architectures nor model_type, so "
            "it is not one of transformers."
        )
    own = known.of_type(model_type)
    if not own:
        types = {t for g in known.groups for names in g.architectures.values() for t in names}
        raise UnknownNameError(
            f"{found.source} states no architecture, and its model_type {model_type!r} is none "
            f"that is known to generate. {_close(model_type, types)}"
        )
    # A masked language model is what a text model of several uses is least often wanted for.
    use = {n: g for n, g in own.items() if g.task != "fill-mask"} or own
    if len({(g.task, g.y) for g in use.values()}) > 1:
        raise LoadError(
            f"{found.source} states no architecture, and its model_type {model_type!r} has "
            f"several: {', '.join(sorted(use))}. Put one into its config.json, as "
            f'"architectures": ["{min(use)}"], say.'
        )
    return next(iter(use.items()))


def _unknown(
    found: Configuration, architecture: str, known: Table, siblings: list[str] | None = None
) -> UnknownNameError:
    library = found.library
    names = known.architectures(library)
    hint = "Of the same model_type are known: " + ", ".join(siblings) + "." if siblings else ""
    return UnknownNameError(
        f"{found.source} is of {architecture}, none of the {len(names)} architectures of "
        f"{library} {known.versions[library]} that are known to generate a value. "
        f"{hint or _close(architecture, names)}"
    )


def _close(name: str, names: Any) -> str:
    hint = close_names(name, names)
    return hint if hint.startswith("Did") else "`mmgen list --foreign` tells what is recognised."


def _checked(value: Any, pattern: re.Pattern[str], found: Configuration, key: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _wrong(found, key, value)
    return value


def _wrong(found: Configuration, key: str, value: Any) -> LoadError:
    return LoadError(
        f"The configuration of {found.source} is broken: {key} is {_shown(value)}, expected a "
        "name. Get it again from where it came from."
    )


def _shown(value: Any) -> str:
    """A value of a file that nobody vouches for, short and printable."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
