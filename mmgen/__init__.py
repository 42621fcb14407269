"""One door to every conditional distribution P(X | Y)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmgen.version import __version__

if TYPE_CHECKING:
    from mmgen.hub import list_pipelines
    from mmgen.modalities.audio import Audio
    from mmgen.modalities.video import Video
    from mmgen.pipeline import Pipeline

__all__ = ["Audio", "Pipeline", "Video", "__version__", "list_pipelines"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: importing torch takes seconds, importing mmgen must not.
    if name == "Pipeline":
        from mmgen.pipeline import Pipeline

        return Pipeline
    if name == "list_pipelines":
        from mmgen.hub import list_pipelines

        return list_pipelines
    if name == "Audio":
        from mmgen.modalities.audio import Audio

        return Audio
    if name == "Video":
        from mmgen.modalities.video import Video

        return Video
    raise AttributeError(f"module 'mmgen' has no attribute {name!r}")
