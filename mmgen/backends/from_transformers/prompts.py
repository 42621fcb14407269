"""Prompts of pretrained language models: texts, messages, and what lies about a gap.

Shape letters: B batch, M prompt tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.options import Option
from mmgen.core.parted import Parted
from mmgen.core.spec import ConditionSpec
from mmgen.modalities.text.by_sentence import by_sentence

__all__ = ["Prompts"]

# Where a text stands in an instruction.
_PLACE = "{text}"
# Prefix, suffix and middle, as the models call them that fill in the middle of code.
_MIDDLES = (
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),
    ("<PRE>", "<SUF>", "<MID>"),
)


class Prompts(Encoder):
    """Prompts as ids, for a model that goes on with them.

    A value is a text; {"messages": [{"role": ..., "content": ...}, ...]}, which the tokenizer's
    chat template writes out; {"prefix": ..., "suffix": ...}, for what comes between; or
    {"text": ...}, a text that is gone on with as it is. Where there is a chat template, a bare text
    is what a user says. None is a text from its beginning. With an instruction, as "Translate into
    German:\n\n{text}", a bare text stands where it says so; with split="sentences" each of its
    sentences does, and the answers are joined.

    Args:
        tokenizer: A transformers tokenizer.
        begin: Id that a text begins with, for None.
        max_tokens: Longest prompt. A longer one is an error, never cut.
    """

    modality = "text"

    def __init__(self, tokenizer: Any, *, begin: int | None, max_tokens: int | None) -> None:
        super().__init__()
        self.tokenizer, self.begin, self.max_tokens = tokenizer, begin, max_tokens

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(token_dim=1)

    def options(self) -> tuple[Option, ...]:
        told = "What is asked of a bare text, which stands at {text} in it."
        said = "Whether a bare text of several sentences is answered one by one."
        return (
            Option("instruction", None, told, optional=True, kind=str),
            Option("split", "never", said, choices=("sentences", "never")),
        )

    def asked(self, value: Any, **options: Any) -> Any:
        instruction = options["instruction"]
        if instruction is None:
            return value
        if _PLACE not in instruction:
            raise ValueError(
                f"An instruction says by {_PLACE} where a text stands in it; got "
                f"{instruction!r:.60}."
            )
        # Sentence by sentence, where a text is asked about so.
        whole = not isinstance(value, str) or options["split"] == "sentences"
        return value if whole else instruction.replace(_PLACE, value)

    def parted(self, value: Any, **options: Any) -> Parted | None:
        if options["split"] == "never" or not isinstance(value, str):
            return None
        instruction = options["instruction"] or _PLACE

        def value_of(piece: str) -> str:
            return instruction.replace(_PLACE, piece)

        def fits(piece: str) -> bool:
            most = self.max_tokens
            return most is None or len(self._written(value_of(piece))) <= most

        if not value.strip():
            return None
        several = by_sentence(value, value_of, fits=fits)
        return several or Parted.of_one(value_of(value))

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        """Prompts, or None, to ids (B, M), mask (B, M) and given (B,)."""
        rows = [self._ids(value) for value in values]
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        mask = torch.zeros_like(ids, dtype=torch.bool)
        for row, there, own in zip(ids, mask, rows, strict=True):
            row[: len(own)], there[: len(own)] = torch.tensor(own), True
        return {"ids": ids, "mask": mask, "given": torch.tensor([v is not None for v in values])}

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        ids, mask, given = tensors["ids"], tensors["mask"], tensors["given"][:, None]
        if not given.all():
            first = torch.arange(ids.shape[1], device=ids.device) == 0
            ids = torch.where(given, ids, torch.where(first, self._beginning(), 0))
            mask = torch.where(given, mask, first)
        return Condition(len(ids), ids[..., None], mask)

    def _beginning(self) -> int:
        if self.begin is None:
            raise ValueError(
                "This model has no token that a text begins with. Give a prompt to go on with."
            )
        return self.begin

    def _ids(self, value: Any) -> list[int]:
        ids = [self._beginning()] if value is None else self._written(value)
        if self.max_tokens is not None and len(ids) > self.max_tokens:
            raise ValueError(
                f"Expected a prompt of at most {self.max_tokens} tokens, got {len(ids)}. The model "
                "reads no more; nothing is cut. Shorten it."
            )
        if not ids:
            raise ValueError("The prompt is empty. Say something, or give None for no prompt.")
        return ids

    def _written(self, value: Any) -> list[int]:
        if isinstance(value, str):
            if not self.tokenizer.chat_template:
                return self._tokens(value)
            value = {"messages": [{"role": "user", "content": value}]}
        kind = set(value) if isinstance(value, Mapping) else None
        if kind == {"text"}:
            return self._tokens(value["text"])
        if kind == {"prefix", "suffix"}:
            return self._between(value["prefix"], value["suffix"])
        if kind == {"messages"}:
            return self._chat(value["messages"])
        raise TypeError(
            'Expected a text, {"text": ...}, {"messages": [...]}, or {"prefix": ..., "suffix": '
            f"...}}; got {value!r:.80}."
        )

    def _tokens(self, text: Any, **how: Any) -> list[int]:
        if not isinstance(text, str):
            raise TypeError(f"Expected a text (str), got {type(text).__name__}: {text!r:.60}.")
        return self.tokenizer(text, truncation=False, verbose=False, **how)["input_ids"]

    def _chat(self, messages: Any) -> list[int]:
        from jinja2 import TemplateError

        if not self.tokenizer.chat_template:
            raise ValueError(
                "This tokenizer has no chat template, so it does not know how messages are put. "
                "Give one text."
            )
        for message in messages if isinstance(messages, (list, tuple)) else [messages]:
            if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
                raise TypeError(
                    'A message is {"role": "user" or another, "content": a text}, and messages '
                    f"are a list of them; got {message!r:.80}."
                )
        try:
            return self.tokenizer.apply_chat_template(
                list(messages), add_generation_prompt=True, tokenize=True, return_dict=True
            )["input_ids"]
        except TemplateError as error:
            raise ValueError(f"The chat template refuses these messages: {error}") from None

    def _between(self, prefix: Any, suffix: Any) -> list[int]:
        words = self.tokenizer.get_vocab()
        for marks in _MIDDLES:
            if all(mark in words for mark in marks):
                before, after, middle = (words[mark] for mark in marks)
                parts = [self._tokens(t, add_special_tokens=False) for t in (prefix, suffix)]
                return [before, *parts[0], after, *parts[1], middle]
        raise ValueError(
            "This tokenizer has no tokens for a prefix and a suffix, so the model was not trained "
            "to fill in between. Give the text before it alone."
        )
