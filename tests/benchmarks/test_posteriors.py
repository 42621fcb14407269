"""The benchmark of posteriors runs from end to end, on simulators that are what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]


def test_a_tiny_run_says_what_it_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.tasks.posteriors import TASKS, main

    g = torch.Generator().manual_seed(0)
    shapes = {"gaussian_linear": (10, 10), "gaussian_mixture": (2, 2), "slcp": (5, 8)}
    for name, (num_parameters, num_data) in (shapes | {"two_moons": (2, 2)}).items():
        theta = TASKS[name].prior(50, g)
        x = TASKS[name].simulate(theta, g)
        assert theta.shape == (50, num_parameters) and x.shape == (50, num_data)
        assert x.isfinite().all()
    folder = tmp_path / "sbi_reference_posteriors"
    folder.mkdir()
    reference = theta.numpy()[:20]
    observed = {"obs1_x": x.numpy()[:1], "obs1_theta": reference[:1], "obs1_posterior": reference}
    np.savez(folder / "two_moons.npz", **observed)
    monkeypatch.setenv("MMGEN_DATA", str(tmp_path))
    monkeypatch.setattr("benchmarks.tasks.posteriors.CALIBRATION", (5, 4))
    command = ["--tasks", "two_moons", "--size", "debug", "--simulations", "300"]
    main([*command, "--seconds", "0.2", "--count", "20", "--output", str(tmp_path)])
    record = json.loads((tmp_path / "posteriors.json").read_text("utf-8"))
    assert str(tmp_path) not in json.dumps(record)
    scores = record["scores"]["two_moons"]
    assert 0 <= scores["c2st"]["obs1"] <= 1 and scores["steps"] >= 1
