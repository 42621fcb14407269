"""Orthogonal steps: what they step along, which parameters they are for, and that runs go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mmgen.core.errors import LoadError
from mmgen.core.spec import ConditionSpec
from mmgen.nn.unet import UNet
from mmgen.pipeline import Pipeline
from mmgen.training import fit
from mmgen.training.muon import Muon, hidden_matrices, orthogonalise
from mmgen.training.pairs import ListedPairs
from mmgen.training.settings import TrainSettings


@pytest.mark.parametrize("shape", [(32, 32), (32, 200), (200, 32)])
def test_singular_values_come_close_to_one(shape: tuple[int, int]) -> None:
    g = torch.randn(3, *shape)
    values = torch.linalg.svdvals(orthogonalise(g))
    assert values.min() > 0.3 and values.max() < 1.3
    # Along the same directions: the inner product with the true orthogonal factor is near its most.
    u, _, vh = torch.linalg.svd(g, full_matrices=False)
    aligned = (orthogonalise(g) * (u @ vh)).sum((1, 2)) / min(shape)
    assert aligned.min() > 0.7


def test_matrices_of_a_shape_are_orthogonalised_each_alone() -> None:
    g = torch.randn(4, 40, 60)
    together = orthogonalise(g)
    for i in range(4):
        assert (orthogonalise(g[i : i + 1])[0] - together[i]).abs().max() < 1e-5


def test_only_hidden_matrices_are_chosen() -> None:
    network = UNet(3, widths=(32, 64), blocks=1, condition=ConditionSpec(token_dim=32))
    module = nn.ModuleDict({"network": network, "embed": nn.Embedding(100, 64)})
    chosen = {id(p) for p in hidden_matrices(module)}
    names = {name for name, p in module.named_parameters() if id(p) in chosen}
    assert "network.middle.0.block.conv_in.weight" in names
    assert "network.middle.0.attention.attention.query.weight" in names
    assert not names & {"network.stem.weight", "network.out.weight", "embed.weight"}
    assert not any(name.endswith("bias") or "norm" in name for name in names)


def test_its_other_half_is_adamw() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    settings = {"lr": 1e-2, "betas": (0.9, 0.99), "weight_decay": 0.1}
    groups = [{"params": list(ours.parameters()), "orthogonal": False}]
    optimizers = (Muon(groups, **settings), torch.optim.AdamW(theirs.parameters(), **settings))
    for _ in range(5):
        x = torch.randn(8, 5)
        for module, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            module(x).square().mean().backward()
            optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (a - b).abs().max() < 1e-6


def _fresh() -> Pipeline:
    torch.manual_seed(0)
    return Pipeline.compose(x="image", y="label", family="diffusion", size="debug", labels=["a"])


class _Stop(Exception):
    pass


class _Breaking(ListedPairs):
    """Pairs that end the run after so many draws."""

    def __init__(self, pairs: list, draws: int) -> None:
        super().__init__(pairs)
        self.left = draws

    def pair(self, index: int, rng: np.random.Generator) -> tuple:
        self.left -= 1
        if self.left < 0:
            raise _Stop
        return super().pair(index, rng)


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    pairs = [("a", np.full((16, 16, 3), 30 * i, np.uint8)) for i in range(8)]
    settings = {"batch_size": 4, "precision": "no", "warmup": 1, "progress": False}
    settings |= {"optimizer": "muon", "steps": 6, "checkpoint_every": 3}
    whole = fit(_fresh(), pairs, output=tmp_path / "a", **settings)
    with pytest.raises(_Stop):
        fit(_fresh(), _Breaking(pairs, 256 + 4 * 4), output=tmp_path / "b", **settings)
    resumed = fit(_fresh(), pairs, output=tmp_path / "b", **settings)
    for a, b in zip(whole.parts.parameters(), resumed.parts.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_run_of_another_optimiser_is_refused(tmp_path: Path) -> None:
    pairs = [("a", np.full((16, 16, 3), 30 * i, np.uint8)) for i in range(4)]
    common = {"batch_size": 2, "precision": "no", "progress": False, "steps": 1}
    fit(_fresh(), pairs, output=tmp_path, **common)
    with pytest.raises(LoadError, match="optimizer was adamw, is now muon"):
        fit(_fresh(), pairs, output=tmp_path, optimizer="muon", **common)


def test_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="adamw or muon; got 'sgd'"):
        TrainSettings(optimizer="sgd")
