"""A few real values of every modality, of the sizes that tiny pipelines take."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmgen.modalities.audio import Audio
from mmgen.modalities.video import Video

__all__ = ["LABELS", "conditions", "values"]

LABELS = {"label": ["cat", "dog"], "properties": ["mass [g]", "height [m]"]}
"""Names for the modalities that need some."""

_RNG = np.random.default_rng(0)
_TIME = np.arange(4000) / 8000


def _sound(hertz: float, steps: int) -> Audio:
    wave = 0.3 * np.sin(2 * np.pi * hertz * _TIME[:steps], dtype=np.float32)
    return Audio(wave[None].astype(np.float32), 8000)


_VALUES: dict[str, list[Any]] = {
    "text": ["a red square", "blue", "two green stars", "grüße"],
    "image": list(_RNG.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)),
    "audio": [_sound(440, 4000), _sound(220, 2000), _sound(880, 3000), _sound(330, 2500)],
    "video": [Video(f, 8.0) for f in _RNG.integers(0, 256, (4, 4, 16, 16, 3), dtype=np.uint8)],
    "actions": list(_RNG.normal(size=(4, 4, 2)).astype(np.float32)),
    "molecules": ["CCO", "c1ccccc1", "CC(=O)O", "CN"],
    "label": ["cat", "dog", "dog", "dog"],
    "properties": [{"mass": 1.0 + i, "height": 0.5 * i * i} for i in range(4)],
}
_OBSERVATIONS = [{"state": x} for x in _RNG.normal(size=(4, 2, 3)).astype(np.float32)]


def values(modality: str) -> list[Any]:
    """Four values to generate."""
    return _VALUES[modality]


def conditions(modality: str) -> list[Any]:
    """Four values to condition on, the last of them not given."""
    if modality == "nothing":
        return [None] * 4
    if modality == "several":
        rows = zip(_VALUES["text"], _VALUES["label"], _VALUES["properties"], strict=True)
        full = [{"text": t, "label": n, "properties": p} for t, n, p in rows]
        return [full[0], {"label": "dog"}, {"text": "blue", "properties": {"mass": 2.0}}, None]
    own = _OBSERVATIONS if modality == "actions" else _VALUES[modality]
    return [*own[:3], None]
