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
    from benchmarks.simulators import TASKS
    from benchmarks.tasks.posteriors import main

    g = torch.Generator().manual_seed(0)
    theta = TASKS["two_moons"].prior(20, g)
    x = TASKS["two_moons"].simulate(theta, g)
    folder = tmp_path / "sbi_reference_posteriors"
    folder.mkdir()
    reference = theta.numpy()
    observed = {"obs1_x": x.numpy()[:1], "obs1_theta": reference[:1], "obs1_posterior": reference}
    np.savez(folder / "two_moons.npz", **observed)
    monkeypatch.setenv("MMGEN_DATA", str(tmp_path))
    monkeypatch.setattr("benchmarks.tasks.posteriors.CALIBRATION", (5, 4))
    command = ["--tasks", "two_moons", "--size", "debug", "--simulations", "300"]
    main([*command, "--seconds", "0.2", "--count", "20", "--output", str(tmp_path)])
    record = json.loads((tmp_path / "posteriors.json").read_text("utf-8"))
    assert str(tmp_path) not in json.dumps(record)
    for family in ("normalizing_flow", "diffusion"):
        scores = record["scores"][family]["two_moons"]
        assert 0 <= scores["c2st"]["obs1"] <= 1 and scores["steps"] >= 1


SIZES = {
    "gaussian_linear": (10, 10),
    "gaussian_mixture": (2, 2),
    "two_moons": (2, 2),
    "slcp": (5, 8),
    "bernoulli_glm": (10, 10),
    "sir": (2, 10),
    "lotka_volterra": (4, 20),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_simulator_keeps_to_its_prior(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.simulators import TASKS

    task, g = TASKS[name], torch.Generator().manual_seed(0)
    theta = task.prior(50, g)
    x = task.read(task.simulate(theta, g))
    assert (theta.shape[1], x.shape[1]) == SIZES[name] and len(theta) == len(x) == 50
    assert x.isfinite().all() and x.std(0).max() > 0
    assert task.reach is None or theta.abs().max() <= task.reach
    assert not task.positive or theta.min() > 0


def test_predators_and_prey_keep_their_invariant(monkeypatch: pytest.MonkeyPatch) -> None:
    """V = delta x - gamma log x + beta y - alpha log y, up to the error of reading."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.simulators import TASKS

    theta = torch.tensor([[0.9, 0.05, 0.9, 0.05]]).expand(4000, 4)
    x = TASKS["lotka_volterra"].simulate(theta, torch.Generator().manual_seed(0))
    prey, predators = x.log().mean(0).exp().unflatten(0, (2, 10))
    invariant = 0.05 * prey - 0.9 * prey.log() + 0.05 * predators - 0.9 * predators.log()
    torch.testing.assert_close(invariant, invariant[0].expand(10), atol=0.02, rtol=0)
