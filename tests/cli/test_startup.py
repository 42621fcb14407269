"""Commands that compute nothing load nothing that computes."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
from cli.conftest import Command

from mmgen.version import __version__

HEAVY = {"torch", "diffusers", "transformers", "torchaudio", "accelerate", "numpy"}
# Of the processor, which a busy machine does not stretch as it does the clock. Half of it is -X.
SECONDS = 1.0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list"],
        ["generate", "--help"],
        ["list", "--json"],
        ["train", "-h"],
        ["classify", "-h"],
        ["outliers", "-h"],
    ],
)
def test_it_starts_without_anything_heavy(arguments: list[str]) -> None:
    before = _children_seconds()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mmgen.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = _children_seconds() - before
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "typer" in loaded
    assert not {name.split(".")[0] for name in loaded} & HEAVY
    assert done.stdout and seconds < SECONDS


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_and_version(command: Command) -> None:
    assert command().out == command("--help").out
    for name in ("generate", "classify", "outliers", "train", "list", "show", "doctor"):
        assert f"\n  {name} " in command("-h").out
        assert f"mmgen {name}" in command(name, "--help").out
    assert command("--version").out == f"mmgen {__version__}\n"


def test_a_wrong_command_names_the_close_one(command: Command) -> None:
    done = command("genrate")
    assert done.code == 2 and "'generate'" in done.err and "see: mmgen --help" in done.err
