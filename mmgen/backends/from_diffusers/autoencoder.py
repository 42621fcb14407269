"""The autoencoder of Stable Diffusion and its kin as a codec."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.from_diffusers.precision import in_float32, run
from mmgen.core.codec import Codec
from mmgen.core.errors import LoadError
from mmgen.modalities.image.latents import Latents

__all__ = ["autoencoder_kl", "autoencoder_qwen", "decoded", "statistics"]

_KIND = "AutoencoderKL"


def autoencoder_kl(
    path_or_module: str | os.PathLike[str] | nn.Module,
    *,
    size: int,
    revision: str | None = None,
    subfolder: str | None = None,
    dtype: torch.dtype = torch.float32,
    upcast: bool = False,
) -> Codec:
    """Images as the latents of an AutoencoderKL, that of Stable Diffusion and its kin.

    The statistics of the latents are those that the checkpoint's models were trained with, from its
    config: z = (e - shift_factor) * scaling_factor, or, where the config holds them,
    z = (e - latents_mean) * scaling_factor / latents_std. Nothing is left to fit. It stays frozen.

    Args:
        path_or_module: Folder of the autoencoder, hub id, or a loaded diffusers AutoencoderKL.
        size: Side S of the square images, a multiple of the pixels per latent (mostly 8).
        revision: Commit, tag or branch, for a hub id.
        subfolder: Where in the folder or repository it is; "vae" within a whole pipeline.
        dtype: Precision of the weights, for a folder or hub id.
        upcast: Whether to compute in float32 even where the weights are in float16.

    Returns:
        Codec of latents (c, S / f, S / f).

    Raises:
        LoadError: If what is there is no AutoencoderKL, or its weights are not safetensors.
        SpecError: If the size is not a multiple of the pixels per latent.

    Source: High-Resolution Image Synthesis with Latent Diffusion Models (Rombach et al., 2021),
    arXiv:2112.10752; conventions of diffusers 0.42 (Apache-2.0), `AutoencoderKL.__init__`.
    """
    module = path_or_module
    if not isinstance(module, nn.Module):
        module = _load(os.fspath(module), revision=revision, subfolder=subfolder, dtype=dtype)
    elif type(module).__name__ != _KIND:
        raise LoadError(f"Expected a diffusers {_KIND}, got {type(module).__name__}.")
    codec = Latents(_PosteriorMoments(module, upcast=upcast), size=size)
    mean, std = statistics(module.config)
    codec.mean.copy_(mean)
    codec.std.copy_(std)
    return codec


def autoencoder_qwen(module: nn.Module, *, size: int) -> Codec:
    """Images as the latents of an AutoencoderKLQwenImage, to which they are films of one frame.

    z = (e - latents_mean) / latents_std of its config. Nothing is left to fit. It stays frozen.

    Args:
        module: A loaded diffusers AutoencoderKLQwenImage.
        size: Side S of the square images, a multiple of the pixels per latent.

    Returns:
        Codec of latents (c, S / f, S / f).

    Raises:
        SpecError: If the size is not a multiple of the pixels per latent.

    Source: conventions of diffusers 0.42 (Apache-2.0), `QwenImagePipeline.__call__`.
    """
    codec = Latents(_FrameMoments(module), size=size)
    codec.mean.copy_(torch.tensor(module.config.latents_mean)[:, None, None])
    codec.std.copy_(torch.tensor(module.config.latents_std)[:, None, None])
    return codec


def decoded(module: nn.Module, z: Tensor) -> Tensor:
    """Images (B, 3, H, W), about in [-1, 1], of latents z (B, c, h, w) as its models make them."""
    mean, std = (x.to(z.device) for x in statistics(module.config))
    e = (z.float() * std + mean).to(next(module.parameters()).dtype)
    return run(module, module.decode, "vae.decode", e).sample.float()


class _PosteriorMoments(nn.Module):
    """A diffusers AutoencoderKL with the calls of mmgen.nn.autoencoder.Autoencoder."""

    def __init__(self, module: nn.Module, *, upcast: bool) -> None:
        super().__init__()
        self.module, self.upcast = module, upcast
        self.latent_channels: int = module.config.latent_channels
        self.factor = 2 ** (len(module.config.block_out_channels) - 1)

    def encode(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) in [-1, 1] to mean and log-variance (B, c, H / f, W / f)."""
        posterior = self._run(self.module.encode, "vae.encode", x_BCHW).latent_dist
        return posterior.mean, posterior.logvar

    def decode(self, z_BCHW: Tensor) -> Tensor:
        """Latents (B, c, H / f, W / f) to images (B, 3, H, W)."""
        return self._run(self.module.decode, "vae.decode", z_BCHW).sample

    def _run(self, call: Callable[[Tensor], Any], name: str, x: Tensor) -> Any:
        if self.upcast and x.dtype == torch.float16:
            return in_float32(self.module, call, x)
        return run(self.module, call, name, x)


class _FrameMoments(nn.Module):
    """A diffusers AutoencoderKLQwenImage with the same calls."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.latent_channels: int = module.config.z_dim
        self.factor = 2 ** len(module.config.temperal_downsample)

    def encode(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) in [-1, 1] to mean and log-variance (B, c, H / f, W / f)."""
        module = self.module
        posterior = run(module, module.encode, "vae.encode", x_BCHW[:, :, None]).latent_dist
        return posterior.mean[:, :, 0], posterior.logvar[:, :, 0]

    def decode(self, z_BCHW: Tensor) -> Tensor:
        """Latents (B, c, H / f, W / f) to images (B, 3, H, W)."""
        module = self.module
        return run(module, module.decode, "vae.decode", z_BCHW[:, :, None]).sample[:, :, 0]


def statistics(config: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of latents, each (c, 1, 1), that make z as diffusers makes it."""
    shape = (config["latent_channels"], 1, 1)
    scale = config["scaling_factor"]
    mean, std = config.get("latents_mean"), config.get("latents_std")
    if mean is not None and std is not None:
        return torch.tensor(mean).reshape(shape), torch.tensor(std).reshape(shape) / scale
    shift = config.get("shift_factor") or 0.0
    return torch.full(shape, float(shift)), torch.full(shape, 1.0 / scale)


def _load(
    path: str, *, revision: str | None, subfolder: str | None, dtype: torch.dtype
) -> nn.Module:
    from diffusers import AutoencoderKL

    place = {"revision": revision, "subfolder": subfolder}
    where = path if subfolder is None else f"{path} ({subfolder})"
    try:
        config = AutoencoderKL.load_config(path, **place)
        if config.get("_class_name", _KIND) != _KIND:
            raise LoadError(
                f"Expected an {_KIND} in {where}, found {config['_class_name']}. Give the folder "
                "or subfolder of the autoencoder itself."
            )
        module, report = AutoencoderKL.from_pretrained(
            path, **place, use_safetensors=True, torch_dtype=dtype, output_loading_info=True
        )
    except OSError as error:
        raise LoadError(
            f"Could not load an {_KIND} with safetensors weights from {where}: "
            f"{str(error).strip()} Weights in other formats are not read: convert them, and in a "
            'whole pipeline name the part, subfolder="vae".'
        ) from None
    if report["missing_keys"]:
        raise LoadError(
            f"{where} lacks weights of its {_KIND}: {', '.join(sorted(report['missing_keys'])[:3])}"
            f" and {max(0, len(report['missing_keys']) - 3)} more. Get the files again."
        )
    return module
