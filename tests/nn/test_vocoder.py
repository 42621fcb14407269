"""The vocoder and its discriminator: lengths, precision, refusals, and a sound learnt by heart."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mmgen.core.errors import SpecError
from mmgen.evaluation.spectra import log_spectral_distance, mel_distance
from mmgen.modalities.audio import GriffinLim
from mmgen.nn.discriminator import SpectralDiscriminator
from mmgen.nn.mel import MelSpec
from mmgen.nn.spectrum import LEAST_POWER, magnitudes
from mmgen.nn.vocoder import Vocoder


@pytest.fixture
def vocoder() -> Vocoder:
    """A tiny one at a generic point."""
    torch.manual_seed(0)
    module = Vocoder.debug()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module.eval()


def _chord(seconds: float = 0.6, rate: int = 8000) -> Tensor:
    """Twelve overtones of a falling pitch, fading (1, N)."""
    time = torch.arange(int(seconds * rate)) / rate
    phase = 2 * torch.pi * (180 * time - 40 * time**2)
    x = sum(torch.sin(k * phase + k) / k for k in range(1, 13))
    return (0.25 * x * torch.exp(-2 * time))[None]


@pytest.mark.parametrize("length", [1, 2, 13, 50])
def test_every_length_is_decoded_to_its_hops(vocoder: Vocoder, length: int) -> None:
    frames = torch.randn(2, length, 16)
    x = vocoder.decode(frames)
    assert x.shape == (2, length * 128) and x.isfinite().all()
    for one, alone in zip(x, frames, strict=True):
        # Of noise as frames, sounds reach far beyond 1.
        assert (vocoder.decode(alone[None])[0] - one).abs().max() < 1e-6 * one.abs().max() + 1e-5
    # No weight knows of a length.
    assert not any(length in p.shape for p in vocoder.parameters() if length == 50)


def test_what_is_far_away_is_not_heard(vocoder: Vocoder) -> None:
    # Three convolutions of seven frames, and for each turn two windows of two hops.
    frames = torch.randn(1, 40, 16)
    other = frames.clone()
    other[:, 30:] += 1
    apart = (vocoder.decode(frames) - vocoder.decode(other))[0].abs().unflatten(0, (40, 128))
    assert apart[:14].max() == 0
    assert apart[30:].amax(1).min() > 0


def test_an_odd_transform_and_no_phase_put_the_pulse_into_the_middle() -> None:
    for fft, hop in ((256, 128), (255, 127)):
        mel = MelSpec(8000, fft=fft, hop=hop, window=fft, num_mels=16, fmin=0.0, fmax=4000.0)
        vocoder = Vocoder(mel, dim=8, depth=1, turns=0)
        torch.nn.init.zeros_(vocoder.head.weight)
        x = vocoder.decode(torch.full((1, 9, 16), -2.0))[0].detach().abs()
        places = x[3 * hop : 4 * hop].argmax()
        assert abs(int(places) - hop // 2) <= 1


def test_turns_bring_spectra_nearer_to_those_of_a_waveform() -> None:
    torch.manual_seed(0)
    frames = torch.randn(1, 20, 16) - 2
    apart = []
    for turns in (0, 1, 2, 8):
        torch.manual_seed(1)
        vocoder = Vocoder(MelSpec.debug(), dim=8, depth=1, turns=turns).requires_grad_(False)
        torch.nn.init.zeros_(vocoder.head.weight)
        torch.nn.init.uniform_(vocoder.head.bias[129:], 0, 6.28)
        told = vocoder.transform.magnitude(frames)
        apart.append(
            float((vocoder.transform.spectrum(vocoder.decode(frames)).abs() - told).norm())
        )
    assert apart == sorted(apart, reverse=True) and apart[-1] < 0.7 * apart[0]


def test_precision_below_does_not_reach_phases_and_sounds(vocoder: Vocoder) -> None:
    x = _chord()
    exact = vocoder.decode(vocoder.encode(x))
    with torch.autocast("cpu", torch.bfloat16):
        frames = vocoder.encode(x)
        rough = vocoder.decode(frames)
    assert frames.dtype == rough.dtype == torch.float32
    assert (frames - vocoder.encode(x)).abs().max() < 1e-5
    assert (rough - exact).norm() < 0.03 * exact.norm()


@pytest.mark.parametrize("shape", [(2, 5, 15), (5, 16), (1, 16, 5)])
def test_other_frames_are_refused(vocoder: Vocoder, shape: tuple[int, ...]) -> None:
    with pytest.raises(SpecError, match=r"frames \(B, T, 16\), got \(" + f"{shape[0]}, {shape[1]}"):
        vocoder.decode(torch.zeros(shape))


def test_a_sound_itself_has_no_error(vocoder: Vocoder) -> None:
    x = torch.cat([_chord(), torch.zeros_like(_chord())])
    assert vocoder.error(x, x.clone()).abs().max() < 1e-6
    quieter = vocoder.error(x, 0.9 * x)
    # Mels, and both terms of a spectrum, see a gain of 0.9; silence stays silence.
    assert 0.1 < float(quieter[0]) < 2 * abs(math.log(0.9)) + 0.1 + 1e-3 and quieter[1] == 0


def test_a_sound_learnt_by_heart_beats_griffin_lim() -> None:
    torch.manual_seed(0)
    mel = MelSpec(8000, fft=256, hop=128, window=256, num_mels=32, fmin=0.0, fmax=4000.0)
    x = _chord(0.3)
    x = x + 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    vocoder = Vocoder(mel, dim=64, depth=3)
    optimizer = torch.optim.Adam(vocoder.parameters())
    steps = 160
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / steps)
        loss = vocoder.loss(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        ours = vocoder(x)
        theirs = GriffinLim(mel).decode(vocoder.encode(x))[:, : x.shape[1]]
    for distance in (
        lambda y: float(log_spectral_distance(x, y, fft=512, hop=128)),
        lambda y: float(mel_distance(x, y, sampling_rate=8000)),
    ):
        assert distance(ours) < 0.75 * distance(theirs)


# The discriminator ---------------------------------------------------------------------------


def test_spectra_have_the_size_of_noise_at_every_size_and_a_floor() -> None:
    x = torch.randn(2, 4001, generator=torch.Generator().manual_seed(0))
    for size in (64, 256, 512):
        s = magnitudes(x, size)
        assert s.shape == (2, size // 2 + 1, -(-4001 // (size // 4)) + 1)
        # Power of a Hann window: three eighths.
        assert abs(float(s.square()[:, 4:-4, 4:-4].mean()) - 0.375) < 0.03
    silent = magnitudes(torch.zeros(1, 500, requires_grad=True), 64)
    assert torch.allclose(silent, torch.tensor(LEAST_POWER).sqrt())


def test_a_discriminator_learns_to_tell_and_its_copies_to_deceive() -> None:
    torch.manual_seed(0)
    discriminator = SpectralDiscriminator.debug()
    x = _chord(0.3)
    copy = x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    before = float(discriminator.distinction(x, copy).detach())
    assert abs(before - 2) < 0.3
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-2)
    for _ in range(25):
        optimizer.zero_grad()
        discriminator.distinction(x, copy).sum().backward()
        optimizer.step()
    assert float(discriminator.distinction(x, copy).detach()) < 0.5 * before
    assert (discriminator(x) > discriminator(copy)).all()
    # Nothing is left to deceive about the sound itself but its logits.
    only_logits = float(discriminator.deception(x, x).detach())
    assert float(discriminator.deception(x, copy).detach()) > only_logits + 0.5
    made = copy.clone().requires_grad_()
    (slope,) = torch.autograd.grad(discriminator.deception(x, made).sum(), made)
    assert slope.isfinite().all() and slope.abs().max() > 0
    better = discriminator.deception(x, copy - 1e-3 * slope / slope.abs().max())
    assert float(better.detach()) < float(discriminator.deception(x, copy).detach())


def test_a_silent_sound_has_finite_gradients() -> None:
    discriminator = SpectralDiscriminator.debug()
    made = torch.zeros(2, 300, requires_grad=True)
    discriminator.deception(torch.zeros(2, 300), made).sum().backward()
    discriminator.distinction(torch.zeros(2, 300), made.detach()).sum().backward()
    assert made.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in discriminator.parameters())
