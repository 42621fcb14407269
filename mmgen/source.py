"""Where that is which a name means: a folder, a recipe, or what mmgen saved and is on the Hub.

A manifest is read before anything else of a repository, and only what it lists is downloaded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmgen import hub
from mmgen.backends.recognition.configuration import read_object
from mmgen.backends.recognition.repository import first_file, is_hub_id
from mmgen.core.errors import LoadError

__all__ = ["OnHub", "Source", "find_on_hub", "find_source"]

_ADAPTER, _PIPELINE = "adapter.json", "pipeline.json"
_PLACES = ("revision", "cache_dir", "token", "local_files_only")
_LISTED = {
    _PIPELINE: re.compile(r"(encoder|model|codec)\.[\w.+-]+", re.ASCII),
    _ADAPTER: re.compile(r"adapter\.safetensors|encoder\.[\w.+-]+", re.ASCII),
}
_PICKLES = (".bin", ".ckpt", ".joblib", ".npy", ".pickle", ".pkl", ".pt", ".pth")
_MOST_ADAPTERS = 8


@dataclass(frozen=True)
class OnHub:
    """A pipeline or an adapter that mmgen saved, in a repository.

    Args:
        name: Its id.
        manifest: In the cache; its folder is that of the snapshot.
        where: revision, cache_dir, token, local_files_only, as they were given.
    """

    name: str
    manifest: Path
    where: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """Of the snapshot. It holds the manifest; `fetch` puts the rest there."""
        return self.manifest.parent

    def fetch(self) -> Path:
        """Download what the manifest lists and is not in the cache, of the manifest's commit.

        Returns:
            The folder, as `save_pretrained` wrote it. Checksums are for its reader to check.

        Raises:
            LoadError: If the manifest lists what no manifest lists, or a file cannot be had.
        """
        asked = {**self.where, "revision": self.folder.name}
        for file in self._listed():
            answer = first_file(self.name, (file,), **asked)
            if answer.path is None and answer.why is None:
                raise LoadError(
                    f"{self.name} has no {file}, which its {self.manifest.name} lists. Whoever "
                    "made it may push it again; its other commits may have all of it."
                )
            if answer.path is None:
                raise LoadError(
                    f"{file} of {self.name} is not in the cache of the Hub. {answer.why}, and load "
                    "it again, which gets what is missing."
                )
        return self.folder

    def _listed(self) -> list[str]:
        sums = read_object(self.manifest).get("sha256")
        known = _LISTED[self.manifest.name]
        if not isinstance(sums, dict) or not sums:
            raise LoadError(f"The {self.manifest.name} of {self.name} lists no files.")
        for file in sums:
            if not known.fullmatch(file) or file.lower().endswith(_PICKLES):
                raise LoadError(
                    f"The {self.manifest.name} of {self.name} lists {ascii(file):.60}, which is no "
                    "file that mmgen saves, so nothing that it lists is downloaded."
                )
        return sorted(sums)


@dataclass(frozen=True)
class Source:
    """What a name means.

    Args:
        name: Of the pipeline, whose adapters have been taken off: a folder, a recipe, or what
            another library made.
        folder: Of a pipeline that mmgen saved.
        on_hub: The same, if it is on the Hub; `fetch` completes the folder.
        adapters: Folders of what changes it, the last change first.
        where: For what another library made, where it is beside its name.
    """

    name: str
    folder: Path | None
    on_hub: OnHub | None
    adapters: tuple[Path, ...]
    where: Mapping[str, Any]


def find_on_hub(name: str | os.PathLike[str], where: Mapping[str, Any]) -> OnHub | None:
    """What mmgen saved in this repository; None if nothing, or if the name is no id.

    Args:
        name: Any name.
        where: revision, cache_dir, token, local_files_only; other names are left alone.

    Raises:
        UnknownNameError: If there is no such repository.
        LoadError: If it is gated, has no such revision, or fails to answer.
    """
    if not is_hub_id(name) or os.path.exists(name):
        return None
    own = {k: v for k, v in where.items() if k in _PLACES}
    # In the order in which a folder is asked for them.
    found = first_file(os.fspath(name), (_ADAPTER, _PIPELINE), **own).path
    return None if found is None else OnHub(os.fspath(name), found, own)


def find_source(
    name: str | os.PathLike[str],
    *,
    base: str | os.PathLike[str] | None = None,
    where: Mapping[str, Any],
) -> Source:
    """What a name means. Of the Hub, adapters are downloaded, and the manifest of a pipeline.

    Args:
        name: Folder, recipe or Hub id.
        base: What the adapter changes, if the name is that of one.
        where: What else was said of the place, as of `find_on_hub`.

    Raises:
        UnknownNameError: If there is no such repository.
        LoadError: If an adapter is broken, or names a folder as its base.
        TypeError: If there is a base, and no adapter.
    """
    adapters: list[Path] = []
    used = False
    while len(adapters) <= _MOST_ADAPTERS:
        name = os.fspath(hub.inner_folder(name))
        found = find_on_hub(name, where)
        there = Path(name) if found is None else found.folder
        manifest = there / _ADAPTER if found is None else found.manifest
        if manifest.name != _ADAPTER or not manifest.is_file():
            break
        adapters.append(there if found is None else found.fetch())
        name, base = _base(manifest, base), None
        if found is not None:
            # It said which commit of the adapter, and the base has its own.
            used, where = True, {k: v for k, v in where.items() if k != "revision"}
    else:
        raise LoadError(
            f"{name!r} is an adapter of an adapter, and so on, more than {_MOST_ADAPTERS} deep."
        )
    if base is not None:
        raise TypeError(f"{name!r} is a whole pipeline, so it has no base.")
    if found is not None:
        return Source(name, found.folder, found, tuple(adapters), _rest(where))
    folder = there if (there / _PIPELINE).is_file() else None
    # What an adapter on the Hub has used is not offered to what has no use for it.
    where = _rest(where) if used and not is_hub_id(name) else where
    return Source(name, folder, None, tuple(adapters), where)


def _rest(where: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in where.items() if k not in _PLACES}


def _base(manifest: Path, base: str | os.PathLike[str] | None) -> str | os.PathLike[str]:
    """What an adapter changes: what was said, or the recipe or Hub id that it names.

    Raises:
        LoadError: If it names a folder: a file never says which folder is opened.
    """
    if base is not None:
        return base
    named = read_object(manifest).get("base")
    folder = not isinstance(named, str) or named.startswith((".", "/", "~"))
    if folder or Path(named).exists():
        raise LoadError(
            f"This adapter was made for {ascii(named):.200}, which is no shipped pipeline and no "
            "Hub id. Say where that is now: from_pretrained(..., base=...)."
        )
    return named
