"""`mmgen doctor`: it finds what is wrong, also when that is torch itself."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import SCENES, Command, Done

from mmgen import hub
from mmgen.cli.doctor import _of_load
from mmgen.pipeline import Pipeline

PAIR = 'pip install "torch>=2.11,<2.15" "torchaudio>=2.11,<2.12"'
OPTIONAL = ("bitsandbytes", "ctranslate2", "fcd", "gym_pusht", "gymnasium", "matplotlib", "peft")
OPTIONAL += ("pyarrow", "rdkit", "skimage", "tensorboard")
MISMATCH = "PyTorch and TorchAudio were compiled with different CUDA versions."


def by_check(done: Done) -> dict[str, dict[str, str]]:
    return {row["check"]: row for row in done.json["checks"]}


@pytest.fixture
def doctor_with(tmp_path: Path) -> Callable[..., Done]:
    """Run the doctor in a new interpreter that finds these files first."""

    def run(files: dict[str, str], *arguments: str) -> Done:
        for name, text in files.items():
            path = tmp_path / "first" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "mmgen.cli.main", "doctor", *arguments],
            env=os.environ | {"PYTHONPATH": str(tmp_path / "first")},
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    return run


def version(name: str, number: str) -> dict[str, str]:
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n"
    return {f"{name}-{number}.dist-info/METADATA": about}


def test_a_sound_installation_has_nothing_wrong(command: Command) -> None:
    done = command("doctor", "--json")
    rows = by_check(done)
    assert {row["state"] for row in rows.values()} <= {"ok", "warning", "wrong"}
    assert not [row for row in rows.values() if row["state"] == "wrong"]
    assert done.code == 0 and done.json["ok"] is True
    assert rows["torch + torchaudio"]["state"] == "ok"
    assert rows["torch"]["found"] == f"{metadata.version('torch')} (needs >=2.11,<2.15)"
    assert "threads" in rows["CPU"]["found"] and "GB free" in rows["disk here"]["found"]
    shipped = hub.recipes()[SCENES].weights.is_file()
    assert rows[SCENES]["state"] == ("ok" if shipped else "warning")
    assert {"extra audio", "extra train", "cache", "python"} <= rows.keys()
    assert not {"extra dev", "extra all"} & rows.keys()


def test_a_pair_that_does_not_fit_and_weights_cut_short_are_found(
    doctor_with: Callable[..., Done], scenes_pipe: Pipeline, tmp_path: Path
) -> None:
    recipe = hub.find_recipe(SCENES)
    copy = tmp_path / "first" / "mmgen_pipelines"
    shutil.copytree(recipe.path.parent.parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / recipe.path.parent.name / recipe.path.name
    weights = hub.write_shipped(dataclasses.replace(recipe, path=path), scenes_pipe.parts)
    weights.write_bytes(weights.read_bytes()[:-10])
    files = {"torchaudio/__init__.py": f"raise RuntimeError({MISMATCH!r})"}
    # What is optional is imported in earnest above, and takes long.
    files |= {f"{name}/__init__.py": "" for name in OPTIONAL}
    done = doctor_with(files | version("torch", "2.15.0"))
    assert done.code == 1
    assert re.search(r"^wrong    torch +2\.15\.0 \(needs >=2\.11,<2\.15\)$", done.out, re.MULTILINE)
    assert f"torchaudio does not import: RuntimeError: {MISMATCH}" in done.out
    assert done.out.count(f" {PAIR}\n") == 2
    told = next(row for row in done.out.splitlines() if f"wrong    {SCENES}" in row)
    assert "scenes.safetensors is cut short or altered" in told
    assert "--force-reinstall --no-deps mmgen-sdk" in done.out
    assert done.out.splitlines()[-1].endswith("3 wrong")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise ModuleNotFoundError(\"No module named 'torch'\")", "No module named 'torch'"),
        ("import os; os._exit(3)", "the process ended with 3"),
    ],
)
def test_it_works_without_torch(doctor_with: Callable[..., Done], code: str, message: str) -> None:
    done = doctor_with({"torch/__init__.py": code}, "--json")
    rows = by_check(done)
    assert done.code == 1 and done.json["ok"] is False
    assert rows["torch + torchaudio"]["state"] == "wrong"
    assert message in rows["torch + torchaudio"]["found"]
    assert rows["torch + torchaudio"]["mend"] == PAIR
    assert rows["devices"]["state"] == rows[SCENES]["state"] == "warning"


def test_a_library_out_of_bounds_or_missing_is_told(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version

    def version_of(name: str) -> str:
        if name == "diffusers":
            raise metadata.PackageNotFoundError(name)
        return "13.0.0" if name == "pillow" else real(name)

    monkeypatch.setattr(metadata, "version", version_of)
    monkeypatch.setattr("mmgen.cli.doctor._ask_probe", told_nothing)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1e8))
    done = command("doctor", "--json")
    rows = by_check(done)
    assert done.code == 1
    assert rows["diffusers"]["found"].startswith("not installed")
    assert rows["diffusers"]["mend"] == 'pip install "diffusers>=0.42,<0.43"'
    assert rows["pillow"]["state"] == "wrong" and rows["pillow"]["found"].startswith("13.0.0")
    assert rows["disk here"]["state"] == "wrong" and "Free some space" in rows["disk here"]["mend"]
    assert json.dumps(done.json)


def told_nothing(modules: list[str]) -> dict[str, Any]:
    return {"weights": [], "modules": {}, "ended": "it took longer than 300 s"}


@pytest.mark.parametrize(
    ("load", "threads", "told"), [(7.5, 2, True), (0.1, 2, False), (7.5, 1, False)]
)
def test_a_busy_machine_is_told(
    monkeypatch: pytest.MonkeyPatch, load: float, threads: int, told: bool
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    rows = list(_of_load(threads))
    assert [(r.state, "OMP_NUM_THREADS=1" in r.mend) for r in rows] == [("warning", True)] * told
