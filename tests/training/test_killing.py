"""A run that is killed at any moment goes on to the weights that it would have had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_SCRIPT = '''
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from threading import Thread

import accelerate
import numpy as np
import torch
import torch._dynamo

import mmgen.training.adapters
from mmgen.pipeline import Pipeline
from mmgen.training import fit


STEPS = 20


def train(folder):
    torch.manual_seed(0)
    names = ["a", "b"]
    pipe = Pipeline.compose(x="image", y="label", family="diffusion", size="debug", labels=names)
    rng = np.random.default_rng(0)
    pairs = [(i % 2, rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)) for i in range(24)]
    fit(
        pipe, pairs, output=folder, validation=pairs[:4], steps=STEPS, batch_size=4, warmup=1,
        checkpoint_every=1, validate_every=8, precision="no", progress=False,
    )


def steps_done(folder):
    try:
        return json.loads((Path(folder) / "checkpoint" / "state.json").read_text())["step"]
    except OSError:  # there is none yet, or it is just being replaced
        return 0


def kill_itself(folder, step, seconds):
    while steps_done(folder) < step:
        time.sleep(0.001)
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


def in_a_child(folder, *moment):
    """Train in another process, to its end, or until it kills itself.

    Another thread of it does, which a busy machine does not hold up while the steps go on.

    Args:
        moment: After which step, and how many seconds after that.
    """
    child = os.fork()
    if child == 0:
        try:
            if moment:
                Thread(target=kill_itself, args=(folder, *moment), daemon=True).start()
            train(folder)
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


torch.set_num_threads(1)
whole, killed = sys.argv[1:]
started = time.monotonic()
assert in_a_child(whole) == 0
a_step = (time.monotonic() - started) / STEPS
random = random.Random(0)
# The moments go on through the run, so that each of them finds it at work.
for after in sorted(random.sample(range(STEPS - 8), 10)):
    code = in_a_child(killed, after, random.uniform(0, 0.5) * a_step)
    assert code == -signal.SIGKILL, code
assert in_a_child(killed) == 0
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
