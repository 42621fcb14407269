"""Actions, properties and labels in whole pipelines: fitted, saved, loaded, sampled alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmgen.core.errors import LoadError
from mmgen.pipeline import Pipeline

RNG = np.random.default_rng(0)
LABELS = {"label": ["calm", "wild"], "properties": ["mass [g]", "ratio"]}
OBSERVATIONS = [{"state": RNG.normal(3, 2, (2, 3))} for _ in range(4)]
CHUNKS = list(RNG.uniform(-2, 5, (4, 4, 2)).astype(np.float32))
ROWS = [{"mass": 100 + float(a), "ratio": float(b)} for a, b in RNG.normal(size=(4, 2))]
PAIRS = {
    ("actions", "actions"): (OBSERVATIONS, CHUNKS),
    ("actions", "properties"): ([*ROWS[:3], {"mass": 100.0}], CHUNKS),
    ("properties", "label"): (["calm", "wild", 1, None], ROWS),
}


@pytest.mark.parametrize(("x", "y"), PAIRS)
def test_from_pairs_to_samples_and_back(tmp_path: Path, x: str, y: str) -> None:
    conditions, values = PAIRS[x, y]
    torch.manual_seed(0)
    labels = {name: LABELS[name] for name in (x, y) if name in LABELS}
    pipe = Pipeline.compose(x=x, y=y, family="diffusion", size="debug", labels=labels)
    assert pipe.needs_statistics
    with pytest.raises(LoadError, match="Call fit"):
        pipe.loss(pipe.prepare(list(zip(conditions, values, strict=True))))
    pipe.fit_statistics(list(zip(conditions, values, strict=True)))
    assert not pipe.needs_statistics
    tensors = pipe.prepare(list(zip(conditions, values, strict=True)))
    assert pipe.loss(tensors, generator=torch.Generator().manual_seed(0)).isfinite().all()
    loaded = Pipeline.from_pretrained(pipe.save_pretrained(tmp_path / "p"))
    both = [p(conditions, seed=1, num_inference_steps=2) for p in (pipe, loaded)]
    for one, other in zip(*both, strict=True):
        np.testing.assert_equal(one, other)
    first = pipe(conditions[0], seed=1, num_inference_steps=2)
    if x == "actions":
        assert first.shape == (4, 2) and first.dtype == np.float32
        assert np.allclose(first, both[0][0], atol=1e-4)
    else:
        assert list(first) == ["mass", "ratio"]


def test_statistics_that_are_not_finite_are_not_loaded(tmp_path: Path) -> None:
    pipe = Pipeline.compose(x="actions", y="actions", family="diffusion", size="debug")
    pipe.save_pretrained(tmp_path / "p")
    with pytest.raises(LoadError, match="not finite numbers"):
        Pipeline.from_pretrained(tmp_path / "p")
