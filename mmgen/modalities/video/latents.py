"""Films as the latents of an image autoencoder, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.core.codec import Codec
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec
from mmgen.modalities.image.latents import Latents
from mmgen.modalities.video.files import load, load_batch
from mmgen.modalities.video.frames import to_videos
from mmgen.modalities.video.value import Video
from mmgen.nn.autoencoder import Autoencoder

__all__ = ["FrameLatents"]


class FrameLatents(Codec):
    """z_t = (e_t - mean) / std for e_t ~ q(e | frame t), pixels scaled to [-1, 1].

    As `mmgen.modalities.image.Latents` for every frame, which is held within and has the
    statistics. A film does not come back exactly, so a density of z is none of x.

    Args:
        autoencoder: What `Latents` takes, trained.
        num_frames: T.
        size: Side S of the square frames.
        fps: Rate of the films, in frames/s.

    Raises:
        SpecError: If the autoencoder's factor does not divide the size.

    Source: Align your Latents (Blattmann et al., 2023), Sec. 3.1, arXiv:2304.08818.
    """

    scales = True

    def __init__(self, autoencoder: nn.Module, *, num_frames: int, size: int, fps: float) -> None:
        super().__init__()
        self.num_frames, self.size, self.fps = num_frames, size, fps
        self.frame = Latents(autoencoder, size=size)

    @classmethod
    def debug(cls) -> FrameLatents:
        """A tiny one, fitted to nothing in particular."""
        codec = cls(Autoencoder.debug(), num_frames=4, size=8, fps=8.0)
        codec.frame.mean.zero_()
        codec.frame.std.fill_(1.0)
        return codec

    @property
    def spec(self) -> Spec:
        one = self.frame.spec
        shape, units = (self.num_frames, *one.shape), f"{self.fps:g} frames/s"
        return replace(one, modality="video", shape=shape, units=units)

    def fit(self, values: Sequence[Any]) -> None:
        """Take mean and deviation of each channel of e, over the frames of examples of X."""
        self.frame.fit([frame for value in values for frame in load(value).frames])

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        return {
            "frames": load_batch(values, num_frames=self.num_frames, size=self.size, fps=self.fps)
        }

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        each = {"pixels" if k == "frames" else k: v.flatten(0, 1) for k, v in tensors.items()}
        z = self.frame.encode(each, generator=generator).z
        return Latent(z.unflatten(0, (-1, self.num_frames)))

    def embed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the codec of frames makes of each, (B, T, ...)."""
        found = self.frame.embed({"pixels": tensors["frames"].flatten(0, 1)})
        return {k: v.unflatten(0, (-1, self.num_frames)) for k, v in found.items()}

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        pixels = self.frame.decode(Latent(latent.z.flatten(0, 1)))["pixels"]
        return {"frames": pixels.unflatten(0, (-1, self.num_frames))}

    def present(self, tensors: Mapping[str, Tensor]) -> list[Video]:
        return to_videos(tensors["frames"], self.fps)
