"""Images as the latents of an autoencoder: small, and not quite all of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from mmgen.core.codec import Codec
from mmgen.core.errors import LoadError, SpecError
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec
from mmgen.modalities.image.files import fit_into_square, load_batch, to_pil
from mmgen.nn.autoencoder import Autoencoder

__all__ = ["Latents"]

FIT_BATCH = 32


class Latents(Codec):
    """z = (e - mean) / std for e ~ q(e | x), pixels x scaled to [-1, 1].

    e is drawn when a generator is given and the mean of q otherwise. An image does not come back
    exactly, so a density of z is none of x. The autoencoder is held frozen: train it first, by its
    own loss.

    Args:
        autoencoder: Module with encode(x) -> (mean, logvar) and decode(e) -> x for x (B, 3, S, S)
            in [-1, 1], `latent_channels`, and `factor`, pixels per latent on each side. Its
            parameters stop requiring gradients.
        size: Side S of the square images.

    Raises:
        SpecError: If the factor does not divide the size.

    Source: High-Resolution Image Synthesis with Latent Diffusion Models (Rombach et al., 2021),
    Sec. 3.1 and App. G (scale of latents; here per channel, with its mean), arXiv:2112.10752.
    """

    scales = True

    def __init__(self, autoencoder: nn.Module, *, size: int) -> None:
        super().__init__()
        if size % autoencoder.factor:
            raise SpecError(
                f"Latents expects a size that is a multiple of {autoencoder.factor}, the pixels "
                f"per latent; got {size}. Use another size."
            )
        self.size = size
        self.autoencoder = autoencoder.requires_grad_(False)
        shape = (autoencoder.latent_channels, 1, 1)
        self.register_buffer("mean", torch.full(shape, torch.nan))
        self.register_buffer("std", torch.full(shape, torch.nan))

    @classmethod
    def debug(cls) -> Latents:
        """A tiny one, fitted to nothing in particular."""
        codec = cls(Autoencoder.debug(), size=8)
        codec.mean.zero_()
        codec.std.fill_(1.0)
        return codec

    @property
    def spec(self) -> Spec:
        side = self.size // self.autoencoder.factor
        return Spec("image", "continuous", (len(self.mean), side, side), low=-1.0, high=1.0)

    @torch.no_grad()
    def fit(self, values: Sequence[Any]) -> None:
        """Take mean and standard deviation of each channel of e, over q and over examples of X."""
        count, total, squares = 0, 0.0, 0.0
        for start in range(0, len(values), FIT_BATCH):
            mean, logvar = self._posterior(self.prepare(values[start : start + FIT_BATCH]))
            mean, variance = mean.double(), logvar.double().exp()
            count += mean.numel() // mean.shape[1]
            total = total + mean.sum((0, 2, 3))
            squares = squares + (mean.square() + variance).sum((0, 2, 3))
        mean = total / count
        self.mean.copy_(mean[:, None, None])
        self.std.copy_((squares / count - mean.square()).sqrt()[:, None, None])

    def adapt(self, value: Any) -> Any:
        return fit_into_square(value, self.size)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        return {"pixels": load_batch(values, size=self.size)}

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        self._require_statistics()
        embedded = tensors if "logvar" in tensors else self.embed(tensors)
        e, logvar = embedded["mean"], embedded["logvar"]
        if generator is not None:
            eps = torch.randn(e.shape, generator=generator).to(e.device)
            e = e + torch.exp(logvar / 2) * eps
        return Latent((e - self.mean) / self.std)

    def embed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Mean and log-variance of q(e | x), each (B, c, S / f, S / f)."""
        mean, logvar = self._posterior(tensors)
        return {"mean": mean, "logvar": logvar}

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        x = self.signal(latent)
        return {"pixels": ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)}

    def signal(self, latent: Latent) -> Tensor:
        """Pixels (B, 3, S, S), those of an image in [-1, 1]."""
        self._require_statistics()
        e = latent.z * self.std + self.mean
        return self.autoencoder.decode(e.to(self._dtype)).float()

    def seen(self, tensors: Mapping[str, Tensor]) -> Tensor:
        return tensors["pixels"].float() / 127.5 - 1

    def present(self, tensors: Mapping[str, Tensor]) -> list[Image.Image]:
        return [to_pil(image) for image in tensors["pixels"].cpu()]

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.autoencoder.parameters()).dtype

    def _posterior(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(e | x), each (B, c, S / f, S / f) in float32."""
        x = tensors["pixels"].to(self.mean.device, torch.float32) / 127.5 - 1
        mean, logvar = self.autoencoder.encode(x.to(self._dtype))
        return mean.float(), logvar.float()

    def _require_statistics(self) -> None:
        if bool(self.std.isnan().any() | self.mean.isnan().any()):
            raise LoadError(
                "Latents has no mean and std of its latents yet. Call fit(images) on examples, or "
                "load saved weights, which hold them."
            )
