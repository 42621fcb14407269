"""The autoencoder of Wan as a codec of films."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.from_diffusers.precision import run
from mmgen.backends.values import AnyFilm
from mmgen.core.codec import Codec
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec
from mmgen.modalities.video.value import Video

__all__ = ["FilmLatents"]


class FilmLatents(Codec):
    """z = (e - mean) / std of the latents e of a film, (T', c, H', W').

    Statistics are those of the checkpoint's own config. A film does not come back exactly, so a
    density of z is none of the film.

    Args:
        module: A diffusers AutoencoderKLWan. It stays frozen.
        shape: Frames, height and width of the films, (T, H, W): T one more than a multiple of the
            frames per latent, H and W multiples of the pixels per latent.
        fps: Frames per second of what is shown.

    Raises:
        SpecError: If the films do not fit.

    Source: conventions of diffusers 0.42 (Apache-2.0), `WanPipeline.__call__`.
    """

    def __init__(self, module: nn.Module, *, shape: tuple[int, int, int], fps: float) -> None:
        super().__init__()
        config = module.config
        own, side = config.scale_factor_temporal, config.scale_factor_spatial
        frames, height, width = shape
        if (frames - 1) % own or height % side or width % side:
            raise SpecError(
                f"Films of this checkpoint have {own} n + 1 frames of sides that are multiples of "
                f"{side}; got {frames} of {width}x{height}."
            )
        self.module = module.requires_grad_(False)
        self.shape, self.films = tuple(shape), AnyFilm(fps)
        self._event = ((frames - 1) // own + 1, config.z_dim, height // side, width // side)
        for name in ("mean", "std"):
            values = torch.tensor(getattr(config, f"latents_{name}"), dtype=torch.float32)
            self.register_buffer(name, values[:, None, None], persistent=False)

    @property
    def spec(self) -> Spec:
        units = self.films.spec.units
        return Spec("video", "continuous", self._event, low=-1.0, high=1.0, units=units)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        found = self.films.prepare(values)
        frames, height, width = self.shape
        if found["frames"].shape[1:] != (frames, 3, height, width):
            there = found["frames"].shape
            raise SpecError(
                f"Expected films of {frames} frames of {width}x{height}, got {there[1]} of "
                f"{there[-1]}x{there[-2]}. Cut and resize them."
            )
        return found

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        embedded = tensors if "std" in tensors else self.embed(tensors)
        e = embedded["mean"]
        if generator is not None:
            e = e + embedded["std"] * torch.randn(e.shape, generator=generator).to(e.device)
        return Latent((e - self.mean) / self.std)

    def embed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Mean and standard deviation of q(e | x), each (B, T', c, H', W')."""
        x = self.films.encode(tensors).z.movedim(1, 2).to(self.mean.device, self._dtype)
        posterior = run(self.module, self.module.encode, "vae.encode", x).latent_dist
        moments = {"mean": posterior.mean, "std": posterior.std}
        return {name: value.float().movedim(1, 2) for name, value in moments.items()}

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        return self.films.decode(Latent(self.signal(latent)))

    def signal(self, latent: Latent) -> Tensor:
        """Films (B, T, 3, H, W) in [-1, 1]."""
        e = (latent.z.to(self.mean.device) * self.std + self.mean).movedim(1, 2).to(self._dtype)
        return run(self.module, self.module.decode, "vae.decode", e).sample.float().movedim(1, 2)

    def seen(self, tensors: Mapping[str, Tensor]) -> Tensor:
        return self.films.encode(tensors).z

    def present(self, tensors: Mapping[str, Tensor]) -> list[Video]:
        return self.films.present(tensors)

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.module.parameters()).dtype
