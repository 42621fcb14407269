"""Tokens of neural audio codecs: EnCodec, DAC and Mimi checkpoints of transformers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.codec import Codec
from mmgen.core.errors import LoadError, SpecError
from mmgen.core.latent import Latent
from mmgen.core.spec import Spec
from mmgen.modalities.audio.files import is_one, load_batch
from mmgen.modalities.audio.value import Audio

__all__ = ["ORDERS", "CodecTokens"]

KINDS = ("encodec", "dac", "mimi")

ORDERS = ("frames", "delayed")
"""How the codes of a sound are put in a row."""


class CodecTokens(Codec):
    """A row of K T tokens for T frames of K codebooks, of one channel.

    In the order "frames", all K codes of a frame come one after another, coarse first. In the order
    "delayed", code k of frame t comes with code 0 of frame t + k, so that the coarse codes of the
    next frames are known when the fine ones are drawn. Each codebook has the same tokens, told
    apart by their place, so every row has a sound: what is left over of K T is dropped.

    Sounds are continued by silence to a whole frame, and encoded without any others beside them, so
    their tokens do not depend on the batch. A sound does not come back exactly. The weights are
    frozen, whatever `train` says.

    Args:
        model: EncodecModel (of one channel, without normalisation or chunks), DacModel or
            MimiModel.
        max_seconds: Longest sound, in s. A longer one is an error, never cut.
        num_codebooks: K; all that the model has if None. Fewer give fewer tokens and a rougher
            sound.
        order: "frames" or "delayed".

    Raises:
        SpecError: If the model is of another kind, or lacks so many codebooks.

    Sources: High Fidelity Neural Audio Compression (Defossez et al., 2022), arXiv:2210.13438;
    High-Fidelity Audio Compression with Improved RVQGAN (Kumar et al., 2023), arXiv:2306.06546;
    Moshi (Defossez et al., 2024), Sec. 3.3, arXiv:2410.00037; orders: Simple and Controllable Music
    Generation (Copet et al., 2023), Sec. 2.2, arXiv:2306.05284.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        max_seconds: float = 10.0,
        num_codebooks: int | None = None,
        order: str = "frames",
    ) -> None:
        super().__init__()
        config = model.config
        self.kind = _checked_kind(config)
        if order not in ORDERS:
            raise SpecError(f"order is one of {', '.join(ORDERS)}; got {order!r}.")
        there = config.n_codebooks if self.kind == "dac" else config.num_quantizers
        # The first of Mimi's codebooks are of another quantiser and always needed.
        least = config.num_semantic_quantizers if self.kind == "mimi" else 1
        self.num_codebooks = there if num_codebooks is None else num_codebooks
        if not least <= self.num_codebooks <= there:
            raise SpecError(
                f"This {self.kind} checkpoint takes {least} to {there} codebooks, got "
                f"{num_codebooks}."
            )
        self.order = order
        self.sampling_rate = config.sampling_rate
        self.vocabulary = config.codebook_size
        # Samples of a frame. Mimi halves its rate of frames once more after the convolutions.
        self.hop = config.frame_size if self.kind == "mimi" else config.hop_length
        self.max_frames = int(max_seconds * self.sampling_rate / self.hop)
        if self.max_frames < 1:
            raise SpecError(
                f"max_seconds holds at least one frame of {self.hop} samples, got {max_seconds}."
            )
        self.model = model.requires_grad_(False).eval()

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        dtype: torch.dtype = torch.float32,
        **options: Any,
    ) -> CodecTokens:
        """The codec of a checkpoint.

        Args:
            path: Folder or hub id.
            revision: Commit, tag or branch, for a hub id.
            dtype: Precision of the weights.
            options: Arguments of the constructor, by name.

        Raises:
            LoadError: If there is no such checkpoint, it holds no such codec, its weights are not
                safetensors or not all there, or it needs code of its own.
        """
        from safetensors import SafetensorError
        from transformers import AutoConfig, AutoModel

        path = os.fspath(path)
        place = {"revision": revision, "trust_remote_code": False}
        try:
            config = AutoConfig.from_pretrained(path, **place)
            _checked_kind(config)
            model, report = AutoModel.from_pretrained(
                path,
                **place,
                config=config,
                use_safetensors=True,
                dtype=dtype,
                output_loading_info=True,
            )
        except (OSError, ValueError, SafetensorError) as error:
            raise LoadError(
                f"Could not load an audio codec with safetensors weights from {path}: "
                f"{str(error).strip().split(chr(10))[0]} Weights in other formats, and checkpoints "
                "that bring their own code, are not read."
            ) from None
        missing = sorted(report["missing_keys"])
        if missing:
            raise LoadError(
                f"{path} lacks weights of its codec: {', '.join(missing[:3])} and "
                f"{max(0, len(missing) - 3)} more. Get the files again."
            )
        return cls(model, **options)

    @classmethod
    def debug(cls, *, order: str = "frames") -> CodecTokens:
        """A tiny EnCodec with random weights: 3 codebooks of 16, 16 samples to a frame."""
        from transformers import EncodecConfig, EncodecModel

        config = EncodecConfig(
            target_bandwidths=[3.0],
            sampling_rate=4000,
            hidden_size=8,
            num_filters=4,
            upsampling_ratios=[4, 4],
            num_lstm_layers=1,
            codebook_size=16,
            codebook_dim=8,
        )
        model = EncodecModel(config)
        # Codes of what noise looks like, so that different sounds have different tokens.
        noise = torch.rand(1, 1, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
        with torch.no_grad():
            frames = model.encoder(noise)[0].T
        for i, layer in enumerate(model.quantizer.layers):
            layer.codebook.embed.copy_(frames - frames.mean(0) if i else frames)
        return cls(model, max_seconds=0.1, num_codebooks=3, order=order)

    @property
    def spec(self) -> Spec:
        return Spec(
            "audio",
            "tokens",
            ("L",),
            low=-1.0,
            high=1.0,
            vocabulary=self.vocabulary,
            units=f"{self.num_codebooks * self.sampling_rate / self.hop:g} tokens/s",
            max_length=self.num_codebooks * self.max_frames,
        )

    def train(self, mode: bool = True) -> CodecTokens:
        super().train(mode)
        self.model.eval()
        return self

    def is_one(self, value: Any) -> bool:
        return is_one(value)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        samples, lengths = load_batch(
            values, sampling_rate=self.sampling_rate, max_samples=self.max_frames * self.hop
        )
        samples = F.pad(samples, (0, -samples.shape[1] % self.hop))
        return {"samples": samples, "lengths": lengths}

    @torch.no_grad()
    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        weight = next(self.model.parameters())
        samples = tensors["samples"].to(weight.device, weight.dtype)
        num_frames = -(-tensors["lengths"].to(weight.device) // self.hop)
        longest = int(num_frames.max()) * self.num_codebooks
        z = torch.zeros(len(samples), longest, dtype=torch.long, device=weight.device)
        for count, rows in _by_length(num_frames):
            codes = self._codes(samples[rows, : count * self.hop])[:, : self.num_codebooks]
            if codes.shape[2] != count:
                raise SpecError(
                    f"This checkpoint gives {codes.shape[2]} frames for {count} x {self.hop} "
                    "samples. Its configuration does not fit its weights."
                )
            z[rows, : count * self.num_codebooks] = codes.flatten(1)[:, self._places(count)]
        return Latent(z, num_frames * self.num_codebooks)

    @torch.no_grad()
    def decode(self, latent: Latent) -> dict[str, Tensor]:
        z, k = latent.z, self.num_codebooks
        lengths = latent.lengths
        if lengths is None:
            lengths = torch.full((len(z),), z.shape[1], device=z.device)
        num_frames = lengths.to(z.device) // k
        samples = torch.zeros(len(z), int(num_frames.max()) * self.hop, device=z.device)
        for count, rows in _by_length(num_frames):
            if not count:
                continue
            codes = torch.empty(len(rows), k * count, dtype=torch.long, device=z.device)
            codes[:, self._places(count)] = z[rows, : k * count]
            x = self._waveform(codes.unflatten(1, (k, count)))[:, : count * self.hop]
            samples[rows, : x.shape[1]] = x.float().clamp(-1, 1)
        return {"samples": samples, "lengths": num_frames * self.hop}

    def present(self, tensors: Mapping[str, Tensor]) -> list[Audio]:
        lengths = tensors["lengths"].tolist()
        samples = tensors["samples"].cpu().numpy()
        return [
            Audio(x[None, :n].copy(), self.sampling_rate)
            for x, n in zip(samples, lengths, strict=True)
        ]

    def _codes(self, x_BN: Tensor) -> Tensor:
        """Waveforms (B, N) to codes (B, codebooks, T), of all codebooks."""
        x = x_BN[:, None]
        if self.kind == "encodec":
            # Residual codes: those of a lower bandwidth are the first ones of the highest.
            bandwidth = self.model.config.target_bandwidths[-1]
            return self.model.encode(x, bandwidth=bandwidth).audio_codes[0]
        return self.model.encode(x).audio_codes

    def _waveform(self, codes_BKT: Tensor) -> Tensor:
        """Codes (B, K, T) to waveforms (B, N)."""
        if self.kind == "encodec":
            return self.model.decode(codes_BKT[None], [None]).audio_values[:, 0]
        if self.kind == "dac":
            return self.model.decode(audio_codes=codes_BKT).audio_values
        return self.model.decode(codes_BKT).audio_values[:, 0]

    def _places(self, num_frames: int) -> Tensor:
        """For each token of the row, its place among codes (K, T) in row-major order."""
        k = torch.arange(self.num_codebooks)[:, None]
        t = torch.arange(num_frames)
        step = t + k if self.order == "delayed" else t.expand(len(k), -1)
        return (step * self.num_codebooks + k).flatten().argsort()


def _by_length(lengths: Tensor) -> list[tuple[int, Tensor]]:
    """Each length with the rows that have it."""
    return [(n, (lengths == n).nonzero().flatten()) for n in lengths.unique().tolist()]


def _checked_kind(config: Any) -> str:
    kind = getattr(config, "model_type", None)
    if kind not in KINDS:
        raise SpecError(f"Audio codecs that are read: {', '.join(KINDS)}; this is {kind!r}.")
    channels = getattr(config, "audio_channels", 1)
    if channels != 1:
        raise SpecError(f"Audio codecs of one channel are read; this one has {channels}.")
    if getattr(config, "normalize", False) or getattr(config, "chunk_length_s", None):
        raise SpecError(
            "This EnCodec keeps a loudness or a chunk beside its tokens, so they do not tell the "
            "sound. Use one without, such as the one for 24 kHz."
        )
    return kind
