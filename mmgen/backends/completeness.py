"""What is missing of a checkpoint whose download was interrupted, and how to get it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmgen.backends.foreign import Place
from mmgen.backends.recognition import Recognised
from mmgen.core.errors import LoadError

__all__ = ["check_indices", "check_parts", "how_to_complete", "kept_files", "stored_numbers"]

_INDICES = ("*.safetensors.index.json", "*/*.safetensors.index.json")
_MOST_BYTES = 64 * 2**20


def check_indices(found: Recognised, place: Place) -> None:
    """Refuse a checkpoint whose weights are in several files if what names them is broken.

    Raises:
        LoadError: If an index is no index.
    """
    for index in _indices(kept_files(found, place) or Path(found.source)):
        if not _shards(index):
            raise LoadError(f"{index} does not name the files of weights. Get it again.")


def check_parts(found: Recognised, place: Place) -> None:
    """Refuse a pipeline that lacks one of its parts.

    Raises:
        LoadError: If the folder of one is not there, or empty.
    """
    local = Path(found.source)
    folder = local if local.is_dir() else None
    if folder is None and place.local_files_only:
        folder = kept_files(found, place)
    if folder is None:
        return
    lacking = [
        p for p in found.parts if not (folder / p).is_dir() or not any((folder / p).iterdir())
    ]
    if lacking:
        advice = how_to_complete(found, place) or f"Get the checkpoint again, all of {folder}."
        raise LoadError(
            f"{found.source} lacks its {' and its '.join(lacking)}: there is nothing in the folder "
            f"{lacking[0]!r}. {advice}"
        )


def stored_numbers(folder: Path) -> int:
    """How many numbers the safetensors files in a folder hold."""
    return sum(
        math.prod(tensor["shape"])
        for file in folder.glob("*.safetensors")
        for tensor in _header(file)[0].values()
        if "shape" in tensor
    )


def how_to_complete(found: Recognised, place: Place) -> str | None:
    """What lacks of the files of a checkpoint, and what to do; None if nothing is seen to lack.

    Args:
        found: What was recognised.
        place: Where it is.
    """
    folder = Path(found.source)
    if folder.is_dir():
        names = sorted(_missing(folder))
        cut = sorted(_cut(folder))
        if not names and cut:
            verb = "is" if len(cut) == 1 else "are"
            return f"{', '.join(cut[:3])} {verb} cut short or broken. Get the checkpoint again."
        if not names:
            return None
        return f"{_listed(names)} missing in {folder}. Get the checkpoint again, all of it."
    snapshot = kept_files(found, place)
    if snapshot is None:
        return None
    names = sorted(_missing(snapshot)) + [p for p in found.parts if not (snapshot / p).is_dir()]
    begun = [
        blob for blob in (snapshot.parents[1] / "blobs").glob("*.incomplete") if blob.is_file()
    ]
    if not names and not begun:
        return None
    lacking = [f"{_listed(names)} missing"] if names else []
    if begun:
        size = sum(blob.stat().st_size for blob in begun) / 1e6
        lacking.append(f"a download was interrupted after {size:.1f} MB")
    revision = f" --revision {place.revision}" if place.revision else ""
    where = "" if place.cache_dir is None else f" --cache-dir {os.fspath(place.cache_dir)}"
    return (
        f"In the cache of the Hub {' and '.join(lacking)}. Get the rest while there is a network, "
        f"without HF_HUB_OFFLINE and local_files_only: hf download {found.source}{revision}{where}"
    )


def kept_files(found: Recognised, place: Place) -> Path | None:
    """Where the cache keeps the files of a Hub id, if it keeps some of the revision."""
    from huggingface_hub import constants

    cache = Path(place.cache_dir or constants.HF_HUB_CACHE)
    root = cache / f"models--{found.source.replace('/', '--')}"
    snapshot = root / "snapshots" / (found.revision or "")
    return snapshot if found.revision and snapshot.is_dir() else None


def _missing(folder: Path) -> Iterator[str]:
    """Files that an index names and that are not there, and links to nothing."""
    for index in _indices(folder):
        for name in _shards(index):
            if not (index.parent / name).is_file():
                yield str((index.parent / name).relative_to(folder))
    for entry in (*folder.glob("*"), *folder.glob("*/*")):
        if entry.is_symlink() and not entry.exists():
            yield str(entry.relative_to(folder))


def _cut(folder: Path) -> Iterator[str]:
    """Files of weights that are shorter than their headers say, or that have none."""
    for file in (*folder.glob("*.safetensors"), *folder.glob("*/*.safetensors")):
        tensors, start = _header(file)
        ends = [t["data_offsets"][1] for t in tensors.values() if "data_offsets" in t]
        if not start or file.stat().st_size < start + max(ends, default=0):
            yield str(file.relative_to(folder))


def _header(file: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """What a safetensors file says of its tensors, and where these begin; 0 if it is none."""
    with open(file, "rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        if not 0 < size < _MOST_BYTES:
            return {}, 0
        try:
            said = json.loads(opened.read(size))
        except (ValueError, RecursionError):
            return {}, 0
    if not isinstance(said, dict):
        return {}, 0
    return {key: tensor for key, tensor in said.items() if isinstance(tensor, dict)}, 8 + size


def _indices(folder: Path) -> Iterator[Path]:
    return (index for pattern in _INDICES for index in folder.glob(pattern) if index.is_file())


def _shards(index: Path) -> set[str]:
    """The plain names of files in an index; none if it is no index."""
    if index.stat().st_size > _MOST_BYTES:
        return set()
    try:
        content = json.loads(index.read_text("utf-8"))
        names = set(content["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError):
        return set()
    return {name for name in names if isinstance(name, str) and Path(name).name == name}


def _listed(names: list[str]) -> str:
    named = list(dict.fromkeys(names))
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    return f"{', '.join(named[:3])}{more} {'is' if len(named) == 1 else 'are'}"
