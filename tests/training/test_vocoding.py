"""A vocoder by the loop, and a codec that speaks with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmgen.modalities.audio import Audio, LogMel
from mmgen.nn.vocoder import Vocoder
from mmgen.training import Vocoding, fit


def _tone(seconds: float, hertz: float) -> Audio:
    time = np.arange(int(seconds * 8000)) / 8000
    return Audio(0.4 * np.sin(2 * np.pi * hertz * time)[None].astype(np.float32), 8000)


def test_a_vocoder_is_trained_by_the_loop_and_used_by_a_codec(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vocoder = Vocoder.debug()
    pairs = [(None, _tone(s, f)) for s, f in ((0.1, 300), (0.2, 500), (0.3, 700), (0.2, 900))]
    task = Vocoding(vocoder, seconds=0.15)
    tensors = task.prepare(pairs)
    before = task.loss(tensors, generator=torch.Generator().manual_seed(0)).detach()
    assert before.shape == (4,) and before.isfinite().all()
    fit(
        task,
        pairs,
        output=tmp_path / "v",
        steps=40,
        learning_rate=2e-3,
        batch_size=4,
        warmup=5,
        log_every=10,
        precision="no",
        progress=False,
    )
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
