"""An autoencoder by the same loop, and a pipeline on its latents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mmgen.core.nothing import Nothing
from mmgen.families import diffusion
from mmgen.modalities.image import Latents
from mmgen.nn.autoencoder import Autoencoder
from mmgen.pipeline import Pipeline
from mmgen.training import Autoencoding, fit

SETTINGS = {"batch_size": 8, "warmup": 5, "log_every": 10, "precision": "no", "progress": False}


def test_an_autoencoder_then_diffusion_on_its_latents(tmp_path: Path) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(16):
        image = np.full((16, 16, 3), 240, np.uint8)
        x, y = rng.integers(0, 8, 2)
        image[y : y + 8, x : x + 8] = rng.integers(0, 255, 3)
        pairs.append((None, image))
    trained = fit(
        Autoencoding(Autoencoder.debug(), size=16),
        pairs,
        output=tmp_path / "a",
        steps=120,
        learning_rate=3e-3,
        **SETTINGS,
    )
    codec = Latents(trained.autoencoder.eval(), size=16)
    pixels = codec.prepare([x for _, x in pairs])
    codec.fit([x for _, x in pairs])
    again = codec.decode(codec.encode(pixels))["pixels"]
    error = (again.float() - pixels["pixels"]).abs().mean()
    spread = (pixels["pixels"].float() - pixels["pixels"].float().mean()).abs().mean()
    assert error < 0.5 * spread
    nothing = Nothing()
    model = diffusion.model(codec.spec, nothing.spec, "debug")
    pipe = Pipeline(encoder=nothing, model=model, codec=codec)
    frozen = [p.clone() for p in codec.autoencoder.parameters()]
    fit(pipe, pairs, output=tmp_path / "b", steps=3, **SETTINGS)
    assert all(
        torch.equal(a, b) for a, b in zip(frozen, codec.autoencoder.parameters(), strict=True)
    )
    assert pipe(seed=0).size == (16, 16)
