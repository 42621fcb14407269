"""An autoencoder with latents kept near a standard normal: the first stage of latent diffusion.

q(z | x) = N(mean(x), exp(logvar(x))) for each of (h, w, latent channel), and x is decoded from a
draw of it. The loss is that of a variational autoencoder with a small weight on the divergence, so
that latents keep what is needed to see x again, but neither drift nor hide in tiny differences:

    L(x) = R(x, decode(z)) + w KL(q(z | x) || N(0, I)) / num_dims,   z ~ q(z | x),

where num_dims counts the values of x. R is the mean, over x and its halvings, of the absolute error
and of the absolute error of differences between neighbours: edges count, and no pretrained network
is needed. All layers are convolutions, so any size that the factor divides can be encoded.

Unlike in the paper nothing is normalised, and nothing bent, before the last convolution of either
half: group normalisation there takes away how bright an image is. After 250 training steps on boxes
of random colours the `debug` network comes within 14 of 255 levels so, and within 48 with it.

Sources: High-Resolution Image Synthesis with Latent Diffusion Models (Rombach et al., 2021),
Sec. 3.1 and App. G, arXiv:2112.10752 (without its perceptual and adversarial losses and its
attention); error of neighbour differences over scales: MegaDepth (Li & Snavely, 2018), Sec. 4.2,
arXiv:1804.00607.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.errors import SpecError
from mmgen.nn.residual import Downsample, ResidualBlock, Upsample

__all__ = ["Autoencoder", "decoder_layers", "encoder_layers", "reconstruction_error"]

# As in the released code of latent diffusion: variances outside of these are not told apart.
LOGVAR_RANGE = (-30.0, 20.0)


class Autoencoder(nn.Module):
    """Images to a normal distribution of latents, and latents to images.

    Args:
        channels: C of the images.
        widths: Channels at each level, finest first; each level halves the one before.
        latent_channels: Channels of the latents.
        factor: Pixels per latent on each side. What halving between the levels does not give of
            it is had by folding squares of pixels into channels first.
        blocks: Residual blocks per level.
        kl_weight: w, weight of the divergence.
        gradient_weight: Weight of the error of neighbour differences.
        scales: Number of sizes at which errors are taken, each half of the one before.

    Raises:
        ValueError: If the factor is not a multiple of what the levels give.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        widths: Sequence[int] = (64, 128, 192),
        latent_channels: int = 4,
        factor: int = 4,
        blocks: int = 2,
        kl_weight: float = 1e-6,
        gradient_weight: float = 1.0,
        scales: int = 3,
    ) -> None:
        super().__init__()
        self.channels, self.latent_channels, self.factor = channels, latent_channels, factor
        self.kl_weight, self.gradient_weight, self.scales = kl_weight, gradient_weight, scales
        shape = {"widths": widths, "factor": factor, "blocks": blocks}
        self.encoder = encoder_layers(channels, 2 * latent_channels, **shape)
        self.decoder = decoder_layers(latent_channels, channels, **shape)

    @classmethod
    def debug(cls, *, channels: int = 3) -> Autoencoder:
        """A tiny one."""
        return cls(channels, widths=(16, 32), latent_channels=4, factor=4, blocks=1)

    def encode(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) to mean and log-variance of z, each (B, c, H / f, W / f).

        Raises:
            SpecError: If the factor f does not divide H and W.
        """
        if x_BCHW.shape[-2] % self.factor or x_BCHW.shape[-1] % self.factor:
            raise SpecError(
                f"Autoencoder expects height and width to be multiples of {self.factor}; got "
                f"{x_BCHW.shape[-2]} x {x_BCHW.shape[-1]}. Resize the images."
            )
        mean, logvar = self.encoder(x_BCHW).chunk(2, dim=1)
        return mean, logvar.clamp(*LOGVAR_RANGE)

    def decode(self, z_BCHW: Tensor) -> Tensor:
        """Latents (B, c, H / f, W / f) to images (B, C, H, W), not clipped to any range."""
        return self.decoder(z_BCHW)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Images (B, C, H, W) as they come back, by way of the mean."""
        return self.decode(self.encode(x_BCHW)[0])

    def loss(self, x_BCHW: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """L(x) of each image.

        Args:
            x_BCHW: Images (B, C, H, W).
            generator: For the draw of z.

        Returns:
            Losses (B,), per value of x.
        """
        mean, logvar = self.encode(x_BCHW)
        eps = torch.randn(mean.shape, generator=generator).to(mean.device, mean.dtype)
        decoded = self.decode(mean + torch.exp(logvar / 2) * eps)
        mean, logvar = mean.float(), logvar.float()
        kl_B = (mean.square() + logvar.exp() - 1 - logvar).flatten(1).sum(1) / 2
        error_B = reconstruction_error(
            x_BCHW, decoded, gradient_weight=self.gradient_weight, scales=self.scales
        )
        return error_B + self.kl_weight * kl_B / x_BCHW[0].numel()


def encoder_layers(
    channels: int, out: int, *, widths: Sequence[int], factor: int, blocks: int
) -> nn.Sequential:
    """Convolutions from images (B, C, H, W) to features (B, out, H / f, W / f).

    Args:
        channels: C.
        out: Number of features.
        widths: As in `Autoencoder`, as are `factor` f and `blocks`.

    Raises:
        ValueError: If the factor is not a multiple of what the levels give.
    """
    patch = _patch(widths, factor)
    return nn.Sequential(
        nn.PixelUnshuffle(patch),
        nn.Conv2d(channels * patch**2, widths[0], 3, padding=1),
        *_blocks(widths, blocks, between=Downsample),
        nn.Conv2d(widths[-1], out, 3, padding=1),
    )


def decoder_layers(
    features: int, channels: int, *, widths: Sequence[int], factor: int, blocks: int
) -> nn.Sequential:
    """Convolutions from features (B, features, H / f, W / f) to images (B, C, H, W).

    Arguments and errors are those of `encoder_layers`.
    """
    patch = _patch(widths, factor)
    return nn.Sequential(
        nn.Conv2d(features, widths[-1], 3, padding=1),
        *_blocks(widths[::-1], blocks, between=Upsample),
        nn.Conv2d(widths[0], channels * patch**2, 3, padding=1),
        nn.PixelShuffle(patch),
    )


def reconstruction_error(
    x_BCHW: Tensor, decoded: Tensor, *, gradient_weight: float, scales: int
) -> Tensor:
    """R(x, decoded) (B,) of the module's docstring, for images of the same shape."""
    error = (decoded - x_BCHW).float()
    total = 0.0
    for scale in range(scales):
        if scale:
            error = F.avg_pool2d(error, 2, ceil_mode=True)
        total = total + _absolute(error)
        for axis in (-2, -1):
            if error.shape[axis] > 1:
                total = total + gradient_weight * _absolute(error.diff(dim=axis))
    return total / scales


def _patch(widths: Sequence[int], factor: int) -> int:
    """Side of the squares of pixels that are folded into channels."""
    shrinking = 2 ** (len(widths) - 1)
    if factor % shrinking:
        raise ValueError(
            f"{len(widths)} widths shrink images {shrinking} times, so factor is a multiple "
            f"of that; got {factor}. Use fewer widths."
        )
    return factor // shrinking


def _absolute(error: Tensor) -> Tensor:
    return error.abs().flatten(1).mean(1)


def _blocks(
    widths: Sequence[int], blocks: int, *, between: type[Downsample] | type[Upsample]
) -> list[nn.Module]:
    """Residual blocks from level to level, with a change of resolution between levels."""
    layers: list[nn.Module] = []
    width = widths[0]
    for level, width_out in enumerate(widths):
        if level:
            layers.append(between(width))
        for _ in range(blocks):
            layers.append(ResidualBlock(width, width_out))
            width = width_out
    return layers
