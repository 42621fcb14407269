"""Which weights a measurement is of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmgen import hub
from mmgen.core.errors import UnknownNameError

__all__ = ["of_other_weights", "weights_of"]


def weights_of(name: str) -> str:
    """The checksums of a pipeline's weights in one; empty if it is no recipe and no folder."""
    folder = Path(hub.inner_folder(name))
    manifest = folder / "pipeline.json"
    if not folder.is_dir():
        try:
            manifest = hub.find_recipe(name).path.with_suffix(".json")
        except UnknownNameError:
            return ""
    return hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.is_file() else ""


def of_other_weights(record: Mapping[str, Any]) -> bool:
    """Whether the recipe that a record is of has other weights by now.

    Records that do not tell their weights, or are of what is no recipe, are taken as they are.
    """
    settings = record["settings"]
    told, name = settings.get("weights_sha256"), str(settings.get("pipeline", ""))
    if not told or Path(name).is_dir():
        return False
    return weights_of(name) not in ("", told)
