"""Whole checkpoints of transformers as the parts of a pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmgen.backends.foreign import Foreign, Place
from mmgen.backends.from_transformers.acting import load_policy
from mmgen.backends.from_transformers.beginnings import spoken_beginnings
from mmgen.backends.from_transformers.causal import CausalLanguageModel
from mmgen.backends.from_transformers.ctc import AlignedTokens
from mmgen.backends.from_transformers.decoders import begins_as_text, seeing_part, text_part
from mmgen.backends.from_transformers.files import (
    load_files,
    load_model,
    load_reader,
    load_words,
)
from mmgen.backends.from_transformers.languages import languages_of
from mmgen.backends.from_transformers.phonemes import Phonemes
from mmgen.backends.from_transformers.picture_processors import load_picture_processor
from mmgen.backends.from_transformers.pictures import Pictures
from mmgen.backends.from_transformers.prompts import Prompts
from mmgen.backends.from_transformers.seeing import Conversations, SeeingLanguageModel
from mmgen.backends.from_transformers.sequence_to_sequence import SequenceToSequence, Sources
from mmgen.backends.from_transformers.sounds import Sounds
from mmgen.backends.from_transformers.speech import SpeechModel
from mmgen.backends.from_transformers.spoken import OPTIONS, sentence_by_sentence
from mmgen.backends.from_transformers.targets import Targets
from mmgen.backends.from_transformers.text_model import TextModel
from mmgen.backends.from_transformers.tokenized_text import TokenizedText
from mmgen.backends.from_transformers.voices import VOICES
from mmgen.backends.given import AsGiven
from mmgen.backends.recognition import Recognised
from mmgen.backends.values import AnySound
from mmgen.core.encoder import Encoder
from mmgen.core.errors import LoadError
from mmgen.families.autoregressive.excluded import Excluded
from mmgen.families.autoregressive.warping import Warping

__all__ = ["load"]

# For models that read any number of tokens, so that there is an end to a sample.
_LONGEST = 4096
_NEW_TOKENS = 256
_MOST_LABELS = 2**16

# Where a vocoder lies, and is put, that belongs to a model.
_VOCODER = "vocoder"

# What configurations call the number of tokens that are read.
_CONTEXTS = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_seq_len",
    "max_target_positions",
)


def load(found: Recognised, place: Place, dtype: torch.dtype) -> Foreign:
    """The parts of a checkpoint, by its task."""
    if found.x == "audio":
        return _speech(found, place, dtype)
    return _LOADERS.get(found.task, _sequence_to_sequence)(found, place, dtype)


def _language_model(found: Recognised, place: Place, dtype: torch.dtype) -> Foreign:
    """P(text | prompt) of a causal language model."""
    model, tokenizer = _loaded("AutoModelForCausalLM", found, place, dtype)
    context = _context(model.config)
    targets = _targets(model, found)
    encoder = Prompts(
        tokenizer,
        begin=_first(model.generation_config.bos_token_id, tokenizer.bos_token_id, *_ends(model)),
        max_tokens=None if context is None else context - 1,
    )
    network = CausalLanguageModel(model, targets, context=context)
    return _foreign(found, encoder, network, tokenizer, as_target=False)


def _sequence_to_sequence(found: Recognised, place: Place, dtype: torch.dtype) -> Foreign:
    """P(text | text) of a sequence-to-sequence model."""
    model, tokenizer = _loaded("AutoModelForSeq2SeqLM", found, place, dtype)
    context, targets = _context(model.config), _targets(model, found)
    start, forced = _start(model, found), _first(model.generation_config.forced_bos_token_id)
    languages = languages_of(tokenizer, model.config)
    if forced is None:
        forced = languages.begins.get(getattr(tokenizer, "tgt_lang", None))
    begin: tuple[int | None, ...] = (start,) if forced is None else (start, forced)
    if start in languages.begins.values():
        # Texts of some begin with nothing but their language.
        begin = (start,)
    elif languages.begins and forced is None:
        # Whoever asks has to say which.
        begin = (start, None)
    encoder = Sources(
        model.get_encoder(),
        tokenizer,
        begin=begin,
        languages=languages,
        max_tokens=context,
        # What translates was trained on sentences, and drops some of several.
        split="sentences" if found.task == "translation" else "never",
    )
    network = SequenceToSequence(model, targets, condition=encoder.spec, context=context)
    # Where languages begin a text, both are read by the same pieces.
    return _foreign(found, encoder, network, tokenizer, as_target=not languages.begins)


def _speech_recognition(found: Recognised, place: Place, dtype: torch.dtype) -> Foreign:
    """P(text | sound) of a model that hears speech and writes what was said."""
    if found.architecture.endswith("ForCTC"):
        return _aligned(found, place, dtype)
    model, tokenizer = _loaded(found.architecture, found, place, dtype)
    extractor = load_reader(found, place, "AutoFeatureExtractor")
    hearing = model.get_encoder()
    # Of the sound itself, if that is what it hears.
    heard = extractor.model_input_names[0] == "input_values"
    convolutions = [m for m in hearing.children() if isinstance(m, nn.Conv1d) and heard]
    encoder = Sounds(
        model,
        extractor,
        encoder=hearing,
        width=hearing.config.hidden_size,
        beginnings=spoken_beginnings(model, tokenizer),
        least_samples=_least((c.kernel_size[0], c.stride[0]) for c in convolutions),
        # Whisper writes the blank before a word with the word.
        between="" if hasattr(extractor, "n_samples") else " ",
    )
    network = SequenceToSequence(
        model, _targets(model, found), condition=encoder.spec, context=_context(model.config)
    )
    return _foreign(found, encoder, network, tokenizer, as_target=True, others=(extractor,))


def _aligned(found: Recognised, place: Place, dtype: torch.dtype) -> Foreign:
    """P(text | sound) of a model of labels of frames."""
    model = load_model(found.architecture, found, place, dtype)
    tokenizer = load_words(found, place)
    extractor = load_reader(found, place, "AutoFeatureExtractor")
    words, blank = model.lm_head.out_features, model.config.pad_token_id
    if blank is None or not 0 <= blank < words:
        raise LoadError(
            f"{found.source} names {blank} as the blank, of {words} labels. Set pad_token_id in "
            "its config.json."
        )
    encoder = Sounds(
        model,
        extractor,
        encoder=model.base_model,
        width=model.lm_head.in_features,
        least_samples=_least(zip(model.config.conv_kernel, model.config.conv_stride, strict=True)),
    )
    codec = TokenizedText(
        tokenizer,
        max_length=_MOST_LABELS,
        token_ids=[i for i in range(words) if i != blank],
        # What stands twice stands so because it was said twice.
        decoding={"group_tokens": False},
    )
    family = AlignedTokens(model, blank=blank, spec=codec.spec, condition=encoder.spec)

    def save(folder: Path) -> None:
        for part in (model, tokenizer, extractor):
            part.save_pretrained(folder)

    return Foreign(encoder, family, codec, found, save)


def _least(convolutions: Iterable[tuple[int, int]]) -> int:
    """How many samples fill one frame after convolutions of (kernel, stride), in their order."""
    least = 1
    for kernel, stride in reversed(list(convolutions)):
        least = (least - 1) * stride + kernel
    return least


def _image_to_text(found: Recognised, place: Place, dtype: torch.dtype) -> Foreign:
    """P(text | image) of a captioning or reading model."""
    model, tokenizer = _loaded(found.architecture, found, place, dtype)
    processor = load_reader(found, place, "AutoImageProcessor")
    if getattr(processor, "is_vqa", False):
        raise LoadError(
            f"{found.source} answers questions that are drawn above the picture, which is not "
            "loaded yet. Give a checkpoint that describes pictures."
        )
    if getattr(model.config, "num_image_with_embedding", None):
        raise LoadError(
            f"{found.source} writes of films, {model.config.num_image_with_embedding} pictures at "
            "once, which is not loaded yet. Give a checkpoint that describes pictures."
        )
    of_text = begins_as_text(model)
    begin = text_part(model).config.bos_token_id if of_text else _start(model, found)
    encoder = Pictures(seeing_part(model), processor, begin=(begin,))
    network = SequenceToSequence(
        model, _targets(model, found), condition=encoder.spec, context=_context(model.config)
    )
    return _foreign(found, encoder, network, tokenizer, as_target=True, others=(processor,))


def _image_text_to_text(found: Recognised, place: Place, dtype: torch.dtype) -> Foreign:
    """P(text | pictures and a text) of a language model that sees."""
    model = load_model(found.architecture, found, place, dtype)
    processor, saved = load_picture_processor(found, place)
    tokenizer = _fitting(processor.tokenizer, model, found)
    context = _context(model.config)
    encoder = Conversations(model, processor, max_tokens=None if context is None else context - 1)
    network = SeeingLanguageModel(model, _targets(model, found), context=context)
    return _foreign(found, encoder, network, tokenizer, as_target=False, others=(saved,))


def _speech(found: Recognised, place: Place, dtype: torch.dtype) -> Foreign:
    """P(sound | text) of a speech or music model."""
    voice = VOICES[found.architecture]
    model = load_model(found.architecture, found, place, dtype)
    vocoder = None if voice.vocoder is None else _vocoder(*voice.vocoder, found, place, dtype)
    if voice.files:
        reader = Phonemes(load_files(found, place, voice.files))
    else:
        made = voice.reader
        reader = load_reader(found, place) if made is None else made(found, place, vocoder)
    codec = AnySound(voice.rate(model, vocoder), mono=voice.learning is not None)
    # Of music a text says what it is like; nobody speaks it.
    spoken = found.task == "text-to-speech" and "text" in voice.parts
    encoder = AsGiven(
        (*voice.parts, *voice.optional),
        required=voice.parts,
        together=voice.together,
        tokenizers=() if voice.counts is None else (voice.counts(model, reader),),
        readers=voice.reads(model, reader),
        **({"splits": sentence_by_sentence, "split_options": OPTIONS} if spoken else {}),
    )

    def save(folder: Path) -> None:
        model.save_pretrained(folder)
        # Some processors write the name of the folder, as text alone.
        reader.save_pretrained(str(folder))
        if vocoder is not None:
            vocoder.save_pretrained(folder / _VOCODER)

    learning = voice.learning and voice.learning(model, reader)
    family = SpeechModel(model, reader, spec=codec.spec, vocoder=vocoder, learning=learning)
    return Foreign(encoder, family, codec, found, save)


def _vocoder(
    kind: str, usual: str, found: Recognised, place: Place, dtype: torch.dtype
) -> nn.Module:
    """What lies in a folder of its own beside the weights; else what the library itself takes."""
    if (Path(found.source) / _VOCODER).is_dir():
        made = load_model(kind, found, place, dtype, subfolder=_VOCODER)
        # Processors that hold it name it by this.
        made.name_or_path = str(Path(found.source) / _VOCODER)
        return made
    try:
        there = replace(found, source=usual, revision=None)
        return load_model(kind, there, replace(place, revision=None), dtype)
    except LoadError as error:
        raise LoadError(
            f"{error} {found.source} makes spectrograms or codes, of which a vocoder makes sounds. "
            f"Save a {kind} into its folder {_VOCODER!r}."
        ) from None


def _foreign(
    found: Recognised,
    encoder: Encoder,
    network: CausalLanguageModel | SeeingLanguageModel | SequenceToSequence,
    tokenizer: Any,
    *,
    as_target: bool,
    others: Sequence[Any] = (),
) -> Foreign:
    """The parts of a model that writes; `others` are saved with it as the tokenizer is."""
    model, generation = network.model, text_part(network.model).generation_config
    codec = TokenizedText(
        tokenizer,
        max_length=network.context or _LONGEST,
        token_ids=network.targets.content.tolist(),
        as_target=as_target,
    )
    warping = Warping()
    if generation.do_sample:
        # As whoever made the checkpoint would have it sampled.
        named = {n: getattr(generation, n, None) for n in Warping.__dataclass_fields__}
        warping = Warping(**{n: v for n, v in named.items() if v is not None})
    # A length limit from the days when it counted the prompt says nothing of an answer's.
    limit = generation.max_new_tokens or (None if as_target else _NEW_TOKENS)
    limit = limit and min(limit, codec.max_length)
    family = TextModel(
        network,
        codec,
        warping=warping,
        max_new_tokens=limit,
        excluded=_excluded(generation, network.targets),
    )

    def save(folder: Path) -> None:
        for part in (model, tokenizer, *others):
            part.save_pretrained(folder)

    return Foreign(encoder, family, codec, found, save)


def _loaded(
    auto: str, found: Recognised, place: Place, dtype: torch.dtype
) -> tuple[nn.Module, Any]:
    """A language model and its tokenizer."""
    model = load_model(auto, found, place, dtype)
    return model, _fitting(load_words(found, place), model, found)


def _fitting(tokenizer: Any, model: nn.Module, found: Recognised) -> Any:
    """The tokenizer, if the weights have its words."""
    words = _words(model)
    if len(tokenizer) > words:
        raise LoadError(
            f"The tokenizer of {found.source} has {len(tokenizer)} tokens, its weights have "
            f"{words}. They do not belong together."
        )
    return tokenizer


def _targets(model: nn.Module, found: Recognised) -> Targets:
    words, ends = _words(model), _ends(model)
    if not ends or not all(0 <= end < words for end in ends):
        raise LoadError(
            f"{found.source} names {ends or 'no token'} as what ends a text, of {words}. Set "
            "eos_token_id in its generation_config.json."
        )
    return Targets(words, ends)


def _words(model: nn.Module) -> int:
    """How many words the model gives probabilities to."""
    return text_part(model).get_output_embeddings().weight.shape[0]


def _start(model: nn.Module, found: Recognised) -> int:
    """What the decoder begins with."""
    generation = model.generation_config
    start = _first(generation.decoder_start_token_id, model.config.decoder_start_token_id)
    if start is None:
        raise LoadError(
            f"{found.source} does not say what its decoder begins with. Set "
            "decoder_start_token_id in its generation_config.json."
        )
    return start


def _ends(model: nn.Module) -> list[int]:
    if text_part(model) is not model:
        # The library, too, ends a text of such a model there and nowhere else.
        return [model.config.get_text_config().sep_token_id]
    ends = _first(model.generation_config.eos_token_id, model.config.get_text_config().eos_token_id)
    return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)


def _excluded(generation: Any, targets: Targets) -> Excluded:
    """What the checkpoint would never have drawn."""
    single = [ids[0] for ids in generation.bad_words_ids or () if len(ids) == 1]
    single = [i for i in single if i not in targets.ends]
    return Excluded(
        anywhere=targets.places([*single, *(generation.suppress_tokens or ())]),
        first=targets.places(generation.begin_suppress_tokens or ()),
    )


def _context(config: Any) -> int | None:
    text = config.get_text_config(decoder=True)
    return next((n for n in (getattr(text, k, None) for k in _CONTEXTS) if n), None)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


_LOADERS = {
    "robotics": load_policy,
    "text-generation": _language_model,
    "automatic-speech-recognition": _speech_recognition,
    "image-to-text": _image_to_text,
    "image-text-to-text": _image_text_to_text,
}
