"""The loop: it learns, it goes on exactly where it stopped, and it refuses what makes no sense."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import DistributedType
from PIL import Image
from safetensors.torch import load_file

from mmgen.core import files
from mmgen.core.errors import LoadError, SpecError
from mmgen.nn.autoencoder import Autoencoder
from mmgen.pipeline import Pipeline
from mmgen.training import Autoencoding, fit
from mmgen.training.checkpoint import load_assets
from mmgen.training.machine import require_known
from mmgen.training.pairs import ListedPairs, Pairs

SMALL = {"batch_size": 4, "warmup": 2, "log_every": 1, "precision": "no", "checkpoint_every": 3}


def pictures() -> Pairs:
    rng = np.random.default_rng(0)
    colours = {"red": (220, 30, 30), "green": (30, 180, 60), "blue": (40, 80, 230)}
    pairs = []
    for name, colour in colours.items():
        for _ in range(4):
            image = np.full((16, 16, 3), 250, np.uint8)
            x, y = rng.integers(0, 8, 2)
            image[y : y + 8, x : x + 8] = colour
            pairs.append((f"a {name} square", image))
    return ListedPairs(pairs)


def fresh() -> Pipeline:
    torch.manual_seed(0)
    return Pipeline.compose(x="image", y="text", family="diffusion", size="debug")


def weights(pipe: Pipeline) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in pipe.parts.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_the_loss_falls_and_what_is_needed_is_written(tmp_path: Path) -> None:
    pipe = fit(
        fresh(),
        pictures(),
        output=tmp_path,
        steps=60,
        sample_every=30,
        learning_rate=3e-3,
        preview=["a red square", "a blue square"],
        progress=False,
        **(SMALL | {"batch_size": 12}),
    )
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in log]
    assert len(log) == 60
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])
    assert {"step", "loss", "learning_rate", "pairs_per_second", "memory_gb"} <= log[0].keys()
    names = {p.name for p in tmp_path.iterdir()}
    assert {"checkpoint", "samples_0000030.png", "samples_0000060.png"} <= names
    assert not pipe.parts.training


def test_previews_of_actions_are_pictures(tmp_path: Path) -> None:
    pipe = Pipeline.compose(
        x="actions", y="label", family="diffusion", size="debug", labels=["a", "b"]
    )
    chunks = np.random.default_rng(0).normal(size=(4, 4, 2)).astype(np.float32)
    fit(
        pipe,
        list(zip("abab", chunks, strict=True)),
        output=tmp_path,
        steps=1,
        preview=["a", "b"],
        progress=False,
        **(SMALL | {"batch_size": 2}),
    )
    with Image.open(tmp_path / "samples_0000001.png") as image:
        assert image.width > image.height > 100


class _Stop(Exception):
    pass


class _Until(Pairs):
    """The pictures, until a position is reached, where the run is torn down."""

    def __init__(self, draws: int) -> None:
        self._pairs, self._left = pictures(), draws

    def __len__(self) -> int:
        return len(self._pairs)

    def pair(self, index: int, rng: np.random.Generator) -> tuple:
        self._left -= 1
        if self._left < 0:
            raise _Stop
        return self._pairs.pair(index, rng)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path: Path, accumulation: int) -> None:
    settings = SMALL | {"steps": 9, "accumulation": accumulation}
    whole = fit(fresh(), pictures(), output=tmp_path / "a", progress=False, **settings)
    statistics = 256
    draws = statistics + 4 * accumulation * 7
    with pytest.raises(_Stop):
        fit(fresh(), _Until(draws), output=tmp_path / "b", progress=False, **settings)
    torch.manual_seed(99)
    resumed = fit(fresh(), pictures(), output=tmp_path / "b", progress=False, **settings)
    assert same(weights(whole), weights(resumed))


def test_accumulation_equals_one_larger_batch(tmp_path: Path) -> None:
    # The noise of a batch hangs on its number, so only the order of pairs can be compared here.
    seen: list[list[int]] = [[], []]

    class Watched(Pairs):
        def __init__(self, which: int) -> None:
            self._pairs, self._which = pictures(), which

        def __len__(self) -> int:
            return len(self._pairs)

        def pair(self, index: int, rng: np.random.Generator) -> tuple:
            seen[self._which].append(index)
            return self._pairs.pair(index, rng)

    base = SMALL | {"steps": 3}
    fit(fresh(), Watched(0), output=tmp_path / "a", progress=False, **(base | {"batch_size": 8}))
    fit(fresh(), Watched(1), output=tmp_path / "b", progress=False, **(base | {"accumulation": 2}))
    assert seen[0] == seen[1]


def test_a_run_with_other_settings_is_refused(tmp_path: Path) -> None:
    fit(fresh(), pictures(), output=tmp_path, progress=False, steps=3, **SMALL)
    with pytest.raises(LoadError, match="learning_rate was 0.001, is now 0.01"):
        fit(
            fresh(),
            pictures(),
            output=tmp_path,
            progress=False,
            steps=3,
            learning_rate=0.01,
            **SMALL,
        )


def test_a_finished_run_goes_on_with_more_steps(tmp_path: Path) -> None:
    fit(fresh(), pictures(), output=tmp_path, progress=False, steps=4, **SMALL)
    fit(fresh(), pictures(), output=tmp_path, progress=False, steps=8, **SMALL)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert rows[4]["learning_rate"] > rows[3]["learning_rate"]
    with pytest.raises(LoadError, match="of step 8, beyond the 4 steps"):
        fit(fresh(), pictures(), output=tmp_path, progress=False, steps=4, **SMALL)


def test_a_run_of_another_pipeline_is_refused(tmp_path: Path) -> None:
    fit(fresh(), pictures(), output=tmp_path, progress=False, steps=3, **SMALL)
    other = Pipeline.compose(x="image", family="diffusion", size="debug")
    images = [(None, x) for _, x in (pictures().pair(i, None) for i in range(4))]
    with pytest.raises(LoadError, match="of another pipeline"):
        fit(other, images, output=tmp_path, progress=False, steps=3, **SMALL)


def test_a_vocabulary_of_another_pipeline_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"assets": ["encoder.phones.txt"]}')
    (tmp_path / "encoder.phones.txt").write_text("a b c")
    with pytest.raises(LoadError, match="holds for the encoder does not fit it, so it is of a run"):
        load_assets(tmp_path, fresh().parts)


def test_a_run_that_goes_on_with_other_pairs_keeps_its_vocabulary(tmp_path: Path) -> None:
    pipe = fit(fresh(), pictures(), output=tmp_path, progress=False, steps=2, **SMALL)
    others = ListedPairs([("something quite else", x) for _, x in pictures()._pairs])
    after = fit(fresh(), others, output=tmp_path, progress=False, steps=4, **SMALL)
    assert after.encoder.assets() == pipe.encoder.assets()


def test_statistics_are_of_all_pairs_if_they_are_few(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watched(ListedPairs):
        def pair(self, index: int, rng: np.random.Generator) -> tuple:
            seen.append(index)
            return super().pair(index, rng)

    pairs = Watched(pictures()._pairs * 25)
    fit(fresh(), pairs, output=tmp_path, progress=False, steps=1, **SMALL)
    # Where they are read from, an epoch would not begin by itself.
    assert 2**40 % len(pairs) and sorted(seen[: len(pairs)]) == list(range(len(pairs)))


def test_a_folder_is_for_one_run_at_a_time(tmp_path: Path) -> None:
    class Meanwhile(ListedPairs):
        refused = 0

        def pair(self, index: int, rng: np.random.Generator) -> tuple:
            with pytest.raises(LoadError, match="in use by another run"):
                fit(fresh(), pictures(), output=tmp_path, progress=False, steps=1, **SMALL)
            self.refused += 1
            return super().pair(index, rng)

    pairs = Meanwhile([pictures().pair(0, np.random.default_rng(0))] * 4)
    pipe = fresh()
    pipe.fit_statistics(pairs._pairs)
    fit(pipe, pairs, output=tmp_path, progress=False, steps=1, statistics_from=1, **SMALL)
    assert pairs.refused > 0
    fit(pipe, pictures(), output=tmp_path, progress=False, steps=1, statistics_from=1, **SMALL)


def test_a_finished_run_gives_its_result_again(tmp_path: Path) -> None:
    first = fit(fresh(), pictures(), output=tmp_path, progress=False, steps=3, **SMALL)
    again = fit(fresh(), pictures(), output=tmp_path, progress=False, steps=3, **SMALL)
    assert same(weights(first), weights(again))


def test_a_full_disk_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(fresh(), pictures(), output=tmp_path, progress=False, steps=3, **SMALL)
    before = {p.name: p.read_bytes() for p in (tmp_path / "checkpoint").iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    state = json.loads((tmp_path / "checkpoint" / "state.json").read_text())
    state["settings"]["steps"] = 6
    (tmp_path / "checkpoint" / "state.json").write_text(json.dumps(state))
    with pytest.raises(OSError, match="No space left"):
        fit(fresh(), pictures(), output=tmp_path, progress=False, steps=6, **SMALL)
    assert (tmp_path / "checkpoint" / "state.safetensors").read_bytes() == before[
        "state.safetensors"
    ]
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    fit(fresh(), pictures(), output=tmp_path, progress=False, steps=3, **SMALL)
    state = tmp_path / "checkpoint" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-20])
    with pytest.raises(LoadError, match="cut short"):
        fit(fresh(), pictures(), output=tmp_path, progress=False, steps=3, **SMALL)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    pipe = fresh()
    pipe.fit_statistics([pictures().pair(i, np.random.default_rng(0)) for i in range(12)])
    with torch.no_grad():
        pipe.model.model.network.out.weight.fill_(torch.inf)
    with pytest.raises(FloatingPointError, match=r"The loss is nan at batch 0, by step 1: pair \d"):
        fit(pipe, pictures(), output=tmp_path, progress=False, steps=3, **SMALL)


def test_the_batch_that_broke_it_is_named_and_never_saved(tmp_path: Path) -> None:
    class Pipe(Autoencoding):
        batch = 0

        def loss(self, tensors: dict, *, generator: torch.Generator | None = None) -> torch.Tensor:
            self.batch += 1
            return super().loss(tensors, generator=generator) / (0 if self.batch == 8 else 1)

    pipe = Pipe(Autoencoder.debug(), size=16)
    settings = SMALL | {"log_every": 100, "checkpoint_every": 3, "steps": 20}
    with pytest.raises(FloatingPointError, match="at batch 7, by step 9"):
        fit(pipe, pictures(), output=tmp_path, progress=False, **settings)
    assert json.loads((tmp_path / "checkpoint" / "state.json").read_text())["step"] == 6
    named = json.loads((tmp_path / "bad_batch.json").read_text())
    assert named["batch"] == 7 and len(named["pairs"]) == 4
    indices = [int(where.removeprefix("pair ")) for where in named["pairs"]]
    images = load_file(tmp_path / "bad_batch.safetensors")["pixels"]
    wanted = pipe.prepare([pictures().pair(i, np.random.default_rng(0)) for i in indices])
    assert torch.equal(images, wanted["pixels"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps is at least 1"),
        ({"batch_size": 0}, "batch_size is at least 1"),
        ({"learning_rate": -1.0}, "learning_rate is above 0"),
        ({"ema": 1.0}, "ema lies in"),
        ({"precision": "int4"}, "precision is auto"),
    ],
)
def test_settings_that_make_no_sense(tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(fresh(), pictures(), output=tmp_path, progress=False, **settings)


def test_unknown_settings_and_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="learning_rat"):
        fit(fresh(), pictures(), output=tmp_path, learning_rat=1.0)
    with pytest.raises(ValueError, match="at least one pair"):
        fit(fresh(), [], output=tmp_path)


def test_plugins_that_part_weights_are_refused() -> None:
    for kind in (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU):
        require_known(kind, fsdp_version=1)
    require_known(DistributedType.FSDP, fsdp_version=2)
    with pytest.raises(SpecError, match="version 1 of FSDP would part them otherwise"):
        require_known(DistributedType.FSDP, fsdp_version=1)
    with pytest.raises(SpecError, match="DEEPSPEED would part them otherwise"):
        require_known(DistributedType.DEEPSPEED, fsdp_version=2)


def test_bf16_and_tensorboard(tmp_path: Path) -> None:
    fit(
        fresh(),
        pictures(),
        output=tmp_path,
        progress=False,
        steps=3,
        tensorboard=True,
        **(SMALL | {"precision": "bf16"}),
    )
    assert list(tmp_path.rglob("events.out.tfevents*"))
