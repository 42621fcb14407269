"""Recorded episodes, and actions as tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmgen.core.errors import LoadError, SpecError
from mmgen.modalities.actions import ActionTokens, read_rollouts, returns_of


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    arrays = {}
    for k, steps in enumerate((5, 7)):
        arrays[f"observation_{k}"] = rng.normal(size=(steps, 3)).astype(np.float32)
        arrays[f"action_{k}"] = np.linspace(-2, 2, 2 * steps).reshape(steps, 2).astype(np.float32)
        arrays[f"reward_{k}"] = np.arange(steps, dtype=np.float32)
    np.savez(tmp_path / "expert.npz", **arrays)
    return tmp_path / "expert.npz"


def test_episodes_are_read_and_clipped(archive: Path) -> None:
    plain, clipped = read_rollouts(archive), read_rollouts(archive, low=-1.0, high=1.0)
    assert [e.actions.shape for e in plain] == [(5, 2), (7, 2)]
    assert plain[0].actions.max() == 2 and clipped[0].actions.max() == 1
    assert plain[1].observations["observation.state"].shape == (7, 3)
    assert returns_of(archive) == [10.0, 21.0]


def test_what_is_no_archive_is_refused(tmp_path: Path, archive: Path) -> None:
    with pytest.raises(LoadError, match="no file of rollouts"):
        read_rollouts(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(archive.read_bytes()[:100])
    with pytest.raises(LoadError, match="Could not read"):
        read_rollouts(tmp_path / "bad.npz")
    np.savez(tmp_path / "other.npz", states=np.zeros(3))
    with pytest.raises(LoadError, match="holds no observation_0 and action_0"):
        read_rollouts(tmp_path / "other.npz")
    np.savez(tmp_path / "objects.npz", observation_0=np.array([None]), action_0=np.zeros((1, 1)))
    with pytest.raises(LoadError, match="Could not read"):
        read_rollouts(tmp_path / "objects.npz")


def test_tokens_come_back_within_half_a_bin() -> None:
    codec = ActionTokens(4, 2, low=-3.0, high=3.0, num_bins=64)
    with pytest.raises(LoadError, match="no range yet"):
        codec.decode(codec_latent())
    values = (torch.rand(50, 4, 2, generator=torch.Generator().manual_seed(0)) * 4 - 2).numpy()
    codec.fit(list(values))
    tensors = codec.prepare(list(values))
    latent = codec.encode(tensors)
    assert latent.z.shape == (50, 8) and latent.z.min() == 0 and latent.z.max() == 63
    width = 2 * codec.chunks.scale / 64
    off = (codec.decode(latent)["actions"] - tensors["actions"]).abs()
    assert (off <= width / 2 + 1e-6).all()


def codec_latent() -> object:
    from mmgen.core.latent import Latent

    return Latent(torch.zeros(1, 8, dtype=torch.long))


def test_one_bin_is_refused() -> None:
    with pytest.raises(SpecError, match="num_bins is an integer of at least 2, got 1"):
        ActionTokens(4, 2, num_bins=1)
