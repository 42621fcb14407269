"""A classifier of spoken digits, learnt from recordings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmgen.modalities.audio import Audio, MelSpec, resample
from mmgen.nn.classifier import ConvClassifier
from mmgen.nn.mel import MelTransform

__all__ = ["DigitJudge"]

_MEL = MelSpec(8_000, fft=512, hop=128, window=512, num_mels=32, fmin=0.0, fmax=4_000.0)
_FRAMES = 96
"""1.5 s; what is longer is cut, what is shorter continued by silence."""
_WIDTHS = (16, 32, 64)
_BATCH, _LEARNING_RATE, _SEED = 64, 4e-3, 20_268
_SHIFT = 8


class DigitJudge:
    """Which word a sound says.

    Args:
        sounds: Recordings to learn from.
        words: What each says.
        steps: Of training.
    """

    def __init__(self, sounds: Sequence[Audio], words: Sequence[str], *, steps: int) -> None:
        self.words = sorted(set(words))
        x = _frames(sounds)
        y = torch.tensor([self.words.index(word) for word in words])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            self.network = ConvClassifier(1, num_classes=len(self.words), widths=_WIDTHS)
        g = torch.Generator().manual_seed(_SEED)
        optimizer = torch.optim.AdamW(self.network.parameters(), weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
        for _ in range(steps):
            rows = torch.randint(len(x), (_BATCH,), generator=g)
            loss = F.cross_entropy(self.network(_varied(x[rows], g)), y[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        self.network.eval()

    @torch.no_grad()
    def said(self, sounds: Sequence[Audio]) -> list[str]:
        """The word of each."""
        parts = [self.network(x).argmax(1) for x in _frames(sounds).split(_BATCH)]
        return [self.words[i] for i in torch.cat(parts).tolist()]


def _frames(sounds: Sequence[Audio]) -> Tensor:
    """Log-mel frames (N, 1, 96, 32), about standardised, as loud as each other."""
    transform, found = MelTransform(_MEL), []
    for sound in sounds:
        x = resample(sound.mono(), _MEL.sampling_rate).samples
        x = x / max(float(np.sqrt(np.mean(x**2))), 1e-4) * 0.1
        frames = transform(torch.from_numpy(x))[0, :_FRAMES]
        silence = float(np.log(_MEL.floor))
        found.append(F.pad(frames, (0, 0, 0, _FRAMES - len(frames)), value=silence))
    return (torch.stack(found)[:, None] + 6) / 3


def _varied(x: Tensor, generator: torch.Generator) -> Tensor:
    """Frames (B, 1, T, F) begun up to 0.13 s later, in another tone, over some noise."""
    offsets = torch.randint(_SHIFT + 1, (len(x),), generator=generator).tolist()
    rows = [torch.roll(row, offset, dims=1) for row, offset in zip(x, offsets, strict=True)]
    tone = torch.randn(len(x), 1, 1, x.shape[3], generator=generator) * 0.1
    floor = -2 + 1.5 * torch.rand(len(x), 1, 1, 1, generator=generator)
    return torch.stack(rows).maximum(floor) + tone
