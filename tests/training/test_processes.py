"""Two processes, started once by torchrun, learn what one learns.

Those that share out the batches: what one learns that takes as many more batches in a step. Those
that share out the weights by fully_shard: the steps that one takes. Those of which one is told of
Ctrl-C: what they would have learnt.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmgen.core.errors import SpecError
from mmgen.pipeline import Pipeline
from mmgen.training import TrainSettings, fit, parting
from mmgen.training.optimizers import optimizers_of
from mmgen.training.pairs import ListedPairs, batch_at
from mmgen.training.run import Step

WORLD, STEPS, BATCH = 2, 3, 4
SETTINGS = TrainSettings(learning_rate=1e-2, weight_decay=0.1)


def wrapped() -> tuple[Pipeline, Step]:
    pipe = fresh()
    pipe.fit_statistics([pairs().pair(i, np.random.default_rng(0)) for i in range(8)])
    pipe.parts.train()
    return pipe, Step(pipe)


def pairs() -> ListedPairs:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, 16, 16, 3)).astype(np.uint8)
    return ListedPairs(
        (f"{'red blue one two'.split()[i % 4]} {i}", x) for i, x in enumerate(images)
    )


def loss_of(pipe: Pipeline, step: torch.nn.Module, number: int, process: int) -> Tensor:
    """The loss of a process's share of a step."""
    part = number * WORLD + process
    return step(pipe.prepare(batch_at(pairs(), part * BATCH, BATCH, seed=0)), part, None)


def take(step: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    torch.nn.utils.clip_grad_norm_(step.parameters(), 0.1)
    optimizer.step()
    optimizer.zero_grad()


def sharded(file: Path) -> None:
    """Steps whose weights are shared out over two processes."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (WORLD,))
    pipe, step = wrapped()
    whole = sum(p.numel() for p in step.parameters())
    # Part by part, so that no more than one is whole at a time, and what is left.
    fully_shard(pipe.model.model.network, mesh=mesh)
    fully_shard(step, mesh=mesh)
    own = sum(p.to_local().numel() for p in step.parameters())
    optimizer = optimizers_of(pipe, step, SETTINGS, precision="no")[0]
    for number in range(STEPS):
        loss_of(pipe, step, number, mesh.get_rank()).backward()
        take(step, optimizer)
    found = {n: p.full_tensor().detach().clone() for n, p in step.named_parameters()}
    if mesh.get_rank() == 0:
        save_file(found | {"share": torch.tensor(own / whole)}, file)


def fresh() -> Pipeline:
    torch.manual_seed(0)
    return Pipeline.compose(x="image", y="text", family="diffusion", size="debug")


def trained(output: Path, accumulation: int) -> None:
    """The same call, whoever else makes it."""
    rng = np.random.default_rng(0)
    # Conditions of one and of many subwords, so that the order by length is another one. Their
    # encoder is frozen and pairs are seen again, so that what it gives is kept, here in files and
    # there not.
    texts = ["red", " ".join(["blue"] * 20)]
    given = [(texts[i % 2], rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)) for i in range(24)]
    settings = {"steps": 5, "batch_size": 3, "warmup": 1, "learning_rate": 1e-3, "ema": 0.5}
    settings |= {"by_length": 2, "only": ["model"], "precision": "no", "sample_every": 0}
    fit(fresh(), given, output=output, accumulation=accumulation, progress=False, **settings)


class _Pressing(ListedPairs):
    """Pairs of which a read is Ctrl-C to one process of two."""

    def __init__(self, press: int | None) -> None:
        super().__init__((i % 2, np.full((16, 16, 3), 20 * i, np.uint8)) for i in range(12))
        self._reads, self._press = 0, press

    def pair(self, index: int, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        self._reads += 1
        if self._reads == self._press and os.environ["RANK"] == "1":
            signal.raise_signal(signal.SIGINT)
        return super().pair(index, rng)


def pressed(output: Path, press: int | None = None, **more: int) -> None:
    """Five steps, or until the read of that number."""
    torch.manual_seed(0)
    pipe = Pipeline.compose(
        x="image", y="label", family="diffusion", size="debug", labels=["a", "b"]
    )
    settings = {"steps": 5, "batch_size": 2, "warmup": 1, "precision": "no", "sample_every": 0}
    settings |= {"statistics_from": 4, "checkpoint_every": 100, "progress": False}
    held_out = [(i, np.full((16, 16, 3), 99 * i, np.uint8)) for i in (0, 1)]
    own = {"output": output, "validation": held_out, "validate_every": 2}
    fit(pipe, _Pressing(press), **own, **settings, **more)


def stopped(output: Path) -> None:
    """Steps until one process is told of Ctrl-C, and then the rest of them."""
    try:
        # Four reads are of statistics, and two of each step.
        pressed(output, press=4 + 2 * 2 + 1)
        raise AssertionError("nobody heard")
    except KeyboardInterrupt:
        step = json.loads((output / "checkpoint/state.json").read_text())["step"]
    assert step == 3, step
    torch.distributed.barrier()
    pressed(output)


def fully_sharded(
    accelerator: Accelerator, step: Step, optimizers: list[torch.optim.Optimizer]
) -> tuple[Any, ...]:
    """As Accelerate prepares them where its plugin is on, which it leaves out on CPUs."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (WORLD,))
    names = {id(p): name for name, p in step.named_parameters()}
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    own = [[names[id(p)] for p in group["params"]] for group in groups]
    fully_shard(step.parts["model"].model.network, mesh=mesh)
    fully_shard(step, mesh=mesh)
    parted = dict(step.named_parameters())
    assert all(p.to_local().numel() < p.numel() for p in parted.values() if p.shape[0] > 1)
    for group, mine in zip(groups, own, strict=True):
        group["params"] = [parted[name] for name in mine]
    return step, *map(accelerator.prepare_optimizer, optimizers)


def both(folder: Path) -> None:
    """What each of two processes does."""
    torch.set_num_threads(1)
    # As in a terminal: a shell lets what it starts in the background ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    trained(folder / "two", 1)
    pressed(folder / "whole")
    pressed(folder / "whole_adapted", lora_rank=2)
    stopped(folder / "pressed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parting, "prepared", fully_sharded)
        stopped(folder / "parted")
        pressed(folder / "parted_adapted", lora_rank=2)
        with pytest.raises(SpecError, match=r'optimizer="muon" needs whole weights'):
            pressed(folder / "refused", optimizer="muon")
    sharded(folder / "sharded.safetensors")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what two processes learnt."""
    folder = tmp_path_factory.mktemp("processes")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(WORLD)]
    own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, *torchrun, __file__, str(folder)]
    own = os.environ | own | {"ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def test_two_processes_equal_one_with_twice_the_batches(two: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    trained(two / "one", WORLD)
    torch.set_num_threads(threads)
    one, other = (Pipeline.from_pretrained(two / n).parts.state_dict() for n in ("one", "two"))
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-5
    before, learnt = fresh().parts.state_dict(), "model.model.network.out.weight"
    assert float((one[learnt] - before[learnt]).abs().max()) > 1e-3


def test_ctrl_c_of_one_stops_both_and_they_go_on(two: Path) -> None:
    # That both were stopped after the step, and saved it, each of them has seen.
    whole, other = (two / run / "pipeline" / "model.safetensors" for run in ("whole", "pressed"))
    assert whole.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("kind", ["", "_adapted"])
def test_a_run_with_shared_out_weights_gives_what_one_with_copies_does(
    two: Path, kind: str
) -> None:
    runs = [two / f"{name}{kind}" for name in ("whole", "parted")]
    one, other = (Pipeline.from_pretrained(run).parts.state_dict() for run in runs)
    assert one.keys() == other.keys()
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-5
    one, other = (load_file(run / "best" / "average.safetensors") for run in runs)
    assert one.keys() == other.keys()
    # What goes on is whole, whoever reads it.
    one, other = (load_file(run / "checkpoint" / "state.safetensors") for run in runs)
    assert {k: v.shape for k, v in one.items()} == {k: v.shape for k, v in other.items()}
    losses = [json.loads((run / "best" / "best.json").read_text())["loss"] for run in runs]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


@pytest.mark.skipif(torch.cuda.device_count() < WORLD, reason="needs two GPUs")
def test_accelerates_plugin_shares_out_weights_in_the_same_loop(tmp_path: Path) -> None:
    plugin = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
    plugin |= {"FSDP_AUTO_WRAP_POLICY": "SIZE_BASED_WRAP", "FSDP_MIN_NUM_PARAMS": "1000"}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(WORLD)]
    found = []
    for name, more in (("copies", {}), ("parted", plugin)):
        own = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | more
        command = [sys.executable, *torchrun, __file__, str(tmp_path / name), "gpu"]
        done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(Pipeline.from_pretrained(tmp_path / name / "pressed").parts.state_dict())
    assert max(float((found[0][n] - found[1][n]).abs().max()) for n in found[0]) < 1e-3


def test_sharded_steps_equal_whole_ones(two: Path) -> None:
    pipe, step = wrapped()
    before = {name: p.detach().clone() for name, p in step.named_parameters()}
    optimizer = optimizers_of(pipe, step, SETTINGS, precision="no")[0]
    for number in range(STEPS):
        for process in range(WORLD):
            (loss_of(pipe, step, number, process) / WORLD).backward()
        take(step, optimizer)
    found = load_file(two / "sharded.safetensors")
    # Some weights do not part evenly.
    assert 0.4 < float(found.pop("share")) < 0.6
    after = {name: p.detach() for name, p in step.named_parameters()}
    assert found.keys() == after.keys()
    assert max(float((found[n] - after[n]).abs().max()) for n in after) < 1e-5
    assert max(float((before[n] - after[n]).abs().max()) for n in after) > 1e-2


if __name__ == "__main__":
    if sys.argv[2:] == ["gpu"]:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stopped(Path(sys.argv[1]) / "pressed")
        torch.distributed.destroy_process_group()
    else:
        both(Path(sys.argv[1]))
