"""Images, films and sounds of any size, as the calls of libraries give them.

Their latent is the value itself, in [-1, 1]: what a library does inside is its own affair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmgen.core.codec import Codec, Lossless
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec
from mmgen.modalities import image as images
from mmgen.modalities import video as films
from mmgen.modalities.audio import files as sounds
from mmgen.modalities.audio.value import Audio, resample
from mmgen.modalities.image.files import fit_into_square, load_batch
from mmgen.modalities.video.value import Video

__all__ = ["AnyFilm", "AnyImage", "AnySound", "EvenPixels"]

# Sides, frames and samples of what a pipeline may give.
_MOST_SIDE = 16_384
_MOST_SAMPLES = 2**28


class AnyImage(Codec):
    """z = 2 p - 1 for pixels p in [0, 1], (3, H, W). Levels are rounded as diffusers rounds.

    Args:
        side: Of the squares that `adapt` makes; None to leave images as they are.
    """

    elementwise = True

    def __init__(self, side: int | None = None) -> None:
        super().__init__()
        self.side = side

    @property
    def spec(self) -> Spec:
        shape = (3, "H", "W")
        return Spec("image", "continuous", shape, low=-1.0, high=1.0, max_length=_MOST_SIDE)

    @classmethod
    def debug(cls) -> AnyImage:
        """One."""
        return cls()

    def adapt(self, value: Any) -> Any:
        return value if self.side is None else fit_into_square(value, self.side)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        rows = [images.load(v) for v in values]
        if any(row.shape != rows[0].shape for row in rows):
            sizes = sorted({f"{row.shape[2]}x{row.shape[1]}" for row in rows})
            raise SpecError(f"Images of one batch have one size, got {', '.join(sizes)}.")
        return {"pixels": torch.stack(rows)}

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        return Latent(tensors["pixels"].float() / 127.5 - 1)

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        return {"pixels": _levels(latent.z)}

    def signal(self, latent: Latent) -> Tensor:
        """Pixels (B, 3, H, W) in [-1, 1]."""
        return latent.z.float()

    def present(self, tensors: Mapping[str, Tensor]) -> list[Image.Image]:
        return _pictures(tensors["pixels"])


class EvenPixels(Lossless):
    """z = (k + u - 1/2) / 127.5 - 1 for 8-bit pixels k, which networks of diffusers see as u = 1/2.

    u is uniform on [0, 1) when a generator is given (uniform dequantisation) and 1/2 otherwise, so
    densities are those of the 8-bit values.

    Args:
        size: Side S of the square images.

    Source: A note on the evaluation of generative models (Theis et al., 2015), Sec. 3.1,
    arXiv:1511.01844.
    """

    elementwise = True

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    @classmethod
    def debug(cls) -> EvenPixels:
        """A tiny one."""
        return cls(8)

    @property
    def spec(self) -> Spec:
        return Spec("image", "continuous", (3, self.size, self.size), low=-1.0, high=1.0)

    def adapt(self, value: Any) -> Any:
        return fit_into_square(value, self.size)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        return {"pixels": load_batch(values, size=self.size)}

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        levels = tensors["pixels"].float()
        if generator is not None:
            levels = levels + torch.rand(levels.shape, generator=generator).to(levels.device) - 0.5
        return Latent(levels / 127.5 - 1)

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        return {"pixels": _levels(latent.z)}

    def signal(self, latent: Latent) -> Tensor:
        """Pixels (B, 3, S, S), those of an image in [-1, 1]."""
        return latent.z.float()

    def present(self, tensors: Mapping[str, Tensor]) -> list[Image.Image]:
        return _pictures(tensors["pixels"])

    def log_volume(self, tensors: Mapping[str, Tensor]) -> Tensor:
        levels = tensors["pixels"]
        return torch.full((len(levels),), -math.log(127.5) * levels[0].numel())


class AnyFilm(Codec):
    """z = 2 p - 1 for films p in [0, 1], (T, 3, H, W).

    Args:
        fps: Frames per second of what is shown.
    """

    def __init__(self, fps: float) -> None:
        super().__init__()
        self.fps = fps

    @classmethod
    def debug(cls) -> AnyFilm:
        """One."""
        return cls(8.0)

    @property
    def spec(self) -> Spec:
        shape = ("T", 3, "H", "W")
        units = f"{self.fps:g} frames/s"
        return Spec(
            "video", "continuous", shape, low=-1.0, high=1.0, units=units, max_length=_MOST_SIDE
        )

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        rows = [torch.from_numpy(films.load(v).frames.copy()).movedim(-1, 1) for v in values]
        if any(row.shape != rows[0].shape for row in rows):
            sizes = sorted({f"{len(row)} of {row.shape[3]}x{row.shape[2]}" for row in rows})
            raise SpecError(f"Films of one batch have frames of one size, got {', '.join(sizes)}.")
        return {"frames": torch.stack(rows)}

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        return Latent(tensors["frames"].float() / 127.5 - 1)

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        return {"frames": _levels(latent.z)}

    def signal(self, latent: Latent) -> Tensor:
        """Films (B, T, 3, H, W) in [-1, 1]."""
        return latent.z.float()

    def present(self, tensors: Mapping[str, Tensor]) -> list[Video]:
        frames = tensors["frames"].movedim(-3, -1).cpu().numpy()
        return [Video(np.ascontiguousarray(f), self.fps) for f in frames]


class AnySound(Codec):
    """Samples (N, channels) in [-1, 1]; those beyond are clipped when a sound is made.

    Args:
        sampling_rate: In Hz.
        mono: Whether it reads sounds of one channel alone.
    """

    def __init__(self, sampling_rate: int, *, mono: bool = False) -> None:
        super().__init__()
        self.sampling_rate, self.mono = sampling_rate, mono

    @classmethod
    def debug(cls) -> AnySound:
        """One."""
        return cls(8000)

    @property
    def spec(self) -> Spec:
        shape, units = ("N", "C"), f"{self.sampling_rate} samples/s"
        return Spec(
            "audio", "continuous", shape, low=-1.0, high=1.0, units=units, max_length=_MOST_SAMPLES
        )

    def adapt(self, value: Any) -> Any:
        if self.mono:
            return sounds.fit_to_rate(value, self.sampling_rate)
        return resample(sounds.load(value), self.sampling_rate)

    def is_one(self, value: Any) -> bool:
        return sounds.is_one(value)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        if self.mono:
            own = {"sampling_rate": self.sampling_rate, "max_samples": _MOST_SAMPLES}
            samples, lengths = sounds.load_batch(values, **own)
            return {"samples": samples[..., None], "lengths": lengths}
        found = [sounds.load(v) for v in values]
        for one in found:
            if one.sampling_rate != self.sampling_rate:
                raise ValueError(
                    f"Expected a sampling_rate of {self.sampling_rate} Hz, got "
                    f"{one.sampling_rate} Hz. Resample it first: "
                    f"mmgen.modalities.audio.resample(audio, {self.sampling_rate})."
                )
        channels = sorted({len(one.samples) for one in found})
        if len(channels) > 1:
            raise SpecError(
                f"Sounds of one batch have as many channels as each other, got {channels}."
            )
        rows = [torch.from_numpy(one.samples).mT for one in found]
        lengths = torch.tensor([len(row) for row in rows])
        return {"samples": pad_sequence(rows, batch_first=True), "lengths": lengths}

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        return Latent(tensors["samples"], tensors["lengths"])

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        return {"samples": self.signal(latent).clamp(-1, 1), "lengths": latent.lengths}

    def signal(self, latent: Latent) -> Tensor:
        """Samples (B, N, channels), not clipped, zero beyond the lengths."""
        return latent.z.float()

    def present(self, tensors: Mapping[str, Tensor]) -> list[Audio]:
        samples = tensors["samples"].mT.cpu().numpy()
        lengths = tensors["lengths"].tolist()
        return [
            Audio(np.ascontiguousarray(x[:, :n], dtype=np.float32), self.sampling_rate)
            for x, n in zip(samples, lengths, strict=True)
        ]


def _pictures(pixels: Tensor) -> list[Image.Image]:
    """Images of levels (B, 3, H, W)."""
    rows = pixels.movedim(-3, -1).cpu().numpy()
    return [Image.fromarray(np.ascontiguousarray(row)) for row in rows]


def _levels(z: Tensor) -> Tensor:
    return ((z.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
