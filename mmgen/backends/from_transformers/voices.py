"""How each class of transformers is asked to make a sound of a text."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.from_transformers.vits import VitsLearning
from mmgen.backends.from_transformers.voice import Counted, Parts, Voice, given, speaker
from mmgen.backends.from_transformers.voices_of_codes import OF_CODES
from mmgen.core.options import Option

__all__ = ["VOICES"]


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
    # The tokenizer makes one word of two that a line break parts.
    text = " ".join(values["text"].split())
    _warn_of_unsaid(parts.reader, text)
    inputs = parts.read(text)
    own = {name: value for name, value in options.items() if name != "speaker"}
    with _set(parts.model, own):
        found = parts.model(**inputs, speaker_id=options["speaker"])
    return found.waveform[0, : int(found.sequence_lengths[0]), None]


def _warn_of_unsaid(tokenizer: Any, text: str) -> None:
    """The tokenizer passes over characters that it does not know, and says nothing of it."""
    if tokenizer.phonemize or tokenizer.is_uroman:
        # Another program says what is spoken.
        return
    said = set(tokenizer.get_vocab())
    spelt = (c for c in text if c.isalnum())
    unsaid = [c for c in dict.fromkeys(spelt) if not {c, c.lower()} & said]
    if unsaid:
        warnings.warn(
            f"This voice has no sound for {', '.join(map(repr, unsaid[:5]))}, which it passes over "
            f"in {text[:60]!r}. Spell out what it means.",
            stacklevel=2,
        )


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
    asked = {**parts.read(values["text"]), **given(**options)}
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
    warmth = given(temperature=options["temperature"])
    meant = model.semantic.generate(
        **inputs,
        **shared,
        do_sample=True,
        # None is told, too, as the whole call does.
        min_eos_p=options["min_eos_p"],
        **warmth,
        **given(max_new_tokens=options["max_new_tokens"]),
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
        **given(temperature=options["fine_temperature"]),
    )
    return model.codec_decode(codes)[0, :, None]


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
    **OF_CODES,
}
"""Those that are loaded, by the name of their class."""
