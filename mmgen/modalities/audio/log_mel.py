"""Sounds as log-mel frames: a fraction of the numbers, and most of what is heard."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.codec import Codec
from mmgen.core.errors import LoadError, SpecError
from mmgen.core.fitted import take_asset
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec
from mmgen.modalities.audio.files import fit_to_rate, is_one, load_batch
from mmgen.modalities.audio.griffin_lim import GriffinLim
from mmgen.modalities.audio.value import Audio
from mmgen.nn.mel import MelSpec, MelTransform

__all__ = ["LogMel"]

_DEFINITION = "mel.json"


class LogMel(Codec):
    """z = (m - mean) / std for log-mel frames m (T, F) of one channel.

    The mean is one of each band, the deviation one for all. Phases are not in z: a vocoder makes
    them up, so a density of z is none of x, and a sound comes back a little longer, to a full hop.
    What a vocoder gives beyond [-1, 1] is clipped. The definition of the frames is saved with the
    weights, and those of another definition are refused.

    Args:
        mel: Definition of the frames.
        max_length: Most frames of a sound.
        vocoder: Module with decode(frames (B, T, F)) -> waveforms (B, T hop) and its own `mel`,
            which is the same; `GriffinLim` if None. Its parameters stop requiring gradients.

    Raises:
        SpecError: If the vocoder is for other frames.

    Source: Tacotron 2 (Shen et al., 2017), Sec. 2.1, arXiv:1712.05884.
    """

    scales = True

    def __init__(self, mel: MelSpec, *, max_length: int, vocoder: nn.Module | None = None) -> None:
        super().__init__()
        self.mel, self.max_length = mel, max_length
        self.transform = MelTransform(mel)
        self.vocoder = (GriffinLim(mel) if vocoder is None else vocoder).requires_grad_(False)
        if self.vocoder.mel != mel:
            raise SpecError(
                "LogMel expects a vocoder for its own frames; this one differs: "
                f"{'; '.join(self.vocoder.mel.differences(mel))}. Train one for these frames."
            )
        self.register_buffer("mean", torch.full((mel.num_mels,), torch.nan))
        self.register_buffer("std", torch.full((), torch.nan))

    @classmethod
    def debug(cls) -> LogMel:
        """A tiny one, fitted to nothing in particular."""
        codec = cls(MelSpec.debug(), max_length=32, vocoder=GriffinLim.debug())
        codec.mean.fill_(-3.0)
        codec.std.fill_(3.0)
        return codec

    @property
    def spec(self) -> Spec:
        return Spec(
            "audio",
            "continuous",
            ("T", self.mel.num_mels),
            low=-1.0,
            high=1.0,
            units=f"{self.mel.frame_rate:g} frames/s",
            max_length=self.max_length,
        )

    @torch.no_grad()
    def fit(self, values: Sequence[Any]) -> None:
        """Take the mean of each band and the deviation of all, over the frames of examples of X.

        Raises:
            ValueError: If there are no examples, or all their frames are the same.
        """
        count, total, squares = 0, 0.0, 0.0
        for value in values:
            m = self._frames(self.prepare([value]))[0].double()
            count, total, squares = count + len(m), total + m.sum(0), squares + m.square().sum(0)
        if not count:
            raise ValueError("Expected at least one sound to take statistics from, got none.")
        mean = total / count
        std = (squares / count - mean.square()).mean().clamp(min=0).sqrt()
        if std < 1e-3:
            raise ValueError("These sounds are all the same in every frame, silence perhaps.")
        self.mean.copy_(mean)
        self.std.copy_(std)

    def adapt(self, value: Any) -> Any:
        return fit_to_rate(value, self.mel.sampling_rate)

    def is_one(self, value: Any) -> bool:
        return is_one(value)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        samples, lengths = load_batch(
            values,
            sampling_rate=self.mel.sampling_rate,
            max_samples=self.max_length * self.mel.hop,
        )
        return {"samples": samples, "lengths": lengths}

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        self._require_statistics()
        z = (self._frames(tensors) - self.mean) / self.std
        lengths = tensors["lengths"].to(z.device)
        lengths = -(-lengths // self.mel.hop)
        there = torch.arange(z.shape[1], device=z.device) < lengths[:, None]
        return Latent(z * there[..., None], lengths)

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        lengths = self._lengths(latent)
        return {"samples": self.signal(latent).clamp(-1, 1), "lengths": lengths * self.mel.hop}

    def signal(self, latent: Latent) -> Tensor:
        """Waveforms (B, N), zero beyond the length of each and not clipped."""
        self._require_statistics()
        frames = latent.z.float() * self.std + self.mean
        lengths = self._lengths(latent)
        samples = frames.new_zeros(len(frames), frames.shape[1] * self.mel.hop)
        # Those of one length together, so that what lies beyond a length is never looked at.
        for length in lengths.unique().tolist():
            rows = (lengths == length).nonzero().flatten()
            if length:
                x = self.vocoder.decode(frames[rows, :length]).float()
                samples = samples.index_copy(0, rows, F.pad(x, (0, samples.shape[1] - x.shape[1])))
        return samples

    def present(self, tensors: Mapping[str, Tensor]) -> list[Audio]:
        lengths = tensors["lengths"].tolist()
        samples = tensors["samples"].float().cpu().numpy()
        rate = self.mel.sampling_rate
        return [Audio(x[None, :n].copy(), rate) for x, n in zip(samples, lengths, strict=True)]

    def assets(self) -> dict[str, bytes]:
        return {_DEFINITION: json.dumps(self.mel.as_dict(), indent=1).encode()}

    def load_assets(self, assets: Mapping[str, bytes]) -> None:
        data = take_asset(assets, _DEFINITION, by="LogMel")
        try:
            saved = MelSpec(**json.loads(data))
        except (ValueError, TypeError) as error:
            raise LoadError(f"{_DEFINITION} defines no mel spectrogram: {error}") from None
        if saved != self.mel:
            raise LoadError(
                "These weights are for other mel frames than this codec's: "
                f"{'; '.join(saved.differences(self.mel))}. Build the codec with the saved ones."
            )

    def _frames(self, tensors: Mapping[str, Tensor]) -> Tensor:
        return self.transform(tensors["samples"].to(self.mean.device))

    @staticmethod
    def _lengths(latent: Latent) -> Tensor:
        if latent.lengths is not None:
            return latent.lengths.to(latent.z.device)
        batch, longest = latent.z.shape[:2]
        return torch.full((batch,), longest, device=latent.z.device)

    def _require_statistics(self) -> None:
        if bool(self.std.isnan() | self.mean.isnan().any()):
            raise LoadError(
                "LogMel has no mean and std of its frames yet. Call fit(sounds) on examples, or "
                "load saved weights, which hold them."
            )
