"""The engines of CTranslate2: ids of what is asked to ids and scores of what is answered."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmgen.backends.ctranslate2_conversion import library

__all__ = ["ENGINES", "Asked", "Engine"]


@dataclass(frozen=True)
class Asked:
    """A text as an engine is asked about it.

    Args:
        ids: The tokenizer's own, of what is read.
        begin: Those that an answer begins with, and that are no part of it.
    """

    ids: tuple[int, ...]
    begin: tuple[int, ...]


class Engine(ABC):
    """A converted model: texts to tokens and scores.

    Args:
        converted: Folder that the converter wrote.
        tokenizer: Of the checkpoint.
        compute_type: In which precision it computes.
    """

    def __init__(self, converted: Path, tokenizer: Any, *, compute_type: str) -> None:
        self.tokenizer = tokenizer
        self.model = self._opened(os.fspath(converted), compute_type)

    @abstractmethod
    def _opened(self, folder: str, compute_type: str) -> Any:
        """The model of the engine."""

    @abstractmethod
    def generate(
        self, asked: Sequence[Asked], *, longest: int, length_penalty: float = 0.0, **how: Any
    ) -> list[list[tuple[list[int], float]]]:
        """Own ids and scores of what is made of each text, the best first."""

    @abstractmethod
    def score(self, asked: Sequence[Asked], ids: Sequence[Sequence[int]]) -> list[float]:
        """log p of own ids and the end after them, given each text, in nats."""

    def words(self, ids: Sequence[int]) -> list[str]:
        """Ids as the engine takes them."""
        return self.tokenizer.convert_ids_to_tokens(list(ids))

    def _read(self, sequences: Sequence[Sequence[str]], scores: Sequence[float]) -> Any:
        ids = map(self.tokenizer.convert_tokens_to_ids, sequences)
        return list(zip(map(list, ids), scores, strict=True))


class Translator(Engine):
    """A sequence-to-sequence model.

    What its texts begin with beyond what the conversion says, a language for example, is what the
    engine is told to begin with, and no part of what is found.
    """

    def _opened(self, folder: str, compute_type: str) -> Any:
        stated = json.loads((Path(folder) / "config.json").read_text("utf-8"))
        self.begun = stated.get("decoder_start_token") is not None
        return library().Translator(folder, compute_type=compute_type)

    def _before(self, asked: Asked) -> list[str]:
        return self.words(asked.begin[1:] if self.begun else asked.begin)

    def generate(
        self, asked: Sequence[Asked], *, longest: int, length_penalty: float = 0.0, **how: Any
    ) -> list[list[tuple[list[int], float]]]:
        befores = [self._before(one) for one in asked]
        # A language or none: of all alike.
        length = len(befores[0])
        # Where the conversion does not say what texts begin with, the first is no part of them.
        shown = length if self.begun else length - 1
        results = self.model.translate_batch(
            [self.words(one.ids) for one in asked],
            target_prefix=befores if length else None,
            max_decoding_length=longest + shown,
            # A text may be empty.
            min_decoding_length=0,
            max_input_length=0,
            length_penalty=length_penalty,
            return_scores=True,
            **how,
        )
        return [
            self._read([row[shown:] for row in found.hypotheses], found.scores) for found in results
        ]

    def score(self, asked: Sequence[Asked], ids: Sequence[Sequence[int]]) -> list[float]:
        results = self.model.score_batch(
            [self.words(one.ids) for one in asked],
            [self._before(one) + self.words(own) for one, own in zip(asked, ids, strict=True)],
            max_input_length=0,
        )
        # The end is one more.
        return [
            float(sum(found.log_probs[-len(own) - 1 :]))
            for found, own in zip(results, ids, strict=True)
        ]


class Writer(Engine):
    """A causal language model."""

    def _opened(self, folder: str, compute_type: str) -> Any:
        return library().Generator(folder, compute_type=compute_type)

    def generate(
        self, asked: Sequence[Asked], *, longest: int, length_penalty: float = 0.0, **how: Any
    ) -> list[list[tuple[list[int], float]]]:
        results = self.model.generate_batch(
            [self.words(one.ids) for one in asked],
            max_length=longest,
            length_penalty=length_penalty,
            include_prompt_in_result=False,
            return_scores=True,
            **how,
        )
        return [self._read(found.sequences, found.scores) for found in results]

    def score(self, asked: Sequence[Asked], ids: Sequence[Sequence[int]]) -> list[float]:
        wholes = [
            [*self.words(one.ids), *self.words(own), self.tokenizer.eos_token]
            for one, own in zip(asked, ids, strict=True)
        ]
        results = self.model.score_batch(wholes, max_input_length=0)
        return [
            float(sum(found.log_probs[len(one.ids) - 1 :]))
            for found, one in zip(results, asked, strict=True)
        ]


ENGINES: dict[str, type[Engine]] = {
    "text-generation": Writer,
    "translation": Translator,
    "text2text-generation": Translator,
}
"""By task of transformers."""
