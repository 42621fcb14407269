"""Several processes learn what one learns that takes as many more batches in a step."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmgen.pipeline import Pipeline

_SCRIPT = """
import sys
import numpy as np
import torch
from mmgen.pipeline import Pipeline
from mmgen.training import fit

torch.manual_seed(0)
torch.set_num_threads(1)
pipe = Pipeline.compose(x="image", y="text", family="diffusion", size="debug")
rng = np.random.default_rng(0)
# Conditions of one and of many subwords, so that the order by length is another one. Their encoder
# is frozen and pairs are seen again, so that what it gives is kept, here in files and there not.
texts = ["red", " ".join(["blue"] * 20)]
pairs = [(texts[i % 2], rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)) for i in range(24)]
fit(
    pipe, pairs, output=sys.argv[1], accumulation=int(sys.argv[2]), steps=5, batch_size=3, warmup=1,
    by_length=2, only=["model"], precision="no", sample_every=0, progress=False, ema=0.5,
    learning_rate=1e-3,
)
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
"""


def test_two_processes_equal_one_with_twice_the_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "train.py"
    script.write_text(_SCRIPT)
    own = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [sys.executable, *torchrun, script, tmp_path / "two", "1"]
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path / "one"), "2"])
    threads = torch.get_num_threads()
    runpy.run_path(str(script))
    torch.set_num_threads(threads)
    one, two = (Pipeline.from_pretrained(tmp_path / n).parts.state_dict() for n in ("one", "two"))
    largest = max(float((one[name] - two[name]).abs().max()) for name in one)
    assert largest < 1e-5
    torch.manual_seed(0)
    fresh = Pipeline.compose(x="image", y="text", family="diffusion", size="debug")
    fresh = fresh.parts.state_dict()
    trained = "model.model.network.out.weight"
    assert float((one[trained] - fresh[trained]).abs().max()) > 1e-3
