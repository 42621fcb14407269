"""Peak memory of one image, in a process of its own.

`python -m benchmarks.speed.memory WORK` draws it; `peak` starts that and reads the high-water mark.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.diffusers_reference import Reference
from benchmarks.speed.shape import Shape
from benchmarks.speed.subject import Subject

__all__ = ["child_environment", "main", "peak", "peak_of"]

ROOT = Path(__file__).resolve().parent.parent.parent

# A process inherits the high-water mark of the one that started it, so that one has to be small.
_SMALL = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def child_environment() -> dict[str, str]:
    """The environment of a process that computes with as many threads as this one."""
    return os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads()), "HF_HUB_OFFLINE": "1"}


def peak(work: Mapping[str, Any]) -> float:
    """Greatest resident memory in MB of a process that does `work`, libraries included."""
    return peak_of(["-m", "benchmarks.speed.memory", json.dumps(work)], what=work["what"])


def peak_of(arguments: Sequence[str], *, what: str) -> float:
    """Greatest resident memory in MB of a Python process, libraries included.

    Args:
        arguments: Of Python.
        what: It does, for the message if it fails.
    """
    own = [sys.executable, *arguments]
    done = subprocess.run(
        [sys.executable, "-c", _SMALL, *own],
        cwd=ROOT,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{what} failed in its own process:\n{done.stderr[-2000:]}")
    kilobyte = 1 if sys.platform == "darwin" else 1024
    return round(int(done.stdout.split()[-1]) * kilobyte / 1e6, 1)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Draw one image, for its memory to be measured.")
    parser.add_argument("work")
    work = json.loads(parser.parse_args(argv).work)
    if work["what"] == "mmgen":
        subject = Subject.load(work["pipeline"], quick=False)
        subject.pipe(work["texts"][0], seed=0)
    else:
        reference = Reference.build(work["what"], Shape(**work["shape"]), work["texts"])
        reference.draw(work["texts"][:1])


if __name__ == "__main__":
    main()
