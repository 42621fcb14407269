"""A checkpoint that others made, as the parts of a pipeline."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmgen.backends.recognition import Recognised
from mmgen.core.codec import Codec
from mmgen.core.encoder import Encoder
from mmgen.core.model import Model

__all__ = ["Foreign", "Place"]


@dataclass(frozen=True)
class Place:
    """Where a checkpoint is, beside its name.

    Args:
        revision: Commit, tag or branch, for a Hub id.
        cache_dir: Cache of the Hub, if not the usual one.
        token: For private and gated repositories; that of `hf auth login` if None.
        local_files_only: Whether to look in the cache alone. HF_HUB_OFFLINE does the same.
    """

    revision: str | None = None
    cache_dir: str | os.PathLike[str] | None = None
    token: str | bool | None = None
    local_files_only: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As libraries take it."""
        return asdict(self)


@dataclass(frozen=True)
class Foreign:
    """Parts that wrap what a library has loaded.

    Args:
        encoder: Y to c.
        model: c to P(Z | c).
        codec: Z to X and back.
        found: What was recognised.
        save: Writes the checkpoint into an empty folder, as its own library does.
    """

    encoder: Encoder
    model: Model
    codec: Codec
    found: Recognised
    save: Callable[[Path], None]

    def about(self) -> dict[str, Any]:
        """For a card: what it is, and where it is from."""
        found = self.found
        named = ("library", "task", "architecture", "source", "revision")
        return {"distribution": found.distribution, **{n: getattr(found, n) for n in named}}
