"""What tells sounds from copies of them, by spectra of several sizes.

Errors of spectra leave copies blurred, since they average over the sounds that would fit. A
discriminator D of each size tells small regions of a spectrum of the sound from those of its copy,

    max(0, 1 - D(x)) + max(0, 1 + D(y)),

and what makes the copies is trained on max(0, 1 - D(y)), and to have D's features of the copy equal
those of the sound.

Sources: losses: Vocos (Siuzdak, 2023), Sec. 3, arXiv:2306.00814; spectra of several sizes: UnivNet
(Jang et al., 2021), Sec. 2.2, arXiv:2106.07889, here with logarithms and fewer channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.nn.spectrum import magnitudes

__all__ = ["SpectralDiscriminator"]

# Brings log-magnitudes of sounds, in nepers, to about one.
SCALE = 0.3
SLOPE = 0.1


class SpectralDiscriminator(nn.Module):
    """Logits of being a sound and no copy, one for each region of spectra of several sizes.

    Args:
        sizes: Samples of the spectra.
        dim: Channels.
        matching: Weight of the features in what copies are trained on.
    """

    def __init__(
        self, sizes: Sequence[int] = (512, 1024, 2048), *, dim: int = 32, matching: float = 2.0
    ) -> None:
        super().__init__()
        self.sizes, self.matching = tuple(sizes), matching
        self.num_classes = len(self.sizes)
        self.judges = nn.ModuleList(_Judge(dim) for _ in self.sizes)

    @classmethod
    def debug(cls) -> SpectralDiscriminator:
        """A tiny one."""
        return cls((64, 128), dim=8)

    def forward(self, x_BT: Tensor) -> Tensor:
        """Waveforms (B, T) to the mean logit at each size (B, sizes)."""
        return torch.stack([logits.flatten(1).mean(1) for logits, _ in self._judge(x_BT)], dim=1)

    def distinction(self, x_BT: Tensor, copy_BT: Tensor) -> Tensor:
        """Loss of this discriminator (B,) on sounds and their copies."""
        pairs = zip(self._judge(x_BT), self._judge(copy_BT), strict=True)
        return sum(
            _mean(F.relu(1 - real)) + _mean(F.relu(1 + made)) for (real, _), (made, _) in pairs
        ) / len(self.sizes)

    def deception(self, x_BT: Tensor, copy_BT: Tensor) -> Tensor:
        """Loss of what made the copies (B,), of which gradients flow."""
        with torch.no_grad():
            reals = self._judge(x_BT)
        total = 0.0
        for (_, wanted), (logits, features) in zip(reals, self._judge(copy_BT), strict=True):
            pairs = zip(wanted, features, strict=True)
            apart = sum(_mean((made - real).abs()) for real, made in pairs) / len(features)
            total = total + _mean(F.relu(1 - logits)) + self.matching * apart
        return total / len(self.sizes)

    def _judge(self, x_BT: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        """Logits and features of each size."""
        dtype = self.judges[0].out.weight.dtype
        spectra = [SCALE * magnitudes(x_BT, size).log().mT[:, None] for size in self.sizes]
        return [judge(s.to(dtype)) for judge, s in zip(self.judges, spectra, strict=True)]


class _Judge(nn.Module):
    """Convolutions over (time, frequency) that narrow frequency sixteen times."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(1, dim, (3, 9), stride=(1, 4), padding=(1, 4)),
                nn.Conv2d(dim, dim, (3, 5), stride=(1, 2), padding=(1, 2)),
                nn.Conv2d(dim, dim, (3, 5), stride=(1, 2), padding=(1, 2)),
                nn.Conv2d(dim, dim, 3, padding=1),
            ]
        )
        self.out = nn.Conv2d(dim, 1, 3, padding=1)

    def forward(self, s_B1TK: Tensor) -> tuple[Tensor, list[Tensor]]:
        features, h = [], s_B1TK
        for layer in self.layers:
            h = F.leaky_relu(layer(h), SLOPE)
            features.append(h)
        return self.out(h), features


def _mean(values: Tensor) -> Tensor:
    return values.float().flatten(1).mean(1)
