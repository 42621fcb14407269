"""Single files of a repository of the Hub, and its refusals in words that say what to do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmgen.backends.recognition.reach import out_of_reach
from mmgen.core.errors import LoadError, UnknownNameError

__all__ = ["Answer", "download_error", "first_file", "is_hub_id"]

# What an HTTP client and the Hub's own library call a connection that broke, in their classes.
_BROKEN = {"TransportError", "HfHubHTTPError", "XetDownloadError", "FileMetadataError"}


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
            raise download_error(error, name, revision) or _not_kept(error, name) from None
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


def _not_kept(error: Exception, name: str) -> Exception:
    """The same of a file that could not be written in words that say so."""
    if not isinstance(error, OSError):
        return error
    return LoadError(f"{name} could not be put into the cache of the Hub: {error}.")


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


def download_error(
    error: BaseException, name: str, revision: str | None = None
) -> Exception | None:
    """What the Hub refused, or that a connection to it broke, in words that say what to do.

    Args:
        error: What a library raised while it loaded something; its causes are looked at, too.
        name: The id, org/name.
        revision: What was asked for.

    Returns:
        An error to be raised; None if it was no such thing.
    """
    from huggingface_hub import errors

    cause: BaseException | None = error
    while cause is not None:
        if not isinstance(cause, errors.EntryNotFoundError):
            said = _hub_error(cause, name, revision)
            if said is not cause:
                return said
        cause = cause.__cause__ or cause.__context__
    return None


def _hub_error(error: BaseException, name: str, revision: str | None) -> BaseException:
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
    if _broke(error) or isinstance(error, errors.RevisionResolutionError):
        status = getattr(getattr(error, "response", None), "status_code", None)
        why = type(error).__name__ if status is None else f"the Hub answered {status}"
        return LoadError(
            f"The download of {name} broke off ({why}). Load it again: what has come is kept, and "
            "only the rest is asked for. Or name a folder that holds it."
        )
    return error


def _broke(error: BaseException) -> bool:
    """Whether a connection ended before all had come."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(_BROKEN & kinds) or str(error).startswith("Consistency check failed")
