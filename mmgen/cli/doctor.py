"""`mmgen doctor`: what is wrong with the installation, and how to mend it.

It must run where torch or torchaudio is broken, so whatever could break is imported in another
process.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mmgen import hub
from mmgen.cli.console import spinner, write_json
from mmgen.cli.parameters import AsJson
from mmgen.version import __version__

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["doctor", "probe"]

_DISTRIBUTION = "mmgen-sdk"
_NOT_FOR_USE = {"dev", "all"}
_PAIR = ("torch", "torchaudio")
_MARK = "mmgen-probe "
_PROBE_SECONDS = 300
_LITTLE_SPACE, _NO_SPACE = 5e9, 0.2e9
_STYLES = {"ok": "green", "warning": "yellow", "wrong": "bold red"}


@dataclass(frozen=True)
class _Row:
    """One thing that was looked at.

    Args:
        check: What.
        state: "ok", "warning" or "wrong".
        found: What there is.
        mend: What to do about it, or how to add what is optional; empty if there is nothing to do.
    """

    check: str
    state: str
    found: str
    mend: str = ""


def doctor(as_json: AsJson = False) -> None:
    """Check the installation and say how to mend it."""
    with spinner("Looking (it imports torch and what is optional; some seconds)"):
        rows = list(_rows())
    count = {state: sum(r.state == state for r in rows) for state in _STYLES}
    if as_json:
        content = {"mmgen_version": __version__, "ok": not count["wrong"]}
        write_json(content | {"checks": [asdict(r) for r in rows]})
    else:
        _print(rows)
        typer.echo(", ".join(f"{n} {state}" for state, n in count.items()))
    if count["wrong"]:
        raise typer.Exit(1)


def _print(rows: list[_Row]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    width = max(len(r.check) for r in rows) + 2
    for row in rows:
        line = Text.assemble(
            (f"{row.state:9}", _STYLES[row.state]), f"{row.check:{width}}{row.found}"
        )
        # A command that is broken into lines cannot be copied.
        console.print(line, soft_wrap=True)
        if row.mend:
            console.print(Text(" " * (9 + width) + row.mend, "bold"), soft_wrap=True)


def _rows() -> Iterator[_Row]:
    try:
        from packaging.requirements import Requirement
        from packaging.specifiers import SpecifierSet

        about = metadata.metadata(_DISTRIBUTION)
        needed = [Requirement(r) for r in metadata.requires(_DISTRIBUTION) or ()]
    except ImportError as error:
        # PackageNotFoundError is one, too.
        mend = f"pip install packaging {_DISTRIBUTION}"
        yield _Row("installation", "wrong", f"cannot be read: {error}", mend)
        needed = []
    else:
        python, wanted = platform.python_version(), SpecifierSet(about["Requires-Python"])
        fits = wanted.contains(python, prereleases=True)
        mend = "" if fits else f"Make an environment with a Python {_bounds(wanted)}."
        yield _Row("python", "ok" if fits else "wrong", f"{python} (needs {_bounds(wanted)})", mend)
    core = {r.name: r for r in needed if r.marker is None}
    extras = _extras(needed)
    modules = _modules_of(extras)
    told = _ask_probe([m for own in modules.values() for m in own])
    for requirement in core.values():
        yield _of_library(requirement, core)
    yield _of_pair(told, core)
    yield from _of_devices(told)
    for extra, own in extras.items():
        yield _of_extra(extra, own, modules, told)
    yield from _of_weights(told)
    yield from _of_folders()


# Libraries ----------------------------------------------------------------------------------------


def _of_library(requirement: Requirement, core: Mapping[str, Requirement]) -> _Row:
    bounds = _bounds(requirement.specifier)
    version = _version(requirement.name)
    mend = _pip(requirement)
    if requirement.name in _PAIR:
        mend = _pip(*(core[n] for n in _PAIR if n in core))
    if version is None:
        return _Row(requirement.name, "wrong", f"not installed (needs {bounds})", mend)
    if not requirement.specifier.contains(version, prereleases=True):
        return _Row(requirement.name, "wrong", f"{version} (needs {bounds})", mend)
    return _Row(requirement.name, "ok", f"{version} (needs {bounds})")


def _of_pair(told: Mapping[str, Any], core: Mapping[str, Requirement]) -> _Row:
    mend = _pip(*(core[n] for n in _PAIR if n in core)) if core else ""
    for name in _PAIR:
        error = told.get(name, {}).get("error", told["ended"])
        if error:
            return _Row("torch + torchaudio", "wrong", f"{name} does not import: {error}", mend)
    return _Row("torch + torchaudio", "ok", "import together")


def _extras(needed: list[Requirement]) -> dict[str, list[Requirement]]:
    names = metadata.metadata(_DISTRIBUTION).get_all("Provides-Extra") or () if needed else ()
    return {
        name: [r for r in needed if r.marker is not None and r.marker.evaluate({"extra": name})]
        for name in names
        if name not in _NOT_FOR_USE
    }


def _modules_of(extras: Mapping[str, list[Requirement]]) -> dict[str, list[str]]:
    """Module names of the extras' distributions that are installed."""
    wanted = {_canonical(r.name): r.name for own in extras.values() for r in own}
    found: dict[str, list[str]] = {}
    for module, distributions in metadata.packages_distributions().items():
        for distribution in distributions:
            name = wanted.get(_canonical(distribution))
            # Some put their tests and their shared libraries beside the module.
            if name is not None and module.isidentifier() and not module.startswith("_"):
                found.setdefault(name, []).append(module)
    return found


def _of_extra(
    extra: str,
    own: list[Requirement],
    modules: Mapping[str, list[str]],
    told: Mapping[str, Any],
) -> _Row:
    name, mend = f"extra {extra}", f'pip install "{_DISTRIBUTION}[{extra}]"'
    versions = {r.name: _version(r.name) for r in own}
    missing = [n for n, v in versions.items() if v is None]
    if len(missing) == len(own):
        return _Row(name, "ok", f"not installed: {', '.join(missing)}", f"To add it: {mend}")
    if missing:
        return _Row(name, "warning", f"in part; missing: {', '.join(missing)}", mend)
    wrong = [
        f"{r.name} {versions[r.name]} (needs {_bounds(r.specifier)})"
        for r in own
        if not r.specifier.contains(versions[r.name], prereleases=True)
    ]
    if wrong:
        return _Row(name, "warning", ", ".join(wrong), mend)
    for module in (m for r in own for m in modules.get(r.name, ())):
        error = told["modules"].get(module, {}).get("error", told["ended"])
        if error:
            mend = mend.replace("install", "install --force-reinstall")
            return _Row(name, "warning", f"{module} does not import: {error}", mend)
    return _Row(name, "ok", ", ".join(f"{n} {v}" for n, v in versions.items()))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _bounds(specifier: Any) -> str:
    # Lower bound first, which metadata does not keep.
    return ",".join(sorted(map(str, specifier), reverse=True)) or "any version"


def _pip(*requirements: Requirement) -> str:
    return "pip install " + " ".join(f'"{r.name}{_bounds(r.specifier)}"' for r in requirements)


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


# The other process --------------------------------------------------------------------------------


def probe() -> None:
    """Import what may be broken, one thing after another, and tell of each on stdout."""
    try:
        _tell("torch", **_devices())
    except Exception as error:
        _tell("torch", error=_one_line(error))
        return
    for recipe in hub.recipes().values():
        try:
            if recipe.weights.is_file():
                hub.read_shipped(recipe)
            _tell("weights", name=recipe.name, size=_size(recipe.weights))
        except Exception as error:
            _tell("weights", name=recipe.name, error=_one_line(error))
    for key, module in (("torchaudio", "torchaudio"), *(("modules", m) for m in sys.argv[1:])):
        try:
            import_module(module)
            _tell(key, name=module)
        except Exception as error:
            _tell(key, name=module, error=_one_line(error))


def _devices() -> dict[str, Any]:
    import torch

    gpus = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        about = torch.cuda.get_device_properties(index)
        gpus.append(f"{about.name}, {about.total_memory / 1e9:.0f} GB")
    return {
        "gpus": gpus,
        "gpu_bf16": bool(gpus) and torch.cuda.is_bf16_supported(),
        "mps": torch.backends.mps.is_available(),
        "threads": torch.get_num_threads(),
        # Any processor computes bf16; few compute it faster than float32.
        "cpu_bf16": torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported(),
    }


def _tell(key: str, **content: Any) -> None:
    print(_MARK + json.dumps({"key": key, **content}), flush=True)  # noqa: T201 - to doctor


def _ask_probe(modules: list[str]) -> dict[str, Any]:
    """What `probe` told, and how it ended if that was too early."""
    # -P: a file named torch.py in the current folder is no broken installation.
    code = "from mmgen.cli.doctor import probe; probe()"
    command = [sys.executable, "-P", "-c", code, *modules]
    told: dict[str, Any] = {"weights": [], "modules": {}, "ended": ""}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_PROBE_SECONDS
        )
        output, last = done.stdout, (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        if done.returncode:
            told["ended"] = f"the process ended with {done.returncode}: {last}"
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"").decode(errors="replace")
        told["ended"] = f"it took longer than {_PROBE_SECONDS} s"
    for line in output.splitlines():
        if not line.startswith(_MARK):
            continue
        row = json.loads(line.removeprefix(_MARK))
        key = row.pop("key")
        if key == "weights":
            told["weights"].append(row)
        elif key == "modules":
            told["modules"][row["name"]] = row
        else:
            told[key] = row
    return told


def _of_devices(told: Mapping[str, Any]) -> Iterator[_Row]:
    about = told.get("torch", {})
    if "threads" not in about:
        yield _Row(
            "devices", "warning", "not looked at: torch does not import", "Mend torch first."
        )
        return
    bf16 = "fast" if about["cpu_bf16"] else "slow"
    yield _Row("CPU", "ok", f"{about['threads']} of {os.cpu_count()} threads, bf16 {bf16}")
    yield from _of_load(about["threads"])
    for index, gpu in enumerate(about["gpus"]):
        yield _Row(f"cuda:{index}", "ok", f"{gpu}, bf16 {'yes' if about['gpu_bf16'] else 'no'}")
    if about["mps"]:
        yield _Row("mps", "ok", "there is one")
    if not about["gpus"] and shutil.which("nvidia-smi"):
        mend = "Compare the driver that nvidia-smi shows with https://pytorch.org/get-started."
        yield _Row("CUDA", "warning", "there is an NVIDIA driver, but torch sees no GPU", mend)
    elif not about["gpus"] and not about["mps"]:
        yield _Row("GPU", "ok", "none: computing on the CPU")


def _of_load(threads: int) -> Iterator[_Row]:
    # Threads of one product wait for each other, so one that must share its core holds up all.
    if not hasattr(os, "getloadavg") or threads == 1:
        return
    load = os.getloadavg()[0]
    if load > (os.cpu_count() or 1) / 2:
        mend = "While others compute here, OMP_NUM_THREADS=1 is faster, often by far."
        yield _Row("load", "warning", f"{load:.1f} processes are computing", mend)


def _of_weights(told: Mapping[str, Any]) -> Iterator[_Row]:
    rows = {row["name"]: row for row in told["weights"]}
    for name in hub.recipes():
        row = rows.get(
            name, {"error": f"not looked at: {told['ended'] or 'torch does not import'}"}
        )
        if name not in rows:
            yield _Row(name, "warning", row["error"], "Mend torch first.")
        elif "error" in row:
            mend = f"pip install --force-reinstall --no-deps {_DISTRIBUTION}"
            yield _Row(name, "wrong", row["error"], mend)
        elif row["size"] is None:
            yield _Row(name, "warning", "ships no weights", f"mmgen train {name}")
        else:
            yield _Row(name, "ok", f"weights are whole, {row['size'] / 1e6:.1f} MB")


# Folders ------------------------------------------------------------------------------------------


def _of_folders() -> Iterator[_Row]:
    cache = _cache()
    there = next(p for p in (cache, *cache.parents) if p.exists())
    writable = there.is_dir() and os.access(there, os.W_OK)
    mend = "" if writable else "Set HF_HOME to a folder that you may write to."
    found = f"{cache}{'' if cache.exists() else ' (not made yet)'}"
    yield _Row(
        "cache", "ok" if writable else "wrong", found + ("" if writable else ": not writable"), mend
    )
    for name, folder in (("disk of the cache", there), ("disk here", Path.cwd())):
        free = shutil.disk_usage(folder).free
        state = "wrong" if free < _NO_SPACE else "warning" if free < _LITTLE_SPACE else "ok"
        mend = "" if state == "ok" else f"Free some space on the disk of {folder}."
        yield _Row(name, state, f"{free / 1e9:.1f} GB free", mend)


def _cache() -> Path:
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return Path.home() / ".cache" / "huggingface" / "hub"
    return Path(HF_HUB_CACHE)


def _size(file: Path) -> int | None:
    return file.stat().st_size if file.is_file() else None


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
