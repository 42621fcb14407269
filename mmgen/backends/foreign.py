"""A checkpoint that others made, as the parts of a pipeline."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from mmgen.backends.placement import Placement
from mmgen.backends.recognition import Recognised
from mmgen.core.adapters import Adapters
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
        writes: "smiles" or "selfies" if the texts that it writes are molecules, which no
            configuration tells; what its card says if None.
        placement: Where its weights go.
        weights: Whether they are read. Without them a checkpoint of transformers says what it
            takes, and answers nothing.
    """

    revision: str | None = None
    cache_dir: str | os.PathLike[str] | None = None
    token: str | bool | None = None
    local_files_only: bool = False
    writes: str | None = None
    placement: Placement = Placement()
    weights: bool = True

    @classmethod
    def of(cls, given: Mapping[str, Any], device: torch.device | str | None = None) -> Place:
        """What was given by name, for this and for the placement.

        Raises:
            TypeError: If a name is of neither.
        """
        where = {field.name for field in fields(cls)} - {"placement", "weights"}
        how = {field.name for field in fields(Placement)} - {"device"}
        unknown = sorted(set(given) - where - how)
        if unknown:
            raise TypeError(
                f"A checkpoint of another library is loaded with {', '.join(sorted(where | how))}; "
                f"{unknown[0]!r} is none of them."
            )
        placement = Placement(**{k: v for k, v in given.items() if k in how}, device=device)
        return cls(**{k: v for k, v in given.items() if k in where}, placement=placement)

    def as_dict(self) -> dict[str, Any]:
        """As libraries take it."""
        own = ("placement", "weights", "writes")
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in own}


@dataclass(frozen=True)
class Foreign:
    """Parts that wrap what a library has loaded.

    Args:
        encoder: Y to c.
        model: c to P(Z | c).
        codec: Z to X and back.
        found: What was recognised.
        save: Writes the checkpoint into an empty folder, as its own library does.
        adapters: Its adapters, if its library has a way of its own to load them.
        fixed: Why it cannot be moved or trained, if it cannot.
        writes: The notation of the molecules that it writes, if it writes some.
    """

    encoder: Encoder
    model: Model
    codec: Codec
    found: Recognised
    save: Callable[[Path], None]
    adapters: Adapters | None = None
    fixed: str | None = None
    writes: str | None = None

    def about(self) -> dict[str, Any]:
        """For a card: what it is, and where it is from."""
        found = self.found
        named = ("library", "task", "architecture", "source", "revision")
        about = {"distribution": found.distribution, **{n: getattr(found, n) for n in named}}
        return about if self.writes is None else {**about, "writes": self.writes}
