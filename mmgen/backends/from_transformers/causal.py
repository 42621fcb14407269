"""Pretrained causal language models: P(text | prompt) by the autoregressive family.

Shape letters: B batch, M prompt tokens, L tokens, V targets, W words.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from mmgen.backends.from_transformers.asking import asked, takes
from mmgen.backends.from_transformers.targets import ReadCache, TargetNetwork
from mmgen.core.condition import Condition
from mmgen.core.spec import ConditionSpec

__all__ = ["CausalLanguageModel", "ReadingOn", "padded_left"]


class ReadingOn(TargetNetwork):
    """A pretrained network that reads a prompt and then what follows, as the family needs it.

    What is generated follows the last token of the prompt. Prompts of several lengths are padded at
    the left, so that each text stands at the positions that it would have alone. Those derived say
    what a prompt and further ids are to it, and what it makes of them.
    """

    def read(self, ids_BL: Tensor, c: Condition, cache: ReadCache) -> Tensor:
        """Logits of words (B, L, W). The very first id is read as the last of the prompt."""
        seen, length = cache.seen, ids_BL.shape[1]
        own_BL = self.targets.own(ids_BL if seen else ids_BL[:, 1:])
        read = self._embedded(own_BL)
        there_BL = torch.ones_like(own_BL, dtype=torch.bool)
        if not seen:
            prompt, mask_BM = padded_left(self._prompt(c), c.mask)
            read = torch.cat((prompt.to(read), read), dim=1)
            there_BL = torch.cat((mask_BM, there_BL), dim=1)
        mask_BL = cache.append(there_BL)
        logits_BLW, cache.inner = self._run(
            read,
            length,
            cache.inner,
            attention_mask=mask_BL.long(),
            position_ids=self._positions(c, mask_BL)[..., seen:],
        )
        cache.length += length
        return logits_BLW

    def room(self, c: Condition) -> Tensor | None:
        """How many tokens of the context each prompt leaves (B,)."""
        return _room_after(c, self.context)

    def _positions(self, c: Condition, mask_BL: Tensor) -> Tensor:
        """Where each of what has been read stands (B, L), or on each of several axes (A, B, L)."""
        return (mask_BL.cumsum(1) - 1).clamp(min=0)

    @abstractmethod
    def _prompt(self, c: Condition) -> Tensor:
        """What it reads of a prompt."""

    @abstractmethod
    def _embedded(self, ids_BL: Tensor) -> Tensor:
        """What it reads of further ids."""

    @abstractmethod
    def _run(self, read: Tensor, length: int, kept: Any, **given: Any) -> tuple[Tensor, Any]:
        """Logits of the last `length` places (B, L, W), and what it keeps for the next call."""


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


def _room_after(c: Condition, context: int | None) -> Tensor | None:
    """How many tokens of a context each prompt leaves (B,)."""
    return None if context is None else context - c.mask.sum(1)


def padded_left(prompt_BM: Tensor, mask_BM: Tensor) -> tuple[Tensor, Tensor]:
    """A prompt (B, M) or (B, M, D) and its mask with the padding moved from right to left."""
    length = mask_BM.shape[1]
    shift_B1 = length - mask_BM.sum(1, keepdim=True)
    source_BM = torch.arange(length, device=prompt_BM.device) - shift_B1
    there_BM = source_BM >= 0
    rows_B1 = torch.arange(len(prompt_BM), device=prompt_BM.device)[:, None]
    found = prompt_BM[rows_B1, source_BM.clamp(min=0)]
    return found * there_BM.reshape(*there_BM.shape, *(1,) * (found.ndim - 2)), there_BM
