"""What each generating class of the installed transformers generates, and from what.

transformers lists its classes by use, in tables of names. A class is in several where it can be
used in several ways: the narrower use comes first here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module

__all__ = ["survey"]

What = tuple[str, str, tuple[str, ...]]

_TEXT: What = ("text-generation", "text", ("text",))
_SPEECH: What = ("text-to-speech", "audio", ("text",))
_IMITATION: What = ("text-to-speech", "audio", ("text", "audio"))
_RECOGNITION: What = ("automatic-speech-recognition", "text", ("audio",))
_READING: What = ("image-text-to-text", "text", ("text", "image"))

# Table of names, and what most of its classes do; the first table that lists a class counts.
_TABLES: tuple[tuple[str, What], ...] = (
    ("TEXT_TO_WAVEFORM_MAPPING_NAMES", _SPEECH),
    ("TEXT_TO_SPECTROGRAM_MAPPING_NAMES", _SPEECH),
    ("CTC_MAPPING_NAMES", _RECOGNITION),
    ("RNNT_MAPPING_NAMES", _RECOGNITION),
    ("TDT_MAPPING_NAMES", _RECOGNITION),
    ("SPEECH_SEQ_2_SEQ_MAPPING_NAMES", _RECOGNITION),
    ("TEXT_RECOGNITION_MAPPING_NAMES", ("image-to-text", "text", ("image",))),
    ("IMAGE_TEXT_TO_TEXT_MAPPING_NAMES", _READING),
    ("MULTIMODAL_LM_MAPPING_NAMES", ("audio-text-to-text", "text", ("text", "audio"))),
    ("SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES", ("text2text-generation", "text", ("text",))),
    ("CAUSAL_LM_MAPPING_NAMES", _TEXT),
    ("CAUSAL_IMAGE_MODELING_MAPPING_NAMES", ("unconditional-image-generation", "image", ())),
    ("IMAGE_TO_IMAGE_MAPPING_NAMES", ("image-to-image", "image", ("image",))),
    ("MASKED_LM_MAPPING_NAMES", ("fill-mask", "text", ("text",))),
)

# Classes that the tables list under another use, or that stand in none of them.
_CLASSES: dict[str, tuple[str, What]] = {
    "CsmForConditionalGeneration": ("csm", _IMITATION),
    "DiaForConditionalGeneration": ("dia", _IMITATION),
    "PocketTTSForConditionalGeneration": ("pocket_tts", _IMITATION),
    "PI0ForConditionalGeneration": ("pi0", ("robotics", "actions", ("text", "image"))),
    "SeamlessM4TForSpeechToSpeech": ("seamless_m4t", ("audio-to-audio", "audio", ("audio",))),
    "SeamlessM4TModel": ("seamless_m4t", ("translation", "text", ("text", "audio"))),
    "SeamlessM4Tv2ForSpeechToSpeech": ("seamless_m4t_v2", ("audio-to-audio", "audio", ("audio",))),
    "SeamlessM4Tv2Model": ("seamless_m4t_v2", ("translation", "text", ("text", "audio"))),
    "SpeechT5ForSpeechToSpeech": ("speecht5", ("audio-to-audio", "audio", ("audio",))),
}

# Scores of music, proteins, and decoders that are parts of another model.
_LEFT_OUT = {
    "EvollaForProteinText2Text",
    "MoshiForCausalLM",
    "MusicgenForCausalLM",
    "MusicgenMelodyForCausalLM",
    "Pop2PianoForConditionalGeneration",
    "TrOCRForCausalLM",
    "WhisperForCausalLM",
}

_TRANSLATORS = {"fsmt", "m2m_100", "marian", "nllb-moe", "seamless_m4t", "seamless_m4t_v2"}
# Those that need no words beside the picture.
_CAPTIONERS = {"blip", "git", "pix2struct", "pp_formulanet", "vision-encoder-decoder"}


def survey() -> dict[What, dict[str, list[str]]]:
    """Classes by (task, X, Y), each with the values of `model_type` that go with it."""
    auto = import_module("transformers.models.auto.modeling_auto")
    library = import_module("transformers")
    tables = [(getattr(auto, f"MODEL_FOR_{name}"), what) for name, what in _TABLES]
    chosen: dict[str, What] = {}
    types: dict[str, set[str]] = {}
    for name, (model_type, what) in _CLASSES.items():
        getattr(library, name)  # An AttributeError tells that this file is out of date.
        chosen[name], types[name] = what, {model_type}
    for names, what in tables:
        for model_type, given in names.items():
            for name in (given,) if isinstance(given, str) else given:
                if name in _LEFT_OUT:
                    continue
                chosen.setdefault(name, _narrowed(name, model_type, what, auto))
                types.setdefault(name, set()).add(model_type)
    found: dict[What, dict[str, list[str]]] = {}
    for name in sorted(chosen):
        found.setdefault(chosen[name], {})[name] = sorted(types[name])
    return found


def _narrowed(name: str, model_type: str, what: What, auto: object) -> What:
    """The use of one class of a table."""
    task = what[0]
    everything: Mapping[str, object] = auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES  # type: ignore[attr-defined]
    if task == "text-to-speech" and model_type in everything or "Multimodal" in name:
        return "any-to-any", "text", ("text", "image", "video", "audio")
    if task == "text-to-speech" and "music" in model_type:
        return "text-to-audio", "audio", ("text",)
    if task == "image-text-to-text" and model_type in _CAPTIONERS:
        return "image-to-text", "text", ("image",)
    if task == "image-text-to-text" and "Video" in name:
        return "video-text-to-text", "text", ("text", "image", "video")
    if task == "audio-text-to-text" and re.search("asr|transcribe|speech", model_type):
        return _RECOGNITION
    if task == "text2text-generation" and re.search("audio|music", model_type):
        return "audio-text-to-text", "text", ("text", "audio")
    if task == "text2text-generation" and model_type in _TRANSLATORS:
        return "translation", "text", ("text",)
    return what
