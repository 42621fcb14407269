"""Records of measurements: what was measured, with what, on what, when."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from mmgen.core.files import check_output, write_beside
from mmgen.version import __version__

__all__ = ["write_result"]

_LIBRARIES = ("torch", "numpy", "pillow", "transformers", "diffusers")


def write_result(
    path: str | os.PathLike[str],
    *,
    task: str,
    protocol: int,
    settings: Mapping[str, Any],
    scores: Mapping[str, Any],
) -> Path:
    """Write a measurement as JSON, with commit, versions, hardware and date.

    No path of this machine gets into it: of settings that are absolute paths, the last part stays.

    Args:
        path: File to write, ending in .json. Its folder is made if it is not there: what has been
            measured for an hour is not lost to that.
        task: What was measured.
        protocol: Version of how; scores of different versions do not compare.
        settings: What was chosen: pipeline, seeds, counts, options.
        scores: What came out, with counts and intervals.

    Returns:
        The path.

    Raises:
        ValueError: If the ending is another.
        TypeError: If something in it has no form in JSON.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    path = check_output(path, (".json",), what="a result")
    record = {
        "task": task,
        "protocol": protocol,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "versions": _versions(),
        "hardware": _hardware(),
        "settings": _without_paths(dict(settings)),
        "scores": dict(scores),
    }
    write_beside(path, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
    return path


def _commit() -> str | None:
    """The commit of mmgen's own source, with a plus if files differ from it; None if installed."""
    folder = Path(__file__).resolve().parent
    git = ("git", "-C", str(folder))
    try:
        found = [
            subprocess.run((*git, *command), capture_output=True, text=True, check=True, timeout=20)
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", ":/"))
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    commit, changes = (one.stdout.strip() for one in found)
    return f"{commit}+" if changes else commit


def _versions() -> dict[str, str]:
    found = {"mmgen": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _hardware() -> dict[str, Any]:
    found: dict[str, Any] = {"cpu": _processor(), "cores": os.cpu_count()}
    found["threads"] = torch.get_num_threads()
    if hasattr(os, "sysconf"):
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        found["memory_gb"] = round(total / 1e9, 1)
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _without_paths(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_paths(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_paths(v) for v in value]
    if isinstance(value, os.PathLike) or (isinstance(value, str) and os.path.isabs(value)):
        return Path(value).name
    return value
