"""The words of a pretrained model as the targets of a token family, and networks that give them.

Shape letters: B batch, L tokens, W words of the model, V targets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.nn.tokens import token_losses

__all__ = ["ReadCache", "TargetNetwork", "Targets"]


class Targets(nn.Module):
    """All ids but those that end a text, and then the end.

    They are in order, but that the last id stands where the end was, if there is one end: whatever
    else had to be moved would cost a copy of all logits at each step.

    Args:
        num_words: W, number of logits of the model.
        ends: Ids that end a text; their probabilities are added up.
    """

    def __init__(self, num_words: int, ends: Sequence[int]) -> None:
        super().__init__()
        ending = torch.zeros(num_words, dtype=torch.bool)
        ending[list(ends)] = True
        self.register_buffer("ends", ending.nonzero()[:, 0], persistent=False)
        order = torch.cat(((~ending).nonzero()[:, 0], self.ends))
        if len(self.ends) == 1:
            order = torch.arange(num_words)
            # The end and the last id change places.
            swapped = torch.stack((self.ends[0], order[-1]))
            order[swapped.flip(0)] = swapped
            self.register_buffer("swapped", swapped, persistent=False)
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("content", order[: -len(self.ends)], persistent=False)

    @property
    def count(self) -> int:
        """V, the end among them."""
        return len(self.content) + 1

    def own(self, ids_BL: Tensor) -> Tensor:
        """The model's own ids of content, and one of the ends for what lies beyond a text."""
        return self.order[ids_BL]

    def places(self, own_ids: Sequence[int]) -> tuple[int, ...]:
        """Which targets some of the model's own ids are; those that are none are left out."""
        wanted = torch.tensor(list(own_ids), dtype=torch.long, device=self.content.device)
        content = torch.isin(self.content, wanted).nonzero()[:, 0].tolist()
        # Ends are one target, which is unwanted only if all of them are.
        ending = [len(self.content)] if torch.isin(self.ends, wanted).all() else []
        return (*content, *ending)

    def logits(self, logits_BLW: Tensor) -> Tensor:
        """Logits of words to those of targets (B, L, V), float32."""
        logits_BLW = logits_BLW.float()
        if len(self.ends) > 1:
            end = logits_BLW[..., self.ends].logsumexp(-1, keepdim=True)
            return torch.cat((logits_BLW[..., self.content], end), dim=-1)
        return logits_BLW.index_copy(-1, self.swapped.flip(0), logits_BLW[..., self.swapped])

    def losses(self, logits_BLW: Tensor, ids_BL: Tensor) -> Tensor:
        """-log p of targets (B, L) in nats by logits of words, zero where the id is -100."""
        if len(self.ends) > 1:
            return token_losses(self.logits(logits_BLW), ids_BL)
        own_BL = torch.where(ids_BL < 0, ids_BL, self.own(ids_BL.clamp(min=0)))
        return token_losses(logits_BLW.float(), own_BL)


class ReadCache:
    """Keys and values that a transformers model keeps, and what its sequences have of padding."""

    def __init__(self) -> None:
        self.inner: Any = None
        self.mask_BL: Tensor | None = None
        self.length = 0

    @property
    def seen(self) -> int:
        """Tokens that the model has read, prompts and padding among them."""
        return 0 if self.mask_BL is None else self.mask_BL.shape[1]

    def append(self, mask_BL: Tensor) -> Tensor:
        """Note which of the next tokens are there. Returns the mask of all."""
        seen = () if self.mask_BL is None else (self.mask_BL,)
        self.mask_BL = torch.cat((*seen, mask_BL), dim=1)
        return self.mask_BL

    def select(self, index: Tensor) -> None:
        """Keep the rows of the batch that `index` (M,) names, in its order; one may come twice."""
        if self.mask_BL is not None:
            index = index.to(self.mask_BL.device)
            self.mask_BL = self.mask_BL[index]
            self.inner.reorder_cache(index)


class TargetNetwork(nn.Module, ABC):
    """A pretrained network as one of the autoregressive family. Those derived say how it reads.

    Args:
        model: A transformers model.
        targets: Its ids as targets.
        context: Most tokens that it reads; None for any number.
    """

    causal = True

    def __init__(self, model: nn.Module, targets: Targets, *, context: int | None) -> None:
        super().__init__()
        self.model, self.targets, self.context = model, targets, context
        self.vocabulary = self.num_outputs = targets.count

    def forward(self, ids_BL: Tensor, c: Condition) -> Tensor:
        """Ids (B, L) to logits of what follows each (B, L, V)."""
        return self.extend(ids_BL, c, self.cache())

    def cache(self) -> ReadCache:
        """An empty cache, for `extend`."""
        return ReadCache()

    def extend(self, ids_BL: Tensor, c: Condition, cache: ReadCache) -> Tensor:
        """Logits (B, L, V) after the ids (B, L) that follow those the cache has seen.

        Args:
            ids_BL: Ids that come next. The very first is read as what the network begins with.
            c: The condition, the same in every call.
            cache: From `cache`, or from the call before. It takes these ids up.
        """
        return self.targets.logits(self.read(ids_BL, c, cache))

    def losses(self, ids_BL: Tensor, targets_BL: Tensor, c: Condition) -> Tensor:
        """-log p of what follows each id (B, L) in nats, zero where the target is -100."""
        return self.targets.losses(self.read(ids_BL, c, self.cache()), targets_BL)

    @abstractmethod
    def read(self, ids_BL: Tensor, c: Condition, cache: ReadCache) -> Tensor:
        """As `extend`, but logits of the network's own words (B, L, W)."""
