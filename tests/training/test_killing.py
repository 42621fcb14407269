"""A run that is killed at any moment goes on to the weights that it would have had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_SCRIPT = '''
import os
import random
import signal
import sys
import time

import accelerate
import numpy as np
import torch
import torch._dynamo

import mmgen.training.adapters
from mmgen.pipeline import Pipeline
from mmgen.training import fit


def train(folder):
    torch.manual_seed(0)
    names = ["a", "b"]
    pipe = Pipeline.compose(x="image", y="label", family="diffusion", size="debug", labels=names)
    rng = np.random.default_rng(0)
    pairs = [(i % 2, rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)) for i in range(24)]
    fit(
        pipe, pairs, output=folder, validation=pairs[:4], steps=16, batch_size=4, warmup=1,
        checkpoint_every=1, validate_every=8, precision="no", progress=False,
    )


def in_a_child(folder, seconds=None):
    """Train in another process, which is killed after some seconds. Whether it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            train(folder)
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


torch.set_num_threads(1)
whole, killed = sys.argv[1:]
started = time.monotonic()
assert in_a_child(whole) == 0
lasted = time.monotonic() - started
moments = random.Random(0)
# A later one may find that all is done, and then gives the same result again.
codes = [in_a_child(killed, moments.uniform(0.1, 0.5) * lasted) for _ in range(10)]
assert -signal.SIGKILL in codes, codes
assert in_a_child(killed) == 0
print(sum(code == -signal.SIGKILL for code in codes))
'''


def test_killed_at_ten_moments_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(_SCRIPT)
    command = [sys.executable, script, tmp_path / "whole", tmp_path / "killed"]
    own = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for part in ("encoder", "model", "codec"):
        files = [tmp_path / run / "pipeline" / f"{part}.safetensors" for run in ("whole", "killed")]
        assert files[0].read_bytes() == files[1].read_bytes()
