"""Planners that a value function guides act as the library's call does, in their own units."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.experimental import ValueGuidedRLPipeline
from rounding import same_but_for_rounding

from mmgen import Pipeline
from mmgen.backends.foreign import Place
from mmgen.backends.loading import options_of
from mmgen.backends.recognition import recognise
from mmgen.core.errors import LoadError, SpecError

HORIZON = 8
STATISTICS = {
    "observations": {"mean": [1.0, -0.5, 0.2], "std": [2.0, 1.0, 0.7]},
    "actions": {"mean": [0.1, -0.2], "std": [0.5, 0.3]},
    "horizon": HORIZON,
}
HERE, THERE = np.array([0.4, 0.1, -0.3]), np.array([0.0, 2.0, 1.0])
FEW = {"num_plans": 6}


def _network(*, values: bool) -> torch.nn.Module:
    """As that of the planners on the Hub, but tiny."""
    last = "ValueFunction" if values else "OutConv1DBlock"
    middle = "ValueFunctionMidBlock1D" if values else "MidResTemporalBlock1D"
    return diffusers.UNet1DModel(
        in_channels=5,
        out_channels=5,
        time_embedding_type="positional",
        flip_sin_to_cos=False,
        use_timestep_embedding=True,
        downsample_each_block=values,
        block_out_channels=(32, 64),
        layers_per_block=1,
        act_fn="mish",
        down_block_types=("DownResnetBlock1D",) * 2,
        up_block_types=() if values else ("UpResnetBlock1D",),
        mid_block_type=middle,
        out_block_type=last,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planner")
    torch.manual_seed(0)
    _network(values=False).save_pretrained(folder / "unet")
    _network(values=True).save_pretrained(folder / "value_function")
    diffusers.DDPMScheduler(num_train_timesteps=4, clip_sample=False).save_pretrained(
        folder / "scheduler"
    )
    # As the library writes it.
    index = {
        "_class_name": "ValueGuidedRLPipeline",
        "_diffusers_version": "0.18.0",
        "env": [None, None],
        "scheduler": ["diffusers", "DDPMScheduler"],
        "unet": ["diffusers", "UNet1DModel"],
        "value_function": ["diffusers", "UNet1DModel"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "statistics.json").write_text(json.dumps(STATISTICS))
    return folder


class _Environment:
    """What the library asks for statistics."""

    observation_space, action_space = SimpleNamespace(shape=(3,)), SimpleNamespace(shape=(2,))

    def get_dataset(self) -> dict[str, Any]:
        def numbers(name: str) -> Any:
            mean, std = (np.array(STATISTICS[name][k], np.float32) for k in ("mean", "std"))
            return SimpleNamespace(mean=lambda: mean, std=lambda: std)

        return {name: numbers(name) for name in ("observations", "actions")}


def test_the_first_action_is_that_of_the_library(folder: Path) -> None:
    library = ValueGuidedRLPipeline.from_pretrained(folder, env=_Environment())
    pipe = Pipeline.from_pretrained(folder)
    assert recognise(folder).distribution == "P(actions | observation)"
    assert options_of(recognise(folder), Place()) == pipe.options()
    for seed, more in ((3, {}), (4, {"n_guide_steps": 1, "scale": 3.0})):
        torch.manual_seed(seed)
        expected = library(HERE.astype(np.float32), batch_size=6, planning_horizon=HORIZON, **more)
        found = pipe({"observation": HERE}, seed=seed, **FEW, **more)
        assert found.shape == (HORIZON, 2) and found.dtype == np.float32
        np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_each_plan_has_its_own_seed_and_where_it_begins_counts(folder: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    told: list[tuple[int, int]] = []
    both = pipe([HERE, THERE], seed=[5, 6], **FEW)
    alone = pipe(HERE, seed=5, progress=lambda done, total: told.append((done, total)), **FEW)
    assert same_but_for_rounding(both[0], alone) and told[-1] == (4, 4)
    assert not np.allclose(pipe({"observation": THERE.tolist()}, seed=5, **FEW), alone, atol=1e-3)
    # Uphill in value, by longer steps.
    far = pipe(HERE, seed=5, scale=50.0, **FEW)
    assert not np.allclose(far, alone, atol=1e-3)


def test_what_is_saved_is_the_librarys_own(folder: Path, tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    pipe.save_pretrained(tmp_path / "saved")
    library = ValueGuidedRLPipeline.from_pretrained(tmp_path / "saved", env=_Environment())
    assert type(library.value_function) is diffusers.UNet1DModel
    again = Pipeline.from_pretrained(tmp_path / "saved")
    assert same_but_for_rounding(again(HERE, seed=1, **FEW), pipe(HERE, seed=1, **FEW))


BROKEN: dict[str, dict[str, Any] | None] = {
    "holds no statistics .* Put statistics.json into its folder": None,
    "does not say the mean and std of actions": {"observations": STATISTICS["observations"]},
    "the mean and std of observations": {
        **STATISTICS,
        "observations": {"mean": [0.0], "std": [0.0]},
    },
    "is a number of steps, 1 to 4096; got 1000000000": {**STATISTICS, "horizon": 10**9},
    "is of 1 and 2 numbers, its network of 5": {
        **STATISTICS,
        "observations": {"mean": [0.0], "std": [1.0]},
    },
}


@pytest.mark.parametrize("message", BROKEN)
def test_without_statistics_there_are_no_units(message: str, folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "planner"))
    said = BROKEN[message]
    (other / "statistics.json").unlink()
    if said is not None:
        (other / "statistics.json").write_text(json.dumps(said))
    with pytest.raises(LoadError, match=message):
        Pipeline.from_pretrained(other)


def test_what_it_cannot_do(folder: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    with pytest.raises(ValueError, match="an observation of 3 numbers"):
        pipe(HERE[:2])
    with pytest.raises(ValueError, match="finite"):
        pipe(HERE * np.nan)
    with pytest.raises(SpecError, match="can be sampled but has no density"):
        pipe.given(HERE).log_prob(np.zeros((HORIZON, 2), np.float32))
    with pytest.raises(SpecError, match="they cannot learn here"):
        pipe.loss(pipe.prepare([(HERE, np.zeros((HORIZON, 2), np.float32))]))
    with pytest.raises(SpecError, match="lies in one place"):
        Pipeline.from_pretrained(folder, offload="disk")
