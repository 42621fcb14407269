"""Films as standardised pixels: nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgen.core.codec import Lossless
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec
from mmgen.modalities.image.levels import to_levels, to_signal
from mmgen.modalities.video.files import load_batch
from mmgen.modalities.video.value import Video

__all__ = ["Frames", "to_videos"]


class Frames(Lossless):
    """z = ((k + u) / 128 - 1 - mean) / std for 8-bit pixels k of all frames.

    u is uniform on [0, 1) when a generator is given (uniform dequantisation) and 1/2 otherwise, so
    densities are those of the 8-bit values, and bits per dimension compare with published ones.

    Args:
        num_frames: T.
        size: Side S of the square frames.
        fps: Rate of the films, in frames/s.

    Source: A note on the evaluation of generative models (Theis et al., 2015), Sec. 3.1,
    arXiv:1511.01844.
    """

    elementwise = True
    scales = True

    def __init__(self, num_frames: int, size: int, *, fps: float) -> None:
        super().__init__()
        self.num_frames, self.size, self.fps = num_frames, size, fps
        self.register_buffer("mean", torch.full((3, 1, 1), torch.nan))
        self.register_buffer("std", torch.full((3, 1, 1), torch.nan))

    @classmethod
    def debug(cls) -> Frames:
        """A tiny one, fitted to nothing in particular."""
        codec = cls(4, 8, fps=8.0)
        codec.mean.zero_()
        codec.std.fill_(0.5)
        return codec

    @property
    def spec(self) -> Spec:
        shape = (self.num_frames, 3, self.size, self.size)
        units = f"{self.fps:g} frames/s"
        return Spec("video", "continuous", shape, low=-1.0, high=1.0, units=units)

    def fit(self, values: Sequence[Any]) -> None:
        """Take the mean of each colour and one deviation for all, over examples of X."""
        count, total, squares = 0, 0.0, 0.0
        for value in values:
            x = self.prepare([value])["frames"].double() / 128 - 1
            count += x.numel() // 3
            total, squares = total + x.sum((0, 1, 3, 4)), squares + x.square().sum((0, 1, 3, 4))
        if not count:
            raise ValueError("Expected at least one film to take statistics from, got none.")
        mean = total / count
        # One scale for all colours keeps their directions. One grey value of 256 where all frames
        # are of one colour, which nothing could be divided by.
        std = (squares / count - mean.square()).mean().clamp(min=(1 / 128) ** 2).sqrt()
        self.mean.copy_(mean[:, None, None])
        self.std.fill_(float(std))

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        return {
            "frames": load_batch(values, num_frames=self.num_frames, size=self.size, fps=self.fps)
        }

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        x = to_signal(tensors["frames"], device=self.mean.device, generator=generator)
        return Latent((x - self.mean) / self.std)

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        return {"frames": to_levels(self.signal(latent))}

    def signal(self, latent: Latent) -> Tensor:
        """Pixels (B, T, 3, S, S), those of a film in [-1, 1]."""
        return latent.z.float() * self.std + self.mean

    def present(self, tensors: Mapping[str, Tensor]) -> list[Video]:
        return to_videos(tensors["frames"], self.fps)

    def log_volume(self, tensors: Mapping[str, Tensor]) -> Tensor:
        per_pixel = -(128 * self.std.double()).log().expand(3, 1, 1).sum()
        return (per_pixel * self.num_frames * self.size**2).float().expand(len(tensors["frames"]))


def to_videos(frames: Tensor, fps: float) -> list[Video]:
    """uint8 (B, T, 3, H, W) to films."""
    arrays = frames.permute(0, 1, 3, 4, 2).contiguous().cpu().numpy()
    return [Video(x, fps) for x in arrays]
