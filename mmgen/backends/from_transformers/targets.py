"""The words of a pretrained model as the targets of a token family, and what it keeps of them.

Shape letters: B batch, L tokens, W words of the model, V targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["ReadCache", "Targets"]


class Targets(nn.Module):
    """All ids but those that end a text, in order, and then the end.

    Args:
        num_words: W, number of logits of the model.
        ends: Ids that end a text; their probabilities are added up.
    """

    def __init__(self, num_words: int, ends: Sequence[int]) -> None:
        super().__init__()
        ending = torch.zeros(num_words, dtype=torch.bool)
        ending[list(ends)] = True
        self.register_buffer("content", (~ending).nonzero()[:, 0], persistent=False)
        self.register_buffer("ends", ending.nonzero()[:, 0], persistent=False)
        order = torch.cat((self.content, self.ends))
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("places_of", order.argsort(), persistent=False)
        self._in_order = bool((order == torch.arange(num_words)).all())

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
        if self._in_order:
            return logits_BLW
        return _Reordered.apply(logits_BLW, self.order, self.places_of)


class _Reordered(torch.autograd.Function):
    """Logits in another order. The gradient of torch's own adds up what is never repeated."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, order: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return logits.index_select(-1, order)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return gradient.index_select(-1, back), None, None


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
