"""What is known of a value comes back unchanged, exactly, in every modality."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mmgen.core.nothing import Nothing
from mmgen.core.spec import ConditionSpec
from mmgen.families import masked
from mmgen.modalities.audio import Audio, MuLaw
from mmgen.modalities.video import Video
from mmgen.pipeline import Pipeline

RNG = np.random.default_rng(0)
WAVE = Audio((0.5 * np.sin(np.arange(24)))[None].astype(np.float32), 8000)
CASES: dict[str, tuple[str, Any, tuple[int, ...]]] = {
    "text": ("masked", "two green stars", (15,)),
    "molecules": ("masked", "CC(=O)O", (7,)),
    "image": ("diffusion", RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8), (16, 16)),
    "video": ("diffusion", Video(RNG.integers(0, 256, (4, 16, 16, 3), np.uint8), 8.0), (16, 16)),
    "actions": ("diffusion", RNG.normal(size=(4, 2)).astype(np.float32), (4, 2)),
    "properties": ("diffusion", {"mass": 3.0, "height": 1.5}, (2,)),
}


def _prepared(pipe: Pipeline, value: Any) -> dict[str, torch.Tensor]:
    return pipe.codec.prepare([value])


def _kept(pipe: Pipeline, value: Any, shape: tuple[int, ...], **options: Any) -> None:
    mask = torch.zeros(shape, dtype=torch.bool)
    mask.flatten()[::2] = True
    dist = pipe.given(known=value, mask=mask, **options)
    latent = pipe.codec.encode(_prepared(pipe, value))
    known = pipe.codec.latent_mask(latent, [mask])
    assert known.any() and not known.all()
    # Families of tokens pad to the greatest length.
    drawn = dist.conditional.sample(3).z[:, :, : latent.z.shape[1]]
    assert torch.equal(drawn[:, known], latent.z[known].expand(3, -1))
    # Where tokens are drawn at random, a decoded text need not be cut into the same ones again.
    if pipe.codec.spec.kind == "continuous":
        (name, tensor), *_ = _prepared(pipe, value).items()
        for sample in dist.sample(3, seed=0):
            again = _prepared(pipe, sample)[name]
            assert torch.equal(again[known], tensor[known])


@pytest.mark.parametrize("modality", CASES)
def test_known_entries_are_kept(modality: str) -> None:
    if modality == "molecules":
        pytest.importorskip("rdkit")
    family, value, shape = CASES[modality]
    torch.manual_seed(0)
    names = ["mass", "height"] if modality == "properties" else []
    pipe = Pipeline.compose(x=modality, family=family, size="debug", labels=names)
    other = {"mass": 1.0, "height": 4.0} if modality == "properties" else value
    pipe.fit_statistics([(None, value), (None, other)])
    _kept(pipe, value, shape, num_inference_steps=4)


def test_known_samples_of_a_wave_are_kept() -> None:
    torch.manual_seed(0)
    codec = MuLaw(8000, max_length=32)
    model = masked.model(codec.spec, ConditionSpec(), "debug")
    pipe = Pipeline(encoder=Nothing(), model=model, codec=codec)
    _kept(pipe, WAVE, (24,), num_inference_steps=4)
    mask = np.arange(24) % 2 == 0
    for sample in pipe.given(known=WAVE, mask=mask, num_inference_steps=4).sample(2, seed=0):
        again, tensor = (codec.prepare([v]) for v in (sample, WAVE))
        name = next(iter(tensor))
        assert torch.equal(again[name][0, :24][mask], tensor[name][0, :24][mask])
