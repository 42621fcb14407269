"""Pretrained models of texts that read something else first: P(text | what they read).

Shape letters: B batch, M states of what is read, L tokens, V targets, P tokens that every text
begins with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.from_transformers.decoders import follows
from mmgen.backends.from_transformers.glossary import Demanding, checked_glossary, demanded
from mmgen.backends.from_transformers.languages import Languages
from mmgen.backends.from_transformers.targets import ReadCache, TargetNetwork, Targets
from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.options import Option
from mmgen.core.parted import Parted
from mmgen.core.spec import ConditionSpec
from mmgen.modalities.text.by_sentence import by_sentence

__all__ = ["SequenceToSequence", "Sources"]

_VALUE_KEYS = {"text", "source_lang", "target_lang", "glossary", "prefix"}
# How models of several languages without tokens of their own are told which one to write.
_TOLD = re.compile(r"\s*(>>[^<>\s]+<<)\s*")


class SequenceToSequence(TargetNetwork):
    """The decoder of a pretrained model as a network of the autoregressive family.

    The condition's tokens are what the encoder makes of a source (B, M, D), be it text, sound or
    picture; its vector is the ids that the decoder begins with (B, P), one of which may name a
    language.

    Args:
        model: A transformers model with an encoder and a decoder.
        targets: Its ids as targets.
        condition: What its encoder gives.
        context: Most tokens that the decoder reads; None for any number.
    """

    def __init__(
        self, model: nn.Module, targets: Targets, *, condition: ConditionSpec, context: int | None
    ) -> None:
        super().__init__(model, targets, context=context)
        self.condition = condition

    def read(self, ids_BL: Tensor, c: Condition, cache: ReadCache) -> Tensor:
        """Logits of words (B, L, W). The very first id is read as what the decoder begins with."""
        length = ids_BL.shape[1]
        own_BL = self.targets.own(ids_BL if cache.seen else ids_BL[:, 1:])
        if not cache.seen:
            own_BL = torch.cat((c.vector, own_BL), dim=1)
        cache.append(torch.ones_like(own_BL, dtype=torch.bool))
        logits, cache.inner = follows(self.model, own_BL, c, cache.inner)
        cache.length += length
        return logits[:, -length:]

    def room(self, c: Condition) -> Tensor | None:
        """How many tokens of the decoder's context there are (B,)."""
        if self.context is None:
            return None
        return torch.full((c.batch,), self.context - c.vector.shape[1], device=c.tokens.device)


class Sources(Encoder):
    """Source texts as what a pretrained encoder makes of them.

    A value is a text, or {"text": ..., "target_lang": ..., "source_lang": ...} for a model of many
    languages, by the codes of its own tokenizer, tags of BCP 47 or English names. None is an error:
    such a model always has a source. A text that is too long is refused, never cut; with
    split="sentences" a text of several sentences is answered one by one, and what is too long in
    pieces. With a glossary, {"source term": "target term"}, an answer contains the terms that
    belong to those of its source; a prefix, as "summarize: ", is put before each text that is
    read. Languages, glossary and prefix are options of a call as well as parts of a value.

    Args:
        encoder: The model's encoder.
        tokenizer: Its tokenizer.
        begin: Ids that the decoder begins with if no language is asked for; None in the place of a
            language that has to be asked for.
        languages: Those of the answer, if there are several.
        max_tokens: Longest source; None for any.
        split: "sentences" or "never", if not asked otherwise.
    """

    modality = "text"

    def __init__(
        self,
        encoder: nn.Module,
        tokenizer: Any,
        *,
        begin: Sequence[int | None],
        languages: Languages,
        max_tokens: int | None,
        split: str = "never",
    ) -> None:
        super().__init__()
        self.encoder, self.tokenizer = encoder, tokenizer
        self.begin, self.languages = tuple(begin), languages
        self.max_tokens, self.split = max_tokens, split

    @property
    def spec(self) -> ConditionSpec:
        width = self.encoder.config.get_text_config().hidden_size
        return ConditionSpec(token_dim=width, vector_dim=len(self.begin))

    def options(self) -> tuple[Option, ...]:
        said = "Whether a text of several sentences is answered one by one."
        terms = "How terms are to be translated, {source term: target term}; with temperature 0."
        put = "What is put before each text that is read, as 'summarize: '."
        told = {"optional": True, "kind": str}
        languages = (
            Option("source_lang", None, "Language of the text, as 'en' or 'English'.", **told),
            Option("target_lang", None, "Language to write, as 'de' or 'German'.", **told),
        )
        return (
            Option("split", self.split, said, choices=("sentences", "never")),
            Option("glossary", None, terms, optional=True, kind=dict),
            Option("prefix", None, put, **told),
            *(languages if self.languages.targets else ()),
        )

    def asked(self, value: Any, **options: Any) -> Any:
        said = {n: v for n, v in options.items() if n in _VALUE_KEYS and v is not None}
        if not said:
            return value
        asked = self._asked(value)
        if "glossary" in said:
            own = checked_glossary(asked.get("glossary", {}))
            said["glossary"] = checked_glossary(said["glossary"]) | own
        # What a value says of itself comes first.
        return {**said, **{n: v for n, v in asked.items() if n != "glossary" or n not in said}}

    def parted(self, value: Any, **options: Any) -> Parted | None:
        """A value sentence by sentence, if there are several."""
        if options["split"] == "never":
            return None
        asked = self._asked(value)
        source, target = self._spoken(asked)
        told = _TOLD.match(asked["text"])
        text = asked["text"][told.end() :] if told else asked["text"]

        def value_of(piece: str) -> dict[str, Any]:
            return {**asked, "text": f"{told[1]} {piece}" if told else piece}

        def fits(piece: str) -> bool:
            ids = self._tokens(value_of(piece))
            return self.max_tokens is None or len(ids) <= self.max_tokens

        return by_sentence(
            text,
            value_of,
            fits=fits,
            language=source or getattr(self.tokenizer, "source_lang", None),
            answer_language=target or getattr(self.tokenizer, "target_lang", None),
        )

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        """Texts to ids (B, M), mask (B, M), begin (B, P) and given (B,)."""
        rows, begins, terms = zip(*map(self._read, values), strict=True)
        ids = torch.full((len(rows), max(map(len, rows))), self.tokenizer.pad_token_id or 0)
        mask = torch.zeros_like(ids, dtype=torch.bool)
        for row, there, own in zip(ids, mask, rows, strict=True):
            row[: len(own)], there[: len(own)] = torch.tensor(own), True
        return {
            "ids": ids,
            "mask": mask,
            "begin": torch.tensor(begins),
            "given": torch.ones(len(rows), dtype=torch.bool),
            **({"terms": terms} if any(terms) else {}),
        }

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        device = next(self.parameters()).device
        ids, mask, begin = (tensors[name].to(device) for name in ("ids", "mask", "begin"))
        states = self.encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        c = Condition(len(ids), states, mask, begin)
        return Demanding.of(c, tensors["terms"]) if "terms" in tensors else c

    def _read(self, value: Any) -> tuple[list[int], tuple[int, ...], tuple[str, ...]]:
        asked = self._asked(value)
        begin, ids = self._begin(self._spoken(asked)[1]), self._tokens(asked)
        if self.max_tokens is not None and len(ids) > self.max_tokens:
            raise ValueError(
                f"Expected a text of at most {self.max_tokens} tokens, got {len(ids)}: "
                f"{asked['text'][:40]!r}... The model reads no more; nothing is cut. Give it in "
                'parts, or give split="sentences".'
            )
        return ids, begin, demanded(asked["text"], checked_glossary(asked.get("glossary", {})))

    def _asked(self, value: Any) -> Mapping[str, Any]:
        """A value by its parts."""
        if value is None:
            raise ValueError("This model makes a text of a text. Give one, not None.")
        asked = {"text": value} if isinstance(value, str) else value
        if not isinstance(asked, Mapping) or "text" not in asked or set(asked) - _VALUE_KEYS:
            raise TypeError(
                'Expected a text, or {"text": ..., "target_lang": ..., "source_lang": ...}; got '
                f"{value!r:.80}."
            )
        for name in ("text", "prefix"):
            if not isinstance(asked.get(name, ""), str):
                kind = type(asked[name]).__name__
                raise TypeError(f"Expected a {name} (str), got {kind}: {asked[name]!r:.60}.")
        if not asked["text"].strip():
            raise ValueError("The text is empty. Say something.")
        return asked

    def _spoken(self, asked: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """The languages of a text and of its answer, by the model's own codes."""
        source = self.languages.source(asked.get("source_lang"))
        return source, self.languages.target(asked.get("target_lang"))

    def _tokens(self, asked: Mapping[str, Any]) -> list[int]:
        source, target = self._spoken(asked)
        self._check_marks(asked["text"], target)
        text = self.languages.before(source, target) + asked.get("prefix", "") + asked["text"]
        if source not in self.languages.begins:
            return self.tokenizer(text, truncation=False, verbose=False)["input_ids"]
        before = self.tokenizer.src_lang
        try:
            self.tokenizer.src_lang = source
            return self.tokenizer(text, truncation=False, verbose=False)["input_ids"]
        finally:
            self.tokenizer.src_lang = before

    def _begin(self, language: str | None) -> tuple[int, ...]:
        if language in self.languages.begins:
            return (*self.begin[:-1], self.languages.begins[language])
        if None in self.begin:
            raise self._untold()
        return self.begin

    def _untold(self) -> ValueError:
        known = self.languages.targets
        return ValueError(
            f"This model writes {len(known)} languages. Give target_lang, such as {known[0]!r} or "
            "a name as 'German'."
        )

    def _check_marks(self, text: str, target: str | None) -> None:
        """Refuse a text that is marked with none of several languages, with another, or twice."""
        marks = {mark.strip(): code for code, mark in self.languages.marks.items()}
        own = next((mark for mark in marks if text.lstrip().startswith(mark)), None)
        told = _TOLD.match(text)
        if marks and told and own is None:
            # Its tokenizer would read letters.
            self.languages.target(told[1].strip("<>"))
        if own is not None and target is not None:
            raise ValueError(f"The text says {own} and target_lang says {target!r}. Say it once.")
        if len(marks) > 1 and own is None and target is None:
            raise self._untold()
