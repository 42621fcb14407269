"""Dropout is a matter of a run: set while it trains, gone when it is done, repeated exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mmgen.nn.transformer import Transformer, grid_positions
from mmgen.pipeline import Pipeline
from mmgen.training import TrainSettings, fit
from mmgen.training.dropout import dropout, dropout_layers

PAIRS = [(f"word {i}", "ab" * (i + 1)) for i in range(4)]
SMALL = {"batch_size": 4, "warmup": 1, "precision": "no", "sample_every": 0, "progress": False}


def trained(output: Path, *, steps: int, share: float | None) -> torch.Tensor:
    torch.manual_seed(0)
    pipe = Pipeline.compose(x="text", y="text", family="autoregressive", size="debug")
    pipe = fit(pipe, PAIRS, output=output, steps=steps, dropout=share, checkpoint_every=1, **SMALL)
    assert all(m.p == 0 for m in pipe.parts.modules() if isinstance(m, nn.Dropout))
    return torch.cat([p.detach().flatten() for p in pipe.parts.parameters()])


def test_a_run_with_dropout_learns_otherwise_and_the_same_each_time(tmp_path: Path) -> None:
    with_it = trained(tmp_path / "a", steps=2, share=0.5)
    assert torch.equal(with_it, trained(tmp_path / "b", steps=2, share=0.5))
    assert not torch.equal(with_it, trained(tmp_path / "c", steps=2, share=None))


def test_a_transformer_withholds_in_training_alone() -> None:
    torch.manual_seed(0)
    network = Transformer(32, depth=1, num_heads=2)
    x, places = torch.randn(1, 5, 32), grid_positions(5)
    plain = network(x, places)
    with dropout(network, 0.5):
        assert not torch.allclose(network.train()(x, places), plain)
        assert torch.equal(network.eval()(x, places), plain)
    assert torch.equal(network.train()(x, places), plain)


def test_what_cannot_be_withheld_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dropout lies in \[0, 1\), got 1"):
        TrainSettings(dropout=1.0)
    with pytest.raises(ValueError, match=r"dropout=0.1 would withhold nothing"):
        dropout_layers(nn.Linear(2, 2), 0.1)
