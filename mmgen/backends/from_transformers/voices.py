"""How each class of transformers is asked to make a sound of a text."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmgen.backends.from_transformers.vits import VitsLearning
from mmgen.core.npy import load_array
from mmgen.core.options import Option

__all__ = ["VOICES", "Parts", "Voice", "speaker"]


@dataclass(frozen=True)
class Parts:
    """What makes a sound.

    Args:
        model: A model of one of the classes of `VOICES`.
        reader: Its tokenizer or processor.
        vocoder: What makes a sound of its spectrogram, if it does not do so itself.
        device: Where it computes.
    """

    model: nn.Module
    reader: Any
    vocoder: nn.Module | None
    device: torch.device

    def read(self, text: str, **how: Any) -> dict[str, Any]:
        """What the model takes for a text."""
        found = self.reader(text=text, return_tensors="pt", **how)
        return {name: value.to(self.device) for name, value in found.items()}


@dataclass(frozen=True)
class Counted:
    """A tokenizer as `AsGiven` takes one, that is to refuse what its model would cut.

    Args:
        tokenizer: The tokenizer.
        model_max_length: Most tokens that the model reads.
        add_special_tokens: Whether those that the tokenizer puts around a text are among them.
    """

    tokenizer: Any
    model_max_length: int
    add_special_tokens: bool = True

    def __call__(self, text: str, **how: Any) -> Any:
        return self.tokenizer(text, add_special_tokens=self.add_special_tokens, **how)


@dataclass(frozen=True)
class Voice:
    """How one class is asked.

    Args:
        speak: (parts, values of the condition, options) to a sound (N, channels).
        options: (model, reader) to what a call takes.
        rate: (model, vocoder) to samples per second, in Hz.
        counts: (model, reader) to what tells the length of a text, where there is a longest one.
        parts: Those of a condition, none of which it may lack.
        reads: (model, reader) to what reads the parts that are no text.
        files: Names of the files that phonemes are read by, where no class of transformers does.
        vocoder: Name of the class that makes a sound of its spectrogram, and the checkpoint of it
            that is taken if there is none beside the weights.
        learning: (model, reader) to what it learns by, if it can be trained.
    """

    speak: Callable[[Parts, Mapping[str, Any], Mapping[str, Any]], Tensor]
    options: Callable[[nn.Module, Any], tuple[Option, ...]]
    rate: Callable[[nn.Module, nn.Module | None], int] = lambda model, _: model.config.sampling_rate
    counts: Callable[[nn.Module, Any], Counted] | None = None
    parts: tuple[str, ...] = ("text",)
    reads: Callable[[nn.Module, Any], Mapping[str, Callable[[Any], Any]]] = lambda *_: {}
    files: tuple[str, ...] = ()
    vocoder: tuple[str, str] | None = None
    learning: Callable[[nn.Module, Any], VitsLearning] | None = None


def speaker(value: Any, *, size: int) -> Tensor:
    """An embedding of a speaker (size,).

    Args:
        value: Array, tensor or list of numbers (size,) or (1, size), or the path of a .npy file.
        size: What the model takes.

    Raises:
        TypeError: If it is no array of numbers.
        ValueError: If it has another shape, is not finite, or is zero.
    """
    if isinstance(value, (str, os.PathLike)):
        value = load_array(value, what="a speaker embedding")
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(
            f"A speaker embedding is an array of {size} numbers, or the path of a .npy file; got "
            f"{value!r:.60}."
        )
    if array.shape not in ((size,), (1, size)):
        raise ValueError(
            f"Expected a speaker embedding of shape ({size},), got {array.shape}. Take it from the "
            "encoder of speakers that the model was trained with."
        )
    found = torch.from_numpy(array.astype(np.float32).reshape(size))
    if not found.isfinite().all() or not found.any():
        raise ValueError("A speaker embedding is made of finite numbers that are not all zero.")
    return found


# VITS, MMS ----------------------------------------------------------------------------------------

_SPEAKER = Option("speaker", None, "Number of the voice.", minimum=0, optional=True, kind=int)
_VITS = (
    Option("speaking_rate", 1.0, "How fast is spoken.", minimum=0.1, maximum=10.0),
    Option("noise_scale", 0.667, "How much the voice varies.", minimum=0.0, maximum=10.0),
    Option("noise_scale_duration", 0.8, "How much the rhythm varies.", minimum=0.0, maximum=10.0),
    _SPEAKER,
)


def _vits_options(model: nn.Module, reader: Any) -> tuple[Option, ...]:
    return tuple(replace(o, default=getattr(model, o.name, o.default)) for o in _VITS)


def _vits(parts: Parts, values: Mapping[str, Any], options: Mapping[str, Any]) -> Tensor:
    inputs = parts.read(values["text"])
    own = {name: value for name, value in options.items() if name != "speaker"}
    with _set(parts.model, own):
        found = parts.model(**inputs, speaker_id=options["speaker"])
    return found.waveform[0, : int(found.sequence_lengths[0]), None]


@contextmanager
def _set(thing: Any, named: Mapping[str, Any]) -> Iterator[None]:
    """A model, or its configuration, with other values of its own attributes."""
    before = {name: getattr(thing, name) for name in named}
    thing.__dict__.update(named)
    try:
        yield
    finally:
        thing.__dict__.update(before)


# MusicGen -----------------------------------------------------------------------------------------

_LONGEST = Option(
    "max_new_tokens", None, "Longest sound, in codes.", minimum=1, optional=True, kind=int
)
_MUSICGEN = (
    Option("temperature", 1.0, "Below 1 likelier sounds.", minimum=0.01, maximum=100.0),
    _LONGEST,
    Option("guidance_scale", 3.0, "How strongly to follow the text.", minimum=1.0),
)


def _musicgen(parts: Parts, values: Mapping[str, Any], options: Mapping[str, Any]) -> Tensor:
    asked = {**parts.read(values["text"]), **_given(**options)}
    return parts.model.generate(**asked, do_sample=True)[0].mT


# Bark ---------------------------------------------------------------------------------------------

_WARMTH = {"minimum": 0.01, "maximum": 100.0, "optional": True, "kind": float}
_BARK = (
    Option(
        "temperature", None, "Below 1 likelier sounds; the checkpoint's own if None.", **_WARMTH
    ),
    Option(
        "fine_temperature", None, "The same of the finer codes; 1 for the likeliest.", **_WARMTH
    ),
    replace(_LONGEST, help="Longest sound, in codes of meaning."),
    Option(
        "min_eos_p",
        None,
        "End where an end has this probability, though others have more.",
        minimum=0.0,
        maximum=1.0,
        optional=True,
        kind=float,
    ),
)


def _bark_options(model: nn.Module, reader: Any) -> tuple[Option, ...]:
    preset = Option(
        "voice_preset",
        None,
        "Name of one of the voices that the checkpoint brings; a new one for each sound if None.",
        choices=tuple(reader.available_voice_presets),
        optional=True,
        kind=str,
    )
    # Another name would be read as the path of a file.
    return (*_BARK, preset) if preset.choices else _BARK


def _bark(parts: Parts, values: Mapping[str, Any], options: Mapping[str, Any]) -> Tensor:
    """As `BarkModel.generate`, but for a text of which nothing is said: that is no sound at all."""
    from transformers.models.bark import generation_configuration_bark as configurations

    model, own = parts.model, parts.model.generation_config
    meaning = configurations.BarkSemanticGenerationConfig(**own.semantic_config)
    coarse = configurations.BarkCoarseGenerationConfig(**own.coarse_acoustics_config)
    fine = configurations.BarkFineGenerationConfig(**own.fine_acoustics_config)
    inputs = parts.read(values["text"], voice_preset=options.get("voice_preset"))
    shared = {
        "history_prompt": inputs.pop("history_prompt", None),
        "semantic_generation_config": meaning,
    }
    warmth = _given(temperature=options["temperature"])
    meant = model.semantic.generate(
        **inputs,
        **shared,
        do_sample=True,
        # None is told, too, as the whole call does.
        min_eos_p=options["min_eos_p"],
        **warmth,
        **_given(max_new_tokens=options["max_new_tokens"]),
    )
    shared |= {"codebook_size": own.codebook_size, "coarse_generation_config": coarse}
    said = model.coarse_acoustics.generate(meant, **shared, do_sample=True, **warmth)
    if not said.shape[1]:
        return torch.zeros(0, 1, device=parts.device)
    codes = model.fine_acoustics.generate(
        said,
        **shared,
        fine_generation_config=fine,
        do_sample=True,
        **_given(temperature=options["fine_temperature"]),
    )
    return model.codec_decode(codes)[0, :, None]


def _given(**named: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in named.items() if value is not None}


def _bark_counts(model: nn.Module, reader: Any) -> Counted:
    most = model.generation_config.semantic_config["max_input_semantic_length"]
    return Counted(reader.tokenizer, most, add_special_tokens=False)


def _bark_rate(model: nn.Module, vocoder: nn.Module | None) -> int:
    return int(model.generation_config.sample_rate)


# SpeechT5 -----------------------------------------------------------------------------------------

_SPEECHT5 = (
    Option("threshold", 0.5, "End where an end is as likely as this.", minimum=0.0, maximum=1.0),
    Option("minlenratio", 0.0, "Shortest sound, in frames for each token.", minimum=0.0),
    Option("maxlenratio", 20.0, "Longest sound, in frames for each token.", minimum=0.0),
)


def _speecht5(parts: Parts, values: Mapping[str, Any], options: Mapping[str, Any]) -> Tensor:
    model = parts.model
    ids = parts.read(values["text"])["input_ids"]
    voice = values["speaker"].to(parts.device, model.dtype)
    found = model.generate_speech(ids, voice[None], vocoder=parts.vocoder, **options)
    return found[:, None]


def _speecht5_counts(model: nn.Module, reader: Any) -> Counted:
    return Counted(reader.tokenizer, model.config.max_text_positions)


def _speecht5_reads(model: nn.Module, reader: Any) -> Mapping[str, Callable[[Any], Any]]:
    return {"speaker": partial(speaker, size=model.config.speaker_embedding_dim)}


# FastSpeech2Conformer -----------------------------------------------------------------------------


def _fastspeech2_options(model: nn.Module, reader: Any) -> tuple[Option, ...]:
    config = model.config.model_config
    speed = Option(
        "speaking_speed",
        config.speaking_speed,
        "How long each sound lasts: above 1 slower, as the library has it.",
        minimum=0.1,
        maximum=10.0,
    )
    count = config.num_speakers
    several = count is not None and count > 1
    return (speed, replace(_SPEAKER, default=0, maximum=count - 1)) if several else (speed,)


def _fastspeech2(parts: Parts, values: Mapping[str, Any], options: Mapping[str, Any]) -> Tensor:
    ids, number = values["phonemes"].to(parts.device), options.get("speaker")
    voice = None if number is None else torch.tensor([[number]], device=parts.device)
    with _set(parts.model.model.config, {"speaking_speed": options["speaking_speed"]}):
        return parts.model(ids, speaker_ids=voice, return_dict=True).waveform[0, :, None]


def _fastspeech2_rate(model: nn.Module, vocoder: nn.Module | None) -> int:
    return model.config.vocoder_config.sampling_rate


VOICES: Mapping[str, Voice] = {
    "VitsModel": Voice(_vits, _vits_options, learning=VitsLearning),
    "MusicgenForConditionalGeneration": Voice(_musicgen, lambda model, reader: _MUSICGEN),
    "BarkModel": Voice(_bark, _bark_options, _bark_rate, _bark_counts),
    "SpeechT5ForTextToSpeech": Voice(
        _speecht5,
        lambda model, reader: _SPEECHT5,
        lambda model, vocoder: vocoder.config.sampling_rate,
        _speecht5_counts,
        parts=("text", "speaker"),
        reads=_speecht5_reads,
        vocoder=("SpeechT5HifiGan", "microsoft/speecht5_hifigan"),
    ),
    "FastSpeech2ConformerWithHifiGan": Voice(
        _fastspeech2,
        _fastspeech2_options,
        _fastspeech2_rate,
        parts=("phonemes",),
        reads=lambda model, reader: {"phonemes": reader.ids},
        files=("vocab.json", "tokenizer_config.json", "special_tokens_map.json"),
    ),
}
"""Those that are loaded, by the name of their class."""
