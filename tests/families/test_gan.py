"""Adversarial models: phases that leave each other alone, penalties, known laws, resuming."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.latent import Latent
from mmgen.core.spec import ConditionSpec
from mmgen.families.gan import GenerativeAdversarial
from mmgen.pipeline import Pipeline
from mmgen.training import fit
from mmgen.training.pairs import Pairs

if TYPE_CHECKING:
    from conftest import Law

VECTOR = ConditionSpec(None, 2)


def _batch(count: int = 8) -> tuple[Latent, Condition]:
    vector = torch.randn(count, 2, requires_grad=True)
    return Latent(torch.randn(count, 2)), Condition(count, vector=vector)


def test_each_phase_owns_its_parameters() -> None:
    model = GenerativeAdversarial.debug(condition=VECTOR)
    shares = [{id(p) for p in model.phase_parameters(phase)} for phase in model.phases]
    assert not shares[0] & shares[1]
    assert shares[0] | shares[1] == {id(p) for p in model.parameters()}
    latent, c = _batch()
    model.loss(latent, c, phase="discriminator").sum().backward()
    assert all(p.grad is None for p in model.phase_parameters("generator"))
    assert c.vector.grad is None
    model.loss(latent, c, phase="generator").sum().backward()
    assert all(p.grad is not None for p in model.phase_parameters("generator"))
    assert c.vector.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="one of discriminator, generator; got 'critic'"):
        model.loss(latent, c, phase="critic")


def test_the_loss_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    model = GenerativeAdversarial.debug(condition=VECTOR)
    latent, c = _batch()
    noise = torch.randn(2, 8, 2, generator=torch.Generator().manual_seed(0))
    real = latent.z.clone().requires_grad_()
    fake = model.generate(noise.unbind(0), c).detach().requires_grad_()
    on_real, on_fake = (model.discriminator(z, c)[:, 0] for z in (real, fake))
    slopes = torch.autograd.grad((on_real.sum() + on_fake.sum()), (real, fake))
    penalty = sum(slope.square().sum(1) for slope in slopes)
    expected = F.softplus(on_fake - on_real) + model.gamma / 2 * penalty
    loss = model.loss(latent, c, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(loss, expected, atol=1e-5)
    loss = model.loss(latent, c, generator=torch.Generator().manual_seed(0), phase="generator")
    assert torch.allclose(loss, F.softplus(on_real - on_fake), atol=1e-5)
    with torch.no_grad():
        quiet = model.loss(latent, c, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(quiet, expected, atol=1e-5)


def test_it_learns_two_moons(moons: Law) -> None:
    model = GenerativeAdversarial(moons.spec, condition=moons.condition, dim=48, depth=2)
    assert moons.accuracy(moons.fit(model, steps=300, rate=2e-3)) < 0.72


def test_it_learns_a_linear_law(linear: Law) -> None:
    model = GenerativeAdversarial(linear.spec, condition=linear.condition, dim=48, depth=1)
    assert linear.accuracy(linear.fit(model, steps=400, rate=4e-3)) < 0.7


class _Stop(Exception):
    pass


class _Squares(Pairs):
    """Squares and their captions, until so many have been drawn."""

    def __init__(self, draws: int = 10**9) -> None:
        self._left = draws

    def __len__(self) -> int:
        return 6

    def pair(self, index: int, rng: np.random.Generator) -> tuple[str, np.ndarray]:
        self._left -= 1
        if self._left < 0:
            raise _Stop
        image = np.full((16, 16, 3), 250, np.uint8)
        image[index : index + 8, 4:12] = ((220, 30, 30), (30, 180, 60))[index % 2]
        return ("a red square", "a green square")[index % 2], image


def _fresh() -> Pipeline:
    torch.manual_seed(0)
    return Pipeline.compose(x="image", y="text", family="gan", size="debug")


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path: Path, optimizer: str) -> None:
    settings = {
        "batch_size": 2,
        "warmup": 2,
        "log_every": 4,
        "precision": "no",
        "checkpoint_every": 3,
        "steps": 7,
        "accumulation": 2 if optimizer == "adamw" else 1,
        "optimizer": optimizer,
    }
    before = _fresh().parts.state_dict()
    whole = fit(_fresh(), _Squares(), output=tmp_path / "a", progress=False, **settings)
    stopped = _Squares(256 + 2 * settings["accumulation"] * 5)
    with pytest.raises(_Stop):
        fit(_fresh(), stopped, output=tmp_path / "b", progress=False, **settings)
    torch.manual_seed(99)
    resumed = fit(_fresh(), _Squares(), output=tmp_path / "b", progress=False, **settings)
    ours, theirs = whole.parts.state_dict(), resumed.parts.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    for part in ("model.discriminator", "model.generator", "encoder"):
        assert any(not torch.equal(ours[k], before[k]) for k in ours if k.startswith(part)), part
    log = (tmp_path / "a" / "log.jsonl").read_text()
    assert "loss_discriminator" in log
    assert "loss_generator" in log
    assert whole("a red square", seed=0).size == (16, 16)
