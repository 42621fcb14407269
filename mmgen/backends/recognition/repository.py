"""Single files of a repository of the Hub, and its refusals in words that say what to do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmgen.backends.recognition.reach import out_of_reach
from mmgen.core.errors import LoadError, UnknownNameError

__all__ = ["Answer", "first_file", "is_hub_id"]


@dataclass(frozen=True)
class Answer:
    """What was found of the files that were asked for.

    Args:
        path: The first of them that is there, in the cache; None if none is.
        why: Why the Hub was not asked for what is not in the cache; None if it was.
    """

    path: Path | None
    why: str | None = None

    @property
    def revision(self) -> str | None:
        """Commit, by which the cache calls the folder of a snapshot."""
        return self.path.parent.name if self.path else None


def is_hub_id(name: str | os.PathLike[str]) -> bool:
    """Whether a name has the form of a Hub id, org/name, and no folder has it."""
    text = os.fspath(name)
    # The names of recipes have no slash, paths that are meant as such start with one of these.
    return text.count("/") == 1 and not text.startswith((".", "/", "~")) and not os.path.isdir(text)


def first_file(
    name: str,
    files: Sequence[str],
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    **place: Any,
) -> Answer:
    """The first of some files that a repository has. No other is downloaded.

    Args:
        name: The id, org/name.
        files: Their names, in the order in which they are asked for.
        revision: Commit, tag or branch; the main branch if None.
        local_files_only: Whether to look in the cache alone. HF_HUB_OFFLINE does the same.
        place: `cache_dir` and `token` of `huggingface_hub.hf_hub_download`.

    Raises:
        UnknownNameError: If it is no id, or no repository that may be seen.
        LoadError: If it is gated, has no such revision, or fails to answer.
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    cached_only = local_files_only or constants.HF_HUB_OFFLINE
    kept = cached_only or _kept(name, files[0], revision, place.get("cache_dir"))
    unreachable = not kept and out_of_reach()
    for file in files:
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
            return Answer(Path(found))
    if not unreachable:
        return Answer(None)
    why = (
        "The Hub is not asked, because HF_HUB_OFFLINE or local_files_only is set: unset it"
        if cached_only
        else "The Hub could not be reached: check the network"
    )
    return Answer(None, why)


def _kept(
    name: str, file: str, revision: str | None, cache_dir: str | os.PathLike[str] | None
) -> bool:
    """Whether a file is in the cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, file, revision=revision, cache_dir=cache_dir)
    except HFValidationError:
        # Refused where it is asked for.
        return True
    return isinstance(found, str)


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
