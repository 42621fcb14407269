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
        self.name = processor.model_input_names[0]
        # Patches of a picture, so many whatever its shape, of which some are none.
        self.masked = "attention_mask" in processor.model_input_names

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(token_dim=self.encoder.config.hidden_size, vector_dim=len(self.begin))

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        """Images to what the model sees of them, and given (B,).

        Returns:
            `pixels` (B, 3, H, W), or patches (B, M, F) with their `mask` (B, M).
        """
        read = [self._read(value) for value in values]
        rows = [found[self.name][0] for found in read]
        sizes = sorted({tuple(row.shape[1:]) for row in rows})
        if len(sizes) > 1:
            raise ValueError(
                f"The processor of this model makes these images of several sizes, {sizes}, which "
                "are no batch. Ask for them one after another."
            )
        tensors = {"pixels": torch.stack(rows), "given": torch.ones(len(rows), dtype=torch.bool)}
        if self.masked:
            tensors["mask"] = torch.stack([found["attention_mask"][0].bool() for found in read])
        return tensors

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        weight = next(self.parameters())
        read = {self.name: tensors["pixels"].to(weight.device, weight.dtype)}
        if self.masked:
            read["attention_mask"] = tensors["mask"].to(weight.device).long()
        states = self.encoder(**read).last_hidden_state
        mask = torch.ones(states.shape[:2], dtype=torch.bool, device=weight.device)
        mask = tensors["mask"].to(weight.device) if self.masked else mask
        begin = torch.tensor(self.begin, device=weight.device).expand(len(states), -1)
        return Condition(len(states), states, mask, begin)

    def _read(self, value: Any) -> Mapping[str, Tensor]:
        if value is None:
            raise ValueError("This model makes a text of an image. Give one, not None.")
        image = to_pil(images.load(value))
        return self.processor(images=[image], return_tensors="pt")
