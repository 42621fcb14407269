"""A small convolutional classifier of images, for judging samples.

Source: Deep Residual Learning for Image Recognition (He et al., 2015), Sec. 3.3, arXiv:1512.03385;
with group normalisation, so that an image's verdict does not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.nn.residual import Downsample, ResidualBlock, group_norm

__all__ = ["ConvClassifier"]


class ConvClassifier(nn.Module):
    """Class logits of an image.

    Halves height and width once at the start and once after every level but the last; sides are
    multiples of 2 to the number of levels.

    Args:
        channels: C of the image.
        num_classes: K.
        widths: Channels of each level, multiples of four.
    """

    def __init__(
        self, channels: int, *, num_classes: int, widths: Sequence[int] = (32, 64, 128)
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.stem = nn.Conv2d(channels, widths[0], 4, stride=2, padding=1)
        levels: list[nn.Module] = [ResidualBlock(widths[0], widths[0])]
        for narrow, wide in pairwise(widths):
            levels += [Downsample(narrow), ResidualBlock(narrow, wide)]
        self.levels = nn.Sequential(*levels)
        self.norm = group_norm(widths[-1])
        self.out = nn.Linear(widths[-1], num_classes)

    @classmethod
    def debug(cls) -> ConvClassifier:
        """A tiny one."""
        return cls(3, num_classes=4, widths=(8, 12))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Images (B, C, H, W), about standardised, to logits (B, K)."""
        return self.out(self.features(x_BCHW))

    def features(self, x_BCHW: Tensor) -> Tensor:
        """Images (B, C, H, W) to what the logits are a linear map of (B, widths[-1])."""
        return F.silu(self.norm(self.levels(self.stem(x_BCHW)))).mean((2, 3))
