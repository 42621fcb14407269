"""What a sound is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mmgen.core.errors import MissingDependency

__all__ = ["MAX_RATE", "Audio", "resample"]

MAX_RATE = 768_000
MAX_CHANNELS = 64


@dataclass(frozen=True, eq=False, repr=False)
class Audio:
    """A sound.

    Args:
        samples: float32 (channels, time) in [-1, 1].
        sampling_rate: Samples per second of each channel, in Hz.

    Raises:
        TypeError: If a field is of another type.
        ValueError: If the samples have another shape, leave [-1, 1] or are no numbers, or the rate
            is none.
    """

    samples: np.ndarray
    sampling_rate: int

    def __post_init__(self) -> None:
        x, rate = self.samples, self.sampling_rate
        if not isinstance(x, np.ndarray) or x.dtype != np.float32:
            kind = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
            raise TypeError(
                f"samples is a numpy array of float32, got {kind}. "
                "mmgen.modalities.audio.load((array, rate)) takes other kinds."
            )
        if x.ndim != 2 or not 1 <= x.shape[0] <= MAX_CHANNELS:
            raise ValueError(
                f"samples has shape (channels, time) with 1 to {MAX_CHANNELS} channels, got "
                f"{x.shape}. One channel is samples[None]; transpose what has its channels last."
            )
        if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)):
            raise TypeError(f"sampling_rate is an integer in Hz, got {rate!r:.60}.")
        if not 0 < rate <= MAX_RATE:
            raise ValueError(f"sampling_rate lies in 1 to {MAX_RATE} Hz, got {rate}.")
        object.__setattr__(self, "sampling_rate", int(rate))
        peak = float(np.abs(x).max()) if x.size else 0.0
        if not np.isfinite(peak):
            raise ValueError("samples holds values that are not finite numbers.")
        if peak > 1:
            raise ValueError(
                f"samples lies in [-1, 1], the peak here is {peak:.6g}. Divide by it, or clip."
            )

    def __repr__(self) -> str:
        channels = self.samples.shape[0]
        return f"Audio({channels} channel(s), {self.seconds:.3f} s, {self.sampling_rate} Hz)"

    @classmethod
    def debug(cls) -> Audio:
        """A tenth of a second of a tone of 440 Hz."""
        time = np.arange(800) / 8000
        return cls(np.sin(2 * np.pi * 440 * time)[None].astype(np.float32) / 2, 8000)

    @property
    def seconds(self) -> float:
        """Duration in s."""
        return self.samples.shape[1] / self.sampling_rate

    def mono(self) -> Audio:
        """The mean of the channels, as one channel."""
        return Audio(self.samples.mean(axis=0, keepdims=True), self.sampling_rate)


def resample(audio: Audio, rate: int) -> Audio:
    """The same sound at another rate, each channel by itself.

    Frequencies above half of the lower rate are cut by a windowed sinc filter. What it overshoots
    [-1, 1] by is clipped.

    Args:
        audio: The sound.
        rate: New rate in Hz.

    Raises:
        TypeError, ValueError: If the rate is none.
        MissingDependency: If torchaudio cannot be imported.

    Source: Digital Audio Resampling (Smith, 2002), https://ccrma.stanford.edu/~jos/resample/
    """
    new = Audio(np.zeros((1, 0), np.float32), rate).sampling_rate
    if new == audio.sampling_rate or not audio.samples.size:
        return Audio(audio.samples, new)
    try:
        from torchaudio.functional import resample as sinc_resample
    except (ImportError, OSError):
        raise MissingDependency("torchaudio", extra="audio", purpose="Resampling") from None
    # A filter that is eight times as long as torchaudio's default and hardly rounds off the top.
    x = sinc_resample(
        torch.from_numpy(audio.samples), audio.sampling_rate, new, lowpass_filter_width=48
    )
    return Audio(x.clamp(-1, 1).numpy(), new)
