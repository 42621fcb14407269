"""Pictures as what the encoders of pretrained captioning models make of them.

Shape letters: B batch, M states, P tokens that every text begins with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.spec import ConditionSpec
from mmgen.modalities import image as images
from mmgen.modalities.image.files import to_pil

__all__ = ["Pictures"]


class Pictures(Encoder):
    """Pictures as the states of a pretrained encoder.

    A value is an image, as the image modality takes it; the checkpoint's processor brings it to
    the size that the model reads. None is an error: such a model always sees something. A text
    that the caption is to begin with is what is known of it, `pipe.given(image, known="a photo
    of", mask="0:10")`.

    Args:
        encoder: The model's encoder of pictures.
        processor: Its image processor.
        begin: Ids that the decoder begins with.
    """

    modality = "image"

    def __init__(self, encoder: nn.Module, processor: Any, *, begin: Sequence[int]) -> None:
        super().__init__()
        self.encoder, self.processor, self.begin = encoder, processor, tuple(begin)

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(token_dim=self.encoder.config.hidden_size, vector_dim=len(self.begin))

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        """Images to pixels (B, 3, H, W) as the model sees them, and given (B,)."""
        rows = [self._pixels(value) for value in values]
        sizes = sorted({tuple(row.shape[1:]) for row in rows})
        if len(sizes) > 1:
            raise ValueError(
                f"The processor of this model makes these images of several sizes, {sizes}, which "
                "are no batch. Ask for them one after another."
            )
        return {"pixels": torch.stack(rows), "given": torch.ones(len(rows), dtype=torch.bool)}

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        weight = next(self.parameters())
        pixels = tensors["pixels"].to(weight.device, weight.dtype)
        states = self.encoder(pixel_values=pixels).last_hidden_state
        mask = torch.ones(states.shape[:2], dtype=torch.bool, device=weight.device)
        begin = torch.tensor(self.begin, device=weight.device).expand(len(states), -1)
        return Condition(len(states), states, mask, begin)

    def _pixels(self, value: Any) -> Tensor:
        if value is None:
            raise ValueError("This model makes a text of an image. Give one, not None.")
        image = to_pil(images.load(value))
        return self.processor(images=[image], return_tensors="pt")["pixel_values"][0]
