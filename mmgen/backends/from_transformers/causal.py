"""Pretrained causal language models: P(text | prompt) by the autoregressive family.

Shape letters: B batch, M prompt tokens, L tokens, V targets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.from_transformers.asking import asked, takes
from mmgen.backends.from_transformers.targets import ReadCache, Targets
from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.spec import ConditionSpec

__all__ = ["CausalLanguageModel", "Prompts", "ReadingOn"]

# Prefix, suffix and middle, as the models call them that fill in the middle of code.
_MIDDLES = (
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),
    ("<PRE>", "<SUF>", "<MID>"),
)


class ReadingOn(nn.Module, ABC):
    """A pretrained network that reads a prompt and then what follows, as the family needs it.

    What is generated follows the last token of the prompt. Prompts of several lengths are padded at
    the left, so that each text stands at the positions that it would have alone. Those derived say
    what a prompt and further ids are to it, and what it makes of them.

    Args:
        model: A transformers model.
        targets: Its ids as targets.
        context: Most tokens that it reads, prompt and text together; None for any number.
    """

    causal = True

    def __init__(self, model: nn.Module, targets: Targets, *, context: int | None) -> None:
        super().__init__()
        self.model, self.targets, self.context = model, targets, context
        self.vocabulary = self.num_outputs = targets.count

    def forward(self, ids_BL: Tensor, c: Condition) -> Tensor:
        """Ids (B, L) after a prompt to log-probabilities of what follows each (B, L, V)."""
        return self.extend(ids_BL, c, self.cache())

    def cache(self) -> ReadCache:
        """An empty cache, for `extend`."""
        return ReadCache()

    def extend(self, ids_BL: Tensor, c: Condition, cache: ReadCache) -> Tensor:
        """Log-probabilities (B, L, V) after the ids (B, L) that follow those the cache has seen.

        Args:
            ids_BL: Ids that come next. The very first is read as the last of the prompt.
            c: The condition, the same in every call.
            cache: From `cache`, or from the call before. It takes these ids up.
        """
        seen, length = cache.seen, ids_BL.shape[1]
        own_BL = self.targets.own(ids_BL if seen else ids_BL[:, 1:])
        read = self._embedded(own_BL)
        there_BL = torch.ones_like(own_BL, dtype=torch.bool)
        if not seen:
            prompt, mask_BM = _padded_left(self._prompt(c), c.mask)
            read = torch.cat((prompt.to(read), read), dim=1)
            there_BL = torch.cat((mask_BM, there_BL), dim=1)
        mask_BL = cache.append(there_BL)
        logits_BLV, cache.inner = self._run(
            read,
            length,
            cache.inner,
            attention_mask=mask_BL.long(),
            position_ids=(mask_BL.cumsum(1) - 1).clamp(min=0)[:, seen:],
        )
        cache.length += length
        return self.targets.log_probs(logits_BLV)

    def room(self, c: Condition) -> Tensor | None:
        """How many tokens of the context each prompt leaves (B,)."""
        return _room_after(c, self.context)

    @abstractmethod
    def _prompt(self, c: Condition) -> Tensor:
        """What it reads of a prompt."""

    @abstractmethod
    def _embedded(self, ids_BL: Tensor) -> Tensor:
        """What it reads of further ids."""

    @abstractmethod
    def _run(self, read: Tensor, length: int, kept: Any, **given: Any) -> tuple[Tensor, Any]:
        """Logits of the last `length` places (B, L, V), and what it keeps for the next call."""


class CausalLanguageModel(ReadingOn):
    """A pretrained causal model as a network of the autoregressive family.

    The condition's tokens are the ids of a prompt (B, M, 1).

    Args:
        model: A transformers model for causal language modelling.
        targets: Its ids as targets.
        context: Most tokens that it reads, prompt and text together; None for any number.
    """

    condition = ConditionSpec(token_dim=1)

    def _prompt(self, c: Condition) -> Tensor:
        return c.tokens[..., 0]

    def _embedded(self, ids_BL: Tensor) -> Tensor:
        return ids_BL

    def _run(self, read: Tensor, length: int, kept: Any, **given: Any) -> tuple[Tensor, Any]:
        kind = type(self.model)
        if not takes(kind, "position_ids"):
            del given["position_ids"]
        if takes(kind, "logits_to_keep"):
            # Those of a prompt are nobody's concern.
            given["logits_to_keep"] = length
        found, kept = asked(self.model, kept, input_ids=read, **given)
        return found.logits[:, -length:], kept


class Prompts(Encoder):
    """Prompts as ids, for a model that goes on with them.

    A value is a text; {"messages": [{"role": ..., "content": ...}, ...]}, which the tokenizer's
    chat template writes out; {"prefix": ..., "suffix": ...}, for what comes between; or
    {"text": ...}, a text that is gone on with as it is. Where there is a chat template, a bare text
    is what a user says. None is a text from its beginning.

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


def _room_after(c: Condition, context: int | None) -> Tensor | None:
    """How many tokens of a context each prompt leaves (B,)."""
    return None if context is None else context - c.mask.sum(1)


def _padded_left(prompt_BM: Tensor, mask_BM: Tensor) -> tuple[Tensor, Tensor]:
    """A prompt (B, M) or (B, M, D) and its mask with the padding moved from right to left."""
    length = mask_BM.shape[1]
    shift_B1 = length - mask_BM.sum(1, keepdim=True)
    source_BM = torch.arange(length, device=prompt_BM.device) - shift_B1
    there_BM = source_BM >= 0
    rows_B1 = torch.arange(len(prompt_BM), device=prompt_BM.device)[:, None]
    found = prompt_BM[rows_B1, source_BM.clamp(min=0)]
    return found * there_BM.reshape(*there_BM.shape, *(1,) * (found.ndim - 2)), there_BM
