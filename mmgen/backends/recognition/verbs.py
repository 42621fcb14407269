"""Which of the recognised checkpoints can be loaded, and what can be asked of them then."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["VERBS"]

_TOKENS = ("sample", "stream", "best", "log_prob", "known", "classify")

VERBS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("transformers", "text-generation"): _TOKENS,
    ("transformers", "translation"): _TOKENS,
    ("transformers", "text2text-generation"): _TOKENS,
    ("transformers", "text-to-speech"): ("sample",),
    ("transformers", "text-to-audio"): ("sample",),
    ("diffusers", "text-to-image"): ("sample",),
    ("diffusers", "image-to-image"): ("sample",),
    ("diffusers", "inpainting"): ("known",),
    ("diffusers", "class-conditional-image-generation"): ("sample",),
    ("diffusers", "unconditional-image-generation"): ("sample",),
    ("diffusers", "text-to-video"): ("sample",),
    ("diffusers", "image-to-video"): ("sample",),
    ("diffusers", "video-to-video"): ("sample",),
    ("diffusers", "text-to-audio"): ("sample",),
    ("diffusers", "unconditional-audio-generation"): ("sample",),
}
"""By library and task, the verbs of `docs/inference.md`. What is not here is not loaded."""
