"""What VITS checkpoints learn by; the library has their networks and no training of them.

Of a text with L tokens and its sound with T frames, the posterior encoder draws z from
q(z | sound), the flow takes it to f(z), and the text encoder says for each token the mean and the
deviation of the normal distribution that the f(z) of its frames come from. Which frames are a
token's is the monotonic alignment with the greatest likelihood. Then

    L = 45 |mel(x) - mel(y)| + KL(q(z | sound) | p(z | text, alignment)) - log p(durations | text)

where y is what the decoder makes of a piece of z and x the same piece of the sound. A discriminator
of our own, since no checkpoint holds one, learns in turn to tell x from y, and L grows by what it
tells.

Shape letters: B batch, L tokens, T frames, D features, N samples, K frequencies.

Source: Conditional Variational Autoencoder with Adversarial Learning for End-to-End Text-to-Speech
(Kim et al., 2021), Sec. 2, Eqs. 1 to 10, arXiv:2106.06103. Its discriminators look at periods of
waveforms; here one looks at spectra of three sizes, at a share of the cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from mmgen.core.latent import Latent
from mmgen.nn.alignment import monotonic_durations, spread
from mmgen.nn.discriminator import SpectralDiscriminator
from mmgen.nn.mel import MelSpec, MelTransform

__all__ = ["VitsLearning"]

_MEL_WEIGHT = 45.0
_PIECE = 32
_MOST_BANDS = 80
_LEAST_POWER = 1e-6


@dataclass(frozen=True)
class _Found:
    """What a step finds of a batch: the loss that needs no discriminator (B,), and a piece of each
    sound and of its copy (B, N)."""

    error: Tensor
    x: Tensor
    copy: Tensor


class VitsLearning(nn.Module):
    """The losses of a VITS model, and the discriminator that they need.

    Args:
        model: A `VitsModel`. It is no part of this, but of what holds this.
        reader: Its tokenizer.
    """

    phases = ("discriminator", "generator")

    def __init__(self, model: nn.Module, reader: Any) -> None:
        super().__init__()
        self._whole, self.reader = [model], reader
        config = model.config
        self.fft, self.hop = 2 * (config.spectrogram_bins - 1), math.prod(config.upsample_rates)
        # The same each time, and without a draw from the generator of who loads a checkpoint.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.discriminator = SpectralDiscriminator((self.fft // 2, self.fft, 2 * self.fft))
        rate = config.sampling_rate
        bands = min(_MOST_BANDS, config.spectrogram_bins // 4)
        sizes = {"fft": self.fft, "hop": self.hop, "window": self.fft, "num_mels": bands}
        self.mel = MelTransform(MelSpec(rate, **sizes, fmin=0.0, fmax=rate / 2))

    def phase_parameters(self, phase: str) -> Iterable[nn.Parameter]:
        """Those of the discriminator, or of the model."""
        own = self.discriminator if phase == "discriminator" else self._whole[0]
        return own.parameters()

    def loss(self, latent: Latent, texts: Sequence[str], *, phase: str | None) -> Tensor:
        """Loss of each pair (B,). It draws from torch's global generator, as the library does.

        Args:
            latent: Sounds (B, N, 1) and their lengths.
            texts: What is said in each.
            phase: One of `phases`; None for what the model learns without the discriminator.

        Raises:
            ValueError: If there is no such phase, or a sound is too short for its text.
        """
        if phase not in (None, *self.phases):
            raise ValueError(f"phase is one of {', '.join(self.phases)}; got {phase!r}.")
        if phase == "discriminator":
            with torch.no_grad():
                found = self._found(latent, texts)
            return self.discriminator.distinction(found.x, found.copy)
        found = self._found(latent, texts)
        if phase is None:
            return found.error
        return found.error + self.discriminator.deception(found.x, found.copy)

    def _found(self, latent: Latent, texts: Sequence[str]) -> _Found:
        model, z = self._whole[0], latent.z
        ids_BL, tokens_BL = self._ids(texts)
        frames_B = latent.lengths.to(z.device) // self.hop
        _require_room(texts, tokens_BL.sum(1), frames_B, self.hop / model.config.sampling_rate)
        x_BN = z[:, : int(frames_B.max()) * self.hop, 0].float()
        spectra_BKT = self._spectra(x_BN)
        there_B1T = (
            torch.arange(spectra_BKT.shape[2], device=z.device) < frames_B[:, None]
        ).float()[:, None]
        drawn_BDT, mean_BDT, log_BDT = model.posterior_encoder(spectra_BKT, there_B1T)
        flowed_BDT = model.flow(drawn_BDT, there_B1T)
        with _no_skipped_layers(model):
            text = model.text_encoder(
                ids_BL, tokens_BL[..., None].float(), attention_mask=tokens_BL
            )
        durations_BL = monotonic_durations(
            _scores(flowed_BDT, text.prior_means, text.prior_log_variances),
            tokens_BL.sum(1),
            frames_B,
        )
        prior = torch.cat((text.prior_means, text.prior_log_variances), dim=2)
        spread_BTD = spread(prior, durations_BL, spectra_BKT.shape[2])[0]
        own_BDT, deviation_BDT = spread_BTD.mT.chunk(2, dim=1)
        # Eq. 4; "log variances" of the library are logarithms of deviations.
        kl = deviation_BDT - log_BDT - 0.5
        kl = kl + 0.5 * (flowed_BDT - own_BDT).square() * (-2 * deviation_BDT).exp()
        kl_B = (kl * there_B1T).sum((1, 2)) / frames_B
        x_BN, copy_BN = self._pieces(x_BN, drawn_BDT, frames_B)
        apart = (self.mel(copy_BN) - self.mel(x_BN)).abs().flatten(1).mean(1)
        lasting_B = self._lasting(text.last_hidden_state.mT, tokens_BL, durations_BL)
        return _Found(_MEL_WEIGHT * apart + kl_B + lasting_B, x_BN, copy_BN)

    def _lasting(self, hidden_BDL: Tensor, tokens_BL: Tensor, durations_BL: Tensor) -> Tensor:
        """Loss of the durations of each token, (B,)."""
        model, tokens_B1L = self._whole[0], tokens_BL[:, None].float()
        wanted_B1L = durations_BL[:, None].float()
        if model.config.use_stochastic_duration_prediction:
            nats_B = model.duration_predictor(hidden_BDL, tokens_B1L, durations=wanted_B1L)
            return nats_B / tokens_BL.sum(1)
        logs_B1L = model.duration_predictor(hidden_BDL, tokens_B1L)
        apart = (logs_B1L - (wanted_B1L + 1e-6).log()).square() * tokens_B1L
        return apart.sum((1, 2)) / tokens_BL.sum(1)

    def _ids(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids (B, L), and which of them are those of the text."""
        rows = [self.reader(text=text, return_tensors="pt")["input_ids"][0] for text in texts]
        for text, row in zip(texts, rows, strict=True):
            if not len(row):
                raise ValueError(f"The tokenizer knows nothing of {text[:40]!r}. Leave it out.")
        device = next(self._whole[0].parameters()).device
        there = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        ids = pad_sequence(rows, batch_first=True, padding_value=self.reader.pad_token_id)
        return ids.to(device), there.to(device)

    def _spectra(self, x_BN: Tensor) -> Tensor:
        """Magnitudes (B, K, T), as the checkpoints' posterior encoders were trained to read."""
        edge = (self.fft - self.hop) // 2
        mode = "reflect" if edge < x_BN.shape[1] else "constant"
        x = F.pad(x_BN[:, None], (edge, edge), mode=mode)[:, 0]
        window = torch.hann_window(self.fft, device=x.device)
        own = {"hop_length": self.hop, "window": window, "center": False, "return_complex": True}
        spectrum = torch.stft(x, self.fft, **own)
        return (spectrum.real.square() + spectrum.imag.square() + _LEAST_POWER).sqrt()

    def _pieces(self, x_BN: Tensor, z_BDT: Tensor, frames_B: Tensor) -> tuple[Tensor, Tensor]:
        """A piece of each sound, and what the decoder makes of its z, both (B, N)."""
        count = min(_PIECE, int(frames_B.min()))
        draws = torch.rand(len(x_BN)).to(z_BDT.device)
        first_B1 = (draws * (frames_B - count + 1)).long()[:, None]
        places = first_B1 + torch.arange(count, device=z_BDT.device)
        piece = z_BDT.gather(2, places[:, None].expand(-1, z_BDT.shape[1], -1))
        samples = first_B1 * self.hop + torch.arange(count * self.hop, device=z_BDT.device)
        return x_BN.gather(1, samples), self._whole[0].decoder(piece)[:, 0].float()


def _scores(z_BDT: Tensor, mean_BLD: Tensor, log_BLD: Tensor) -> Tensor:
    """Log-density of the z of each frame under each token, (B, L, T), but for a constant."""
    z, mean, log = z_BDT.detach(), mean_BLD.detach(), log_BLD.detach()
    precision = (-2 * log).exp()
    constant = -log.sum(2) - 0.5 * (mean.square() * precision).sum(2)
    return constant[..., None] + (mean * precision) @ z - 0.5 * precision @ z.square()


def _require_room(texts: Sequence[str], tokens_B: Tensor, frames_B: Tensor, seconds: float) -> None:
    for text, tokens, frames in zip(texts, tokens_B.tolist(), frames_B.tolist(), strict=True):
        if frames < tokens:
            raise ValueError(
                f"The sound of {text[:40]!r} has {frames} frames of {1000 * seconds:g} ms, and the "
                f"text {tokens:g} tokens, each of which takes one. Leave the pair out, or check "
                "that they belong together."
            )


@contextmanager
def _no_skipped_layers(model: nn.Module) -> Iterator[None]:
    """Without the library's skipping of layers, which draws from NumPy's global generator, so that
    no run could be repeated, and which VITS was not trained with."""
    encoder = model.text_encoder.encoder
    before, encoder.layerdrop = encoder.layerdrop, 0.0
    try:
        yield
    finally:
        encoder.layerdrop = before
