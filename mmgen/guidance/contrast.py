"""What the model predicts with a condition, against what it predicts with less of it.

With x_c the prediction with all of the condition, x_null that with none of it, and x_k that without
its part k alone,

    x = x_null + s (x_c - x_null) + s sum_k (w_k - 1) (x_c - x_k)

for a scale s and a weight w_k of each part: 1 leaves a part as it is, and a weight on the only part
is a factor of the scale.

Sources: Classifier-Free Diffusion Guidance (Ho & Salimans, 2022), Eq. 6, arXiv:2207.12598, whose
1 + w is the scale. Parts told apart by leaving each out: the instruction and image of
InstructPix2Pix (Brooks et al., 2022), Sec. 3.2, arXiv:2211.09800, without its order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError
from mmgen.core.options import Option

__all__ = ["Contrast", "scale_option"]


def scale_option(default: float) -> Option:
    """The option that says s."""
    return Option(
        "guidance_scale",
        default,
        "How strongly samples follow the condition: 1 as the model does, 0 not at all.",
        minimum=0.0,
        maximum=50.0,
    )


class Contrast:
    """The same rows with a condition, its null, and without each of its weighted parts.

    Args:
        scale: s.
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale
        # The condition last seen and what is compared: one object serves all steps of a chunk.
        # Replaced whole, so that threads never see half of it.
        self._last: tuple[Condition, Condition] | None = None

    @staticmethod
    def needed(c: Condition, scale: float) -> bool:
        """Whether there is anything to exaggerate.

        Raises:
            SpecError: If there is, and c has no null.
        """
        if scale == 1 and not c.weighted:
            return False
        if c.null is None:
            raise SpecError(
                f"guidance_scale {scale:g} needs a condition with a null to be guided away from; "
                "this one has none. Give guidance_scale=1, or a condition made with_null."
            )
        return True

    @staticmethod
    def count(c: Condition) -> int:
        """How many conditions are compared."""
        return 2 + len(c.weighted)

    def conditions(self, c: Condition) -> Condition:
        """Those that are compared, one after another in one batch."""
        last = self._last
        if last is None or last[0] is not c:
            others = [without for _, without in c.weighted]
            last = self._last = (c, Condition.stack([c, c.null, *others]))
        return last[1]

    def rows(self, x: Tensor, c: Condition) -> Tensor:
        """Rows (B, ...) over again for each condition."""
        return torch.cat([x] * self.count(c))

    def combine(self, predictions: Tensor, c: Condition) -> tuple[Tensor, Tensor]:
        """Predictions (n B, ...) for each condition to x and x_c, each (B, ...)."""
        x_c, x_null, *others = predictions.chunk(self.count(c))
        x = torch.lerp(x_null, x_c, self.scale)
        for (weight, _), x_k in zip(c.weighted, others, strict=True):
            x = x + self.scale * (weight - 1) * (x_c - x_k)
        return x, x_c
