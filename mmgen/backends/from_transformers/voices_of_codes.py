"""How classes of transformers are asked for a sound that generate the codes of one.

A reference is a sound whose voice is imitated; what is said in it is told beside it, but for Pocket
TTS, whose codes are vectors.

Shape letters: T frames, K codebooks, D features.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.foreign import Place
from mmgen.backends.from_transformers.files import load_files, load_reader, load_words
from mmgen.backends.from_transformers.picture_processors import PROCESSOR_FILES
from mmgen.backends.from_transformers.voice import (
    Counted,
    Parts,
    Voice,
    given,
    reference,
    with_transcript,
)
from mmgen.backends.recognition import Recognised
from mmgen.core.errors import LoadError
from mmgen.core.options import Option

__all__ = ["OF_CODES"]

# One text is never padded; a tokenizer that has padded once is saved as one that does.
_ALONE = {"padding": False}
_FREE = {"optional": True, "kind": float}
_WARMTH = {"maximum": 100.0, **_FREE}
_OWN = "; the checkpoint's own if None."
_LONGEST = Option(
    "max_new_tokens",
    None,
    "Longest sound, in codes" + _OWN,
    minimum=1,
    optional=True,
    kind=int,
)
_IMITATING = {"optional": ("reference", "reference_text"), "together": with_transcript}


# Csm ----------------------------------------------------------------------------------------------

_CSM = (
    Option("temperature", None, "Below 1 likelier sounds" + _OWN, minimum=0.01, **_WARMTH),
    Option("fine_temperature", None, "The same of finer codes" + _OWN, minimum=0.01, **_WARMTH),
    _LONGEST,
    Option("speaker", 0, "Number of the voice, that of the reference, too.", minimum=0),
)


def _csm(parts: Parts, values: Mapping[str, Any], options: Mapping[str, Any]) -> Tensor:
    model, config = parts.model, parts.model.config
    read = parts.on_device(_csm_read(parts.reader, values, options["speaker"]))
    _require_room(read, config.max_position_embeddings)
    with _kept_settings(model.depth_decoder):
        codes_TK = model.generate(
            **read,
            do_sample=True,
            depth_decoder_do_sample=True,
            **given(
                temperature=options["temperature"],
                depth_decoder_temperature=options["fine_temperature"],
                max_new_tokens=options["max_new_tokens"],
            ),
        )[0]
    ends = (codes_TK == config.codebook_eos_token_id).all(1).nonzero()
    codes_TK = codes_TK[: int(ends.min())] if len(ends) else codes_TK
    if not len(codes_TK):
        return torch.zeros(0, 1, device=parts.device)
    return model.codec_model.decode(codes_TK.mT[None]).audio_values[0].mT


def _csm_read(reader: Any, values: Mapping[str, Any], speaker: int) -> Mapping[str, Tensor]:
    if not reader.chat_template:
        if "reference" in values:
            raise ValueError(
                "This processor has no chat template, so it does not know how a reference is put. "
                "Give a text alone."
            )
        text = f"[{speaker}]{values['text']}"
        return reader(text=text, text_kwargs={**_ALONE, "add_special_tokens": True})
    said = [[{"type": "text", "text": values["text"]}]]
    if "reference" in values:
        heard = {"type": "audio", "audio": values["reference"]}
        said.insert(0, [{"type": "text", "text": values["reference_text"]}, heard])
    messages = [{"role": str(speaker), "content": content} for content in said]
    return reader.apply_chat_template(
        messages, tokenize=True, return_dict=True, processor_kwargs={"text_kwargs": _ALONE}
    )


def _require_room(read: Mapping[str, Tensor], most: int) -> None:
    count = read["input_ids"].shape[1]
    if count >= most:
        raise ValueError(
            f"The text and the reference take {count} places, and the model has {most} for them "
            "and for what it says. Shorten the reference."
        )


@contextmanager
def _kept_settings(model: nn.Module) -> Iterator[None]:
    """What a call sets of a part's generation stays set otherwise."""
    before = deepcopy(model.generation_config)
    try:
        yield
    finally:
        model.generation_config = before


def _csm_rate(model: nn.Module, vocoder: nn.Module | None) -> int:
    return model.config.codec_config.sampling_rate


def _csm_counts(model: nn.Module, reader: Any) -> Counted:
    return Counted(reader.tokenizer, model.config.max_position_embeddings - 1)


def _csm_reads(model: nn.Module, reader: Any) -> Mapping[str, Callable[[Any], Any]]:
    return {"reference": partial(reference, rate=_csm_rate(model, None)), "reference_text": _words}


# Dia ----------------------------------------------------------------------------------------------

_DIA = (
    Option("temperature", None, "Below 2 likelier sounds" + _OWN, minimum=1.0, **_WARMTH),
    Option(
        "guidance_scale",
        None,
        "How strongly to follow the text" + _OWN,
        minimum=1.0,
        **_WARMTH,
    ),
    Option("top_k", None, "Draw from so many likeliest" + _OWN, minimum=1, optional=True, kind=int),
    Option(
        "top_p",
        None,
        "Draw from the likeliest that make up this share" + _OWN,
        minimum=0.01,
        maximum=1.0,
        optional=True,
        kind=float,
    ),
    _LONGEST,
)
# Who speaks is told by a mark in the text.
_FIRST = "[S1]"


def _dia(parts: Parts, values: Mapping[str, Any], options: Mapping[str, Any]) -> Tensor:
    text, heard = values["text"], {}
    if "reference" in values:
        text, heard = f"{values['reference_text']} {text}", {"audio": [values["reference"]]}
    text = text if text.lstrip().startswith("[S") else f"{_FIRST} {text}"
    read = parts.on_device(parts.reader(text=[text], text_kwargs=_ALONE, **heard))
    codes = parts.model.generate(**read, do_sample=True, **given(**options))
    before = None
    if heard:
        before = parts.reader.get_audio_prompt_len(read["decoder_attention_mask"])
    return parts.reader.batch_decode(codes, audio_prompt_len=before)[0].reshape(-1, 1)


def _dia_reader(found: Recognised, place: Place, codec: nn.Module | None) -> Any:
    from transformers import DiaProcessor

    heard = load_reader(found, place, "AutoFeatureExtractor")
    return DiaProcessor(heard, load_words(found, place), audio_tokenizer=codec)


def _dia_counts(model: nn.Module, reader: Any) -> Counted:
    return Counted(reader.tokenizer, model.config.encoder_config.max_position_embeddings)


def _dia_reads(model: nn.Module, reader: Any) -> Mapping[str, Callable[[Any], Any]]:
    rate = reader.audio_tokenizer.config.sampling_rate
    return {"reference": partial(reference, rate=rate), "reference_text": _words}


# Pocket TTS ---------------------------------------------------------------------------------------

_POCKET = (
    Option("temperature", None, "Below 1 likelier sounds" + _OWN, minimum=0.01, **_WARMTH),
    Option(
        "num_flow_steps",
        None,
        "Steps from noise to each vector" + _OWN,
        minimum=1,
        maximum=100,
        optional=True,
        kind=int,
    ),
    Option("eos_threshold", None, "End where an end scores above this" + _OWN, **_FREE),
    replace(_LONGEST, help="Longest sound, in vectors; by the length of the text if None."),
)
_POCKET_SETTINGS = (
    "short_text_max_words",
    "frames_after_eos_short_text",
    "frames_after_eos",
    "fade_in_duration",
)


def _pocket(parts: Parts, values: Mapping[str, Any], options: Mapping[str, Any]) -> Tensor:
    content: list[dict[str, Any]] = [{"type": "text", "text": values["text"]}]
    if "reference" in values:
        content.insert(0, {"type": "audio", "audio": values["reference"]})
    read = parts.reader.apply_chat_template(
        [{"role": "user", "content": content}],
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"text_kwargs": _ALONE},
    )
    _require_room(read, parts.model.config.max_position_embeddings)
    asked = {**parts.on_device(read), **given(**options)}
    vectors_TD = parts.model.generate(**asked, do_sample=True, return_dict_in_generate=False)[0]
    return parts.reader.decode(vectors_TD)[:, None]


def _pocket_reader(found: Recognised, place: Place, codec: nn.Module | None) -> Any:
    from transformers import PocketTTSProcessor

    files = load_files(found, place, PROCESSOR_FILES)
    stated = json.loads(files.get("processor_config.json", b"{}"))
    template = files.get("chat_template.jinja")
    if template is None:
        raise LoadError(
            f"{found.source} lacks chat_template.jinja, which says how a voice and a text are put. "
            "Get its processor's files, too."
        )
    return PocketTTSProcessor(
        load_reader(found, place, "AutoFeatureExtractor"),
        load_words(found, place),
        audio_tokenizer=codec,
        chat_template=template.decode(),
        **{name: stated[name] for name in _POCKET_SETTINGS if name in stated},
    )


def _pocket_counts(model: nn.Module, reader: Any) -> Counted:
    return Counted(reader.tokenizer, model.config.max_position_embeddings - 1)


def _pocket_reads(model: nn.Module, reader: Any) -> Mapping[str, Callable[[Any], Any]]:
    return {"reference": partial(reference, rate=reader.feature_extractor.sampling_rate)}


def _words(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"Expected what the reference says as a text, got {value!r:.60}.")
    return value


OF_CODES: Mapping[str, Voice] = {
    "CsmForConditionalGeneration": Voice(
        _csm,
        lambda model, reader: _CSM,
        _csm_rate,
        _csm_counts,
        reads=_csm_reads,
        **_IMITATING,
    ),
    "DiaForConditionalGeneration": Voice(
        _dia,
        lambda model, reader: _DIA,
        lambda model, codec: codec.config.sampling_rate,
        _dia_counts,
        reads=_dia_reads,
        vocoder=("DacModel", "descript/dac_44khz"),
        reader=_dia_reader,
        **_IMITATING,
    ),
    "PocketTTSForConditionalGeneration": Voice(
        _pocket,
        lambda model, reader: _POCKET,
        lambda model, codec: codec.config.sampling_rate,
        _pocket_counts,
        optional=("reference",),
        reads=_pocket_reads,
        vocoder=("PocketTTSAudioTokenizerModel", "eustlb/pocket-tts-audio-tokenizer"),
        reader=_pocket_reader,
    ),
}
"""Those that are loaded, by the name of their class."""
