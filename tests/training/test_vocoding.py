"""A vocoder by the loop, and a codec that speaks with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmgen import hub
from mmgen.core.errors import LoadError
from mmgen.core.nothing import Nothing
from mmgen.families import diffusion
from mmgen.guidance.lengths import LengthModel
from mmgen.modalities.audio import Audio, LogMel, MelSpec
from mmgen.nn.discriminator import SpectralDiscriminator
from mmgen.nn.vocoder import Vocoder
from mmgen.pipeline import Pipeline
from mmgen.training import Vocoding, fit

SETTINGS = {"batch_size": 4, "warmup": 5, "log_every": 10, "precision": "no", "progress": False}
PAIRS = ((0.1, 300), (0.2, 500), (0.3, 700), (0.2, 900))


def _tone(seconds: float, hertz: float) -> Audio:
    time = np.arange(int(seconds * 8000)) / 8000
    return Audio(0.4 * np.sin(2 * np.pi * hertz * time)[None].astype(np.float32), 8000)


def test_a_vocoder_is_trained_by_the_loop_and_used_by_a_codec(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vocoder = Vocoder.debug()
    pairs = [(None, _tone(s, f)) for s, f in PAIRS]
    task = Vocoding(vocoder, seconds=0.15)
    tensors = task.prepare(pairs)
    before = task.loss(tensors, generator=torch.Generator().manual_seed(0)).detach()
    assert before.shape == (4,) and before.isfinite().all()
    fit(task, pairs, output=tmp_path / "v", steps=40, learning_rate=1e-2, **SETTINGS)
    after = task.loss(tensors, generator=torch.Generator().manual_seed(0)).detach()
    assert after.mean() < 0.7 * before.mean()
    codec = LogMel(vocoder.mel, max_length=32, vocoder=vocoder.eval())
    codec.fit([x for _, x in pairs])
    sound = codec.present(codec.decode(codec.encode(codec.prepare([pairs[1][1]]))))[0]
    assert sound.samples.shape == (1, 13 * 128) and sound.sampling_rate == 8000


def test_pieces_lie_within_their_sounds_and_follow_the_generator() -> None:
    task = Vocoding(Vocoder.debug(), seconds=0.05)
    seen = []
    task.vocoder.loss = lambda x, generator: seen.append(x) or x.sum(1)
    ramp = np.arange(1, 1001, dtype=np.float32) / 1000
    pairs = [(None, (ramp, 8000)), (None, (ramp[:401], 8000)), (None, (ramp[:100], 8000))]
    tensors = task.prepare(pairs)
    for seed in range(40):
        task.loss(tensors, generator=torch.Generator().manual_seed(seed))
    task.loss(tensors, generator=torch.Generator().manual_seed(39))
    assert torch.equal(seen[-1], seen[-2])
    pieces = torch.stack(seen)
    assert pieces.shape == (41, 3, 400)
    steps = pieces[:, :2].diff(dim=-1)
    assert (steps - 1e-3).abs().max() < 1e-5
    assert pieces[:, 0, 0].unique().numel() > 20
    assert set((pieces[:, 1, 0] * 1000).round().int().tolist()) == {1, 2}
    assert torch.equal(
        pieces[0, 2], torch.nn.functional.pad(torch.from_numpy(ramp[:100]), (0, 300))
    )


def test_sounds_that_are_too_long_are_refused() -> None:
    task = Vocoding(Vocoder.debug(), max_seconds=0.05)
    with pytest.raises(ValueError, match=r"1 to 400 \(0.05 s\), got 800"):
        task.prepare([(None, _tone(0.1, 300))])


# With a discriminator ------------------------------------------------------------------------


def _adversarial(seed: int = 0) -> Vocoding:
    torch.manual_seed(seed)
    return Vocoding(Vocoder.debug(), discriminator=SpectralDiscriminator.debug(), seconds=0.15)


def _weights(task: Vocoding) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in task.parts.state_dict().items()}


def test_each_phase_changes_its_own_part(tmp_path: Path) -> None:
    pairs = [(None, _tone(s, f)) for s, f in PAIRS]
    task = _adversarial()
    own = {phase: {id(p) for p in task.phase_parameters(phase)} for phase in task.phases}
    assert not own["vocoder"] & own["discriminator"]
    assert own["vocoder"] | own["discriminator"] == {id(p) for p in task.parts.parameters()}
    before = _weights(task)
    # The first step of all is the discriminator's, the second the vocoder's.
    settings = SETTINGS | {"warmup": 0, "ema": 0.0}
    fit(task, pairs, output=tmp_path / "one", steps=1, **settings)
    changed = {k.split(".")[0] for k, v in _weights(task).items() if not torch.equal(v, before[k])}
    assert changed == {"discriminator"}
    task = _adversarial()
    fit(task, pairs, output=tmp_path / "two", steps=2, **settings)
    changed = {k.split(".")[0] for k, v in _weights(task).items() if not torch.equal(v, before[k])}
    assert changed == {"discriminator", "vocoder"}


def test_the_phases_have_losses_of_their_own_and_reach_the_vocoder() -> None:
    task = _adversarial()
    tensors = task.prepare([(None, _tone(s, f)) for s, f in PAIRS])
    losses = {}
    for phase in (None, *task.phases):
        task.parts.zero_grad()
        g = torch.Generator().manual_seed(0)
        loss = task.loss(tensors, generator=g, phase=phase)
        assert loss.shape == (4,) and loss.isfinite().all()
        loss.sum().backward()
        reached = [p.grad is not None and bool(p.grad.any()) for p in task.vocoder.parameters()]
        assert not any(reached) if phase == "discriminator" else all(reached)
        losses[phase] = loss.detach()
    assert (losses["vocoder"] > losses[None]).all()
    with pytest.raises(ValueError, match="discriminator, vocoder; got 'critic'"):
        task.loss(tensors, phase="critic")
    with pytest.raises(ValueError, match="phase is one of none; got 'vocoder'"):
        Vocoding(Vocoder.debug()).loss(tensors, phase="vocoder")


def test_alternating_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    pairs = [(None, _tone(s, f)) for s, f in PAIRS]
    settings = SETTINGS | {"checkpoint_every": 3, "steps": 6}
    whole = fit(_adversarial(), pairs, output=tmp_path / "whole", **settings)
    stopping = _adversarial()
    prepare, calls = stopping.prepare, []

    def stop(rows: list) -> dict:
        calls.append(rows)
        if len(calls) > 4:
            raise KeyboardInterrupt
        return prepare(rows)

    stopping.prepare = stop
    with pytest.raises(KeyboardInterrupt):
        fit(stopping, pairs, output=tmp_path / "parts", **settings)
    resumed = fit(_adversarial(seed=1), pairs, output=tmp_path / "parts", **settings)
    assert all(torch.equal(v, _weights(resumed)[k]) for k, v in _weights(whole).items())


# In a pipeline -------------------------------------------------------------------------------


def _pipe(seed: int) -> Pipeline:
    torch.manual_seed(seed)
    codec = LogMel(MelSpec.debug(), max_length=32, vocoder=Vocoder.debug())
    nothing = Nothing()
    model = LengthModel(diffusion.model(codec.spec, nothing.spec, "debug"))
    return Pipeline(encoder=nothing, model=model, codec=codec)


def test_a_vocoder_is_saved_and_loaded_with_its_pipeline(tmp_path: Path) -> None:
    pipe, other = _pipe(0), _pipe(1)
    pipe.fit_statistics([(None, _tone(0.3, 400)), (None, _tone(0.2, 600))])
    folder = hub.write_folder(tmp_path / "p", pipe.parts, recipe="by-hand", choices={}, card=None)
    before = other.codec.vocoder.head.weight.clone()
    hub.fill_parts(other.parts, hub.read_folder(folder))
    assert not torch.equal(before, other.codec.vocoder.head.weight)
    both = [p(seed=3, num_inference_steps=2) for p in (pipe, other)]
    np.testing.assert_array_equal(both[0].samples, both[1].samples)
    assert both[0].samples.shape[1] % 128 == 0 and both[0].sampling_rate == 8000
    shallow = _pipe(2)
    shallow.codec.vocoder.blocks = shallow.codec.vocoder.blocks[:1]
    with pytest.raises(LoadError):
        hub.fill_parts(shallow.parts, hub.read_folder(folder))


def test_vocoding_trains_what_a_codec_holds_frozen() -> None:
    codec = _pipe(0).codec
    assert not any(p.requires_grad for p in codec.vocoder.parameters())
    assert all(p.requires_grad for p in Vocoding(codec.vocoder).parts.parameters())
