"""The configuration of a checkpoint: found in a folder or on the Hub, and read without trust."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmgen.backends.recognition.repository import first_file, is_hub_id
from mmgen.core.errors import LoadError

__all__ = [
    "MAX_BYTES",
    "Configuration",
    "from_folder",
    "from_hub",
    "holds_configuration",
    "is_foreign",
    "read_object",
]

MAX_BYTES = 4 * 2**20
"""Largest configuration that is read. Real ones have some thousand bytes."""

_PIPELINE, _MODEL = "model_index.json", "config.json"
_OWN = "pipeline.json"
_OTHERS = {
    "adapter_config.json": "an adapter such as a LoRA, not a model: name the model it adapts",
    "modular_model_index.json": "a modular diffusers pipeline, which is not read yet",
}


@dataclass(frozen=True)
class Configuration:
    """What one of the two files says.

    Args:
        content: Its JSON object.
        library: Whose file it is.
        source: The folder or Hub id.
        folder: The folder, unless it is a Hub id.
        revision: Commit, for a Hub id.
    """

    content: dict[str, Any]
    library: str
    source: str
    folder: Path | None
    revision: str | None


def holds_configuration(folder: Path) -> bool:
    """Whether a folder looks like a checkpoint of diffusers or transformers."""
    return any((folder / name).is_file() for name in (_PIPELINE, _MODEL, *_OTHERS))


def is_foreign(name: str | os.PathLike[str]) -> bool:
    """Whether a name has the form of a checkpoint of another library.

    Forms are a folder that holds a configuration of theirs and none of ours, and org/name.
    """
    folder = Path(name)
    if folder.is_dir():
        return not (folder / _OWN).is_file() and holds_configuration(folder)
    return is_hub_id(name)


def from_folder(folder: Path) -> Configuration:
    """The configuration in a folder.

    Raises:
        LoadError: If there is none, or it is broken.
    """
    for name, library in ((_PIPELINE, "diffusers"), (_MODEL, "transformers")):
        if (folder / name).is_file():
            return Configuration(read_object(folder / name), library, str(folder), folder, None)
    for name, meaning in _OTHERS.items():
        if (folder / name).is_file():
            raise LoadError(f"{str(folder)!r} holds {meaning}.")
    raise LoadError(
        f"{str(folder)!r} holds no checkpoint of diffusers or transformers: there is neither "
        f"{_PIPELINE} nor {_MODEL} in it."
    )


def from_hub(
    name: str, *, revision: str | None, local_files_only: bool, **place: Any
) -> Configuration:
    """The configuration of a Hub id. Only the two small files are asked for.

    Args:
        name: The id, org/name.
        revision: Commit, tag or branch; the main branch if None.
        local_files_only: Whether to look in the cache alone.
        place: `cache_dir` and `token` of `huggingface_hub.hf_hub_download`.

    Raises:
        UnknownNameError: If it is no id, or no repository that may be seen.
        LoadError: If it cannot be reached, is gated, or holds no configuration.
    """
    asked = {"revision": revision, "local_files_only": local_files_only, **place}
    answer = first_file(name, (_PIPELINE, _MODEL), **asked)
    if answer.path is None:
        raise _not_there(name, answer.why)
    library = "diffusers" if answer.path.name == _PIPELINE else "transformers"
    return Configuration(read_object(answer.path), library, name, None, answer.revision)


def _not_there(name: str, why: str | None) -> LoadError:
    if why is None:
        return LoadError(
            f"{name} holds no checkpoint of diffusers or transformers: there is neither "
            f"{_PIPELINE} nor {_MODEL} in it."
        )
    return LoadError(
        f"There is no folder {name!r} here, and no configuration of {name} in the cache of the "
        f"Hub. {why}, or name a folder that holds the checkpoint."
    )


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file of at most MAX_BYTES.

    Raises:
        LoadError: If it is larger, or does not hold one.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise LoadError(
                f"{path} has {size:,} bytes; a configuration of more than {MAX_BYTES:,} is not "
                "read. Get it again from where it came from."
            )
        content = json.loads(data.decode("utf-8"))
    except RecursionError:
        raise LoadError(f"{path} is nested too deeply for a configuration.") from None
    except (OSError, ValueError) as error:
        if isinstance(error, LoadError):
            raise
        raise LoadError(f"{path} does not hold JSON: {error}") from None
    if not isinstance(content, dict):
        raise LoadError(f"{path} holds {type(content).__name__}, expected an object.")
    return content
