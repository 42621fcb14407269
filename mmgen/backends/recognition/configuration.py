"""The configuration of a checkpoint: found in a folder or on the Hub, and read without trust."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmgen.backends.recognition.reach import out_of_reach
from mmgen.core.errors import LoadError, UnknownNameError

__all__ = ["MAX_BYTES", "Configuration", "from_folder", "from_hub", "holds_configuration"]

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
    folder, text = Path(name), os.fspath(name)
    if folder.is_dir():
        return not (folder / _OWN).is_file() and holds_configuration(folder)
    # The names of recipes have no slash, paths that are meant as such start with one of these.
    return text.count("/") == 1 and not text.startswith((".", "/", "~"))


def from_folder(folder: Path) -> Configuration:
    """The configuration in a folder.

    Raises:
        LoadError: If there is none, or it is broken.
    """
    for name, library in ((_PIPELINE, "diffusers"), (_MODEL, "transformers")):
        if (folder / name).is_file():
            return Configuration(_read(folder / name), library, str(folder), folder, None)
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
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    cached_only = local_files_only or constants.HF_HUB_OFFLINE
    unreachable = not cached_only and not _kept(name, revision, **place) and out_of_reach()
    for file, library in ((_PIPELINE, "diffusers"), (_MODEL, "transformers")):
        try:
            found = hf_hub_download(
                name,
                file,
                revision=revision,
                # After one failure to reach the Hub, another would take as long again.
                local_files_only=cached_only or unreachable,
                **place,
            )
        except LocalEntryNotFoundError:
            unreachable = True
        except EntryNotFoundError:
            pass
        except Exception as error:
            raise _hub_error(error, name, revision) from None
        else:
            path = Path(found)
            # The cache names the folder of a snapshot by its commit.
            return Configuration(_read(path), library, name, None, path.parent.name)
    raise _not_there(name, unreachable=unreachable, cached_only=cached_only)


def _kept(name: str, revision: str | None, **place: Any) -> bool:
    """Whether the file that is asked for first is in the cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    where = {"revision": revision, "cache_dir": place.get("cache_dir")}
    try:
        return isinstance(try_to_load_from_cache(name, _PIPELINE, **where), str)
    except HFValidationError:
        # Refused where it is asked for.
        return True


def _not_there(name: str, *, unreachable: bool, cached_only: bool) -> LoadError:
    if not unreachable:
        return LoadError(
            f"{name} holds no checkpoint of diffusers or transformers: there is neither "
            f"{_PIPELINE} nor {_MODEL} in it."
        )
    why = (
        "The Hub is not asked, because HF_HUB_OFFLINE or local_files_only is set: unset it"
        if cached_only
        else "The Hub could not be reached: check the network"
    )
    return LoadError(
        f"There is no folder {name!r} here, and no configuration of {name} in the cache of the "
        f"Hub. {why}, or name a folder that holds the checkpoint."
    )


def _hub_error(error: Exception, name: str, revision: str | None) -> Exception:
    """The same in words that say what to do; what is not the Hub's is left as it is."""
    from huggingface_hub import errors

    if isinstance(error, errors.HFValidationError):
        return UnknownNameError(
            f"{name!r} is neither a folder here nor an id of the Hub, which has the form org/name "
            "of letters, digits, '-', '_' and '.'."
        )
    if isinstance(error, errors.GatedRepoError):
        return LoadError(
            f"{name} is gated. Accept its terms on its page on the Hub, then log in with "
            "`hf auth login` or pass token=."
        )
    if isinstance(error, errors.DisabledRepoError):
        return LoadError(f"{name} has been disabled on the Hub. Use another checkpoint.")
    if isinstance(error, errors.RepositoryNotFoundError):
        return UnknownNameError(
            f"There is no folder {name!r} here, and no repository {name} on the Hub that you may "
            "see. Check the spelling; if it is private, log in with `hf auth login` or pass token=."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return LoadError(
            f"{name} has no revision {revision!r}. Name one of its commits, tags or branches."
        )
    if isinstance(error, (OSError, errors.RevisionResolutionError)):
        return LoadError(
            f"The configuration of {name} could not be got from the Hub "
            f"({type(error).__name__}). Try again, or name a folder that holds the checkpoint."
        )
    return error


def _read(path: Path) -> dict[str, Any]:
    """A JSON object from a file of at most MAX_BYTES."""
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
