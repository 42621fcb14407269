"""What the decoders of speech recognition models begin with: languages and tasks are tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from mmgen.core.errors import LoadError, close_names

__all__ = ["UNTOLD", "Beginnings", "spoken_beginnings"]

UNTOLD = -1
"""In place of a language that is to be heard from the sound."""


@dataclass(frozen=True)
class Beginnings:
    """Ids that a decoder begins with: some of every text, a language, a task, some of every text.

    Args:
        start: Those of every text that come first.
        end: Those of every text that come last.
        languages: The id of each language, if there are several.
        tasks: The id of each task, if there are several.
        language: The language if none is asked for; None to hear it from the sound.
        task: The task if none is asked for.
    """

    start: tuple[int, ...]
    end: tuple[int, ...] = ()
    languages: Mapping[str, int] = field(default_factory=dict)
    tasks: Mapping[str, int] = field(default_factory=dict)
    language: int | None = None
    task: int | None = None

    @property
    def count(self) -> int:
        """How many ids that are."""
        return len(self.start) + bool(self.languages) + bool(self.tasks) + len(self.end)

    def ids(self, language: Any, task: Any) -> tuple[int, ...]:
        """The ids for a language and a task, None where none is asked for.

        Raises:
            ValueError: If the model has no such language or task.
        """
        spoken = _chosen(language, self.languages, "language", self.language)
        done = _chosen(task, self.tasks, "task", self.task)
        return (*self.start, *spoken, *done, *self.end)


def spoken_beginnings(model: nn.Module, tokenizer: Any) -> Beginnings:
    """What the decoder of a speech recognition model begins with.

    Raises:
        LoadError: If the checkpoint does not say.
    """
    generation = model.generation_config
    start = generation.decoder_start_token_id
    start = model.config.decoder_start_token_id if start is None else start
    if start is None:
        raise LoadError(
            f"This {type(model).__name__} does not say what its decoder begins with. Set "
            "decoder_start_token_id in its generation_config.json."
        )
    if getattr(generation, "no_timestamps_token_id", None) is not None:
        return _of_whisper(model, int(start))
    languages = dict(getattr(tokenizer, "lang_code_to_id", None) or {})
    forced = generation.forced_bos_token_id
    if not languages:
        return Beginnings((start,), () if forced is None else (forced,))
    usual = languages.get(getattr(tokenizer, "tgt_lang", None), next(iter(languages.values())))
    return Beginnings((start,), languages=languages, language=usual if forced is None else forced)


def _of_whisper(model: nn.Module, start: int) -> Beginnings:
    """Language, task and the token that says that there are to be no times."""
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    generation = model.generation_config
    silent = generation.no_timestamps_token_id
    stated = getattr(generation, "forced_decoder_ids", None) or getattr(
        model.config, "forced_decoder_ids", None
    )
    forced = [own for _, own in stated or () if own is not None and own != silent]
    multilingual = getattr(generation, "is_multilingual", True)
    codes = (getattr(generation, "lang_to_id", None) if multilingual else None) or {}
    if not codes:
        return Beginnings((start, *forced), (silent,))
    languages = {code.strip("<|>"): own for code, own in codes.items()}
    named = {n: languages[code] for n, code in TO_LANGUAGE_CODE.items() if code in languages}
    languages |= named
    tasks = dict(getattr(generation, "task_to_id", None) or {})
    language = _stated(getattr(generation, "language", None), languages, forced)
    task = _stated(getattr(generation, "task", None), tasks, forced)
    # Its training always names the task, even where the library leaves it out.
    task = tasks.get("transcribe") if task is None else task
    return Beginnings((start,), (silent,), languages, tasks, language=language, task=task)


def _stated(name: str | None, known: Mapping[str, int], forced: Sequence[int]) -> int | None:
    """The id that a configuration states by its name or, as old ones do, itself."""
    if name is not None:
        return known.get(name.strip("<|>").lower())
    return next((own for own in known.values() if own in forced), None)


def _chosen(asked: Any, known: Mapping[str, int], what: str, usual: int | None) -> tuple[int, ...]:
    """The id of what is asked for; nothing where there is no choice."""
    if not known:
        if asked is not None:
            raise ValueError(f"This model has one {what} alone; leave {what} out.")
        return ()
    if asked is None:
        return (UNTOLD if usual is None else usual,)
    name = asked.strip("<|>").lower() if isinstance(asked, str) else None
    if name not in known:
        raise ValueError(f"{asked!r} is no {what} of this model. {close_names(str(asked), known)}")
    return (known[name],)
