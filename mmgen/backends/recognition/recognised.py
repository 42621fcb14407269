"""The answer of a recognition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Recognised"]


@dataclass(frozen=True)
class Recognised:
    """What a checkpoint is, before anything of it is loaded.

    Args:
        library: "diffusers" or "transformers", which can load it.
        task: Its task in the field's own words, such as "text-to-image".
        x: Modality that it generates.
        y: Modalities that it can be conditioned on; any may be missing that its class lets miss.
        architecture: Name of its class, as its configuration states or implies it.
        source: The folder or Hub id.
        revision: Commit that the configuration is of, for a Hub id.
        weights: "safetensors", "pickle only" (a part has weights in formats that can run code,
            and in no other), "none", or "unknown" for a Hub id, whose files are not listed.
        parts: Of a pipeline of diffusers, the name of the class of each of its parts that it has.
    """

    library: str
    task: str
    x: str
    y: tuple[str, ...]
    architecture: str
    source: str
    revision: str | None
    weights: str
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def distribution(self) -> str:
        """P(X | Y) in words."""
        return f"P({self.x} | {', '.join(self.y) or 'nothing'})"
