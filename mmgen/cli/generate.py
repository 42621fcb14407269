"""`mmgen generate`: draw from P(X | y) into a file."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmgen.cli.console import answer, progress_bar, spinner
from mmgen.cli.known import Known
from mmgen.cli.loading import (
    AdapterPaths,
    BaseName,
    CacheFolder,
    ComputeType,
    DeviceMap,
    EngineName,
    Loading,
    LocalFilesOnly,
    MaxMemory,
    Offload,
    OffloadFolder,
    Precision,
    Quantization,
    Revision,
    Writes,
)
from mmgen.cli.options import split_pairs, typed_options
from mmgen.cli.parameters import AsJson, DeviceName, PipelineOptions
from mmgen.core.files import check_output
from mmgen.version import __version__

if TYPE_CHECKING:
    from mmgen.pipeline import Pipeline

__all__ = ["generate"]


@dataclass(frozen=True)
class _Request:
    """What was asked for.

    Args:
        name: The pipeline, as it was named.
        conditions: Values of the main part of the condition; empty to leave it out.
        parts: Further parts of a composite condition.
        options: Sampling options, as text or in their own type.
        known: What else is known of X.
        num_samples: For each condition.
        seed: Of the first sample.
    """

    name: str
    conditions: Sequence[str]
    parts: Mapping[str, str]
    options: Mapping[str, Any]
    known: Known
    num_samples: int
    seed: int

    @property
    def count(self) -> int:
        """Number of samples in all."""
        return self.num_samples * max(1, len(self.conditions))


def generate(  # noqa: PLR0913 - a parameter is an option of the command line
    name: Annotated[
        str, typer.Argument(help="A pipeline of `mmgen list`, a saved folder, or a Hub id.")
    ],
    conditions: Annotated[
        list[str] | None,
        typer.Argument(metavar="CONDITION...", help="What to generate from; several make a grid."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File to write, over what is there; its ending is its format."
        ),
    ] = None,
    num_samples: Annotated[
        int, typer.Option("--num-samples", "-n", help="For each condition.")
    ] = 1,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same result. Drawn if not given.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="num_inference_steps of the pipeline.")] = None,
    guidance_scale: Annotated[
        float | None, typer.Option(help="How strongly to follow the condition.")
    ] = None,
    negative_prompt: Annotated[
        str | None, typer.Option(help="What guidance leads away from.")
    ] = None,
    option: PipelineOptions = None,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="PART=VALUE", help="A further part of the condition."),
    ] = None,
    known: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A value of X of which a part is known, with --mask."),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The known part: a black-and-white picture for an image, white = known; for a "
            "text spans of characters, 0:12,30:40; for any X a .npy file of a boolean array.",
        ),
    ] = None,
    operator: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:ARG=VALUE,...]",
            help="What measured X: greyscale, downsample:factor=4, blur:std=2, mask:mask=FILE, "
            "radon:size=64,num_angles=30. Repeat it for one after another.",
        ),
    ] = None,
    measurement: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="What it measured: a picture, or a .npy file."),
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(help="Standard deviation of its error; images lie in [-1, 1]."),
    ] = None,
    posterior: Annotated[
        str | None, typer.Option(help="How a measurement is used: mmps or split_gibbs.")
    ] = None,
    device: DeviceName = None,
    dtype: Precision = "float32",
    adapter: AdapterPaths = None,
    base: BaseName = None,
    revision: Revision = None,
    cache_dir: CacheFolder = None,
    local_files_only: LocalFilesOnly = False,
    device_map: DeviceMap = None,
    max_memory: MaxMemory = None,
    offload_folder: OffloadFolder = None,
    offload: Offload = None,
    quantization: Quantization = None,
    engine: EngineName = None,
    compute_type: ComputeType = None,
    writes: Writes = None,
    as_json: AsJson = False,
) -> None:
    """Sample P(X | CONDITION) into a file.

    With --known, or with --measurement, what else is known of X.
    """
    parts = split_pairs(with_ or (), flag="--with")
    given = {
        "num_inference_steps": steps,
        "guidance_scale": guidance_scale,
        "negative_prompt": negative_prompt,
    }
    options: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    for key, text in split_pairs(option or (), flag="--option").items():
        if key in options:
            raise ValueError(f"{key} is given twice. Give it once.")
        options[key] = text
    first = secrets.randbelow(2**31) if seed is None else seed
    more = Known(known, mask, tuple(operator or ()), measurement, noise, posterior)
    request = _Request(name, conditions or (), parts, options, more, num_samples, first)
    loading = Loading(
        device=device,
        dtype=dtype,
        adapters=tuple(adapter or ()),
        base=base,
        revision=revision,
        cache_dir=cache_dir,
        local_files_only=local_files_only,
        device_map=device_map,
        max_memory=tuple(max_memory or ()),
        offload_folder=offload_folder,
        offload=offload,
        quantization=quantization,
        engine=engine,
        compute_type=compute_type,
        writes=writes,
    )
    answer(
        lambda: _run(request, loading, output),
        partial(_print, drawn=seed is None),
        as_json=as_json,
    )


def _run(request: _Request, loading: Loading, output: Path | None) -> dict[str, Any]:
    found = loading.find(request.name)
    given = request.conditions or request.parts or request.known.typed
    if found.y is not None and not given:
        raise typer.BadParameter(f"Say what to generate {found.x} from.", param_hint="CONDITION")
    started = time.monotonic()
    with spinner(f"Loading {request.name}"):
        from mmgen.core.options import resolve_options
        from mmgen.modalities import modality

        kind = modality(found.x)
        path = _check_path(output, kind, what=found.x)
        seeds = _seeds(request)
        more = request.known.read(kind, count=max(1, len(request.conditions)))
        pipe = loading.load(request.name)
    loaded = time.monotonic()
    options = typed_options(request.options, pipe.options())
    resolved = resolve_options(pipe.options(), options)
    with progress_bar("Sampling") as step:
        rows = pipe(
            _values(request, pipe),
            num_samples=request.num_samples,
            seed=request.seed,
            progress=step,
            **more,
            **options,
        )
    sampled = time.monotonic()
    path = path or _free_path(request, kind.SUFFIXES[0])
    _save(kind, rows, path, request.conditions)
    # What fits a line is also said.
    said = {} if kind.IN_FILES else {"values": rows}
    return {
        "file": str(path),
        **said,
        "name": request.name,
        "recipe": found.recipe,
        "conditions": list(request.conditions),
        "with": dict(request.parts),
        "known": request.known.typed,
        "seeds": seeds,
        "options": resolved,
        "device": str(pipe.device),
        "dtype": loading.dtype,
        "adapters": list(loading.adapters),
        "seconds": {"load": round(loaded - started, 3), "sample": round(sampled - loaded, 3)},
        "mmgen_version": __version__,
    }


def _check_path(output: Path | None, kind: ModuleType, *, what: str) -> Path | None:
    if output is not None:
        check_output(output, kind.SUFFIXES, what=f"{'an' if what[0] in 'aeiou' else 'a'} {what}")
    folder = output.parent if output is not None else Path()
    if not os.access(folder, os.W_OK):
        raise PermissionError(
            f"You may not write to {str(folder.resolve())!r}. Name another --output."
        )
    return output


def _seeds(request: _Request) -> list[int]:
    from mmgen.core.rng import expand_seeds
    from mmgen.pipeline import MAX_SAMPLES

    # Before the list of them is made.
    if not 1 <= request.count <= MAX_SAMPLES:
        raise ValueError(
            f"--num-samples is at least 1, and at most {MAX_SAMPLES} over all conditions, got "
            f"{request.num_samples} for each of {max(1, len(request.conditions))}. Draw more in "
            "several calls with other seeds."
        )
    return expand_seeds(request.seed, request.count)


def _values(request: _Request, pipe: Pipeline) -> list[Any]:
    texts = request.conditions or [None]
    return [pipe.encoder.read_with(text, request.parts) for text in texts]


def _save(kind: ModuleType, rows: list[list[Any]], path: Path, conditions: Sequence[str]) -> None:
    values = [value for row in rows for value in row]
    if len(values) == 1:
        kind.save(values[0], path)
        return
    several = len(conditions) > 1
    titles = [c for c, row in zip(conditions, rows, strict=True) for _ in row] if several else ()
    kind.save_many(values, path, titles)


def _free_path(request: _Request, suffix: str) -> Path:
    text = " ".join([*request.conditions, *request.parts.values()])
    stem = re.sub(r"[\W_]+", "-", text.lower()).strip("-")[:60].strip("-") or "sample"
    path, number = Path(stem + suffix), 1
    while path.exists():
        number += 1
        path = Path(f"{stem}-{number}{suffix}")
    return path


def _print(result: Mapping[str, Any], *, drawn: bool) -> None:
    seeds, seconds = result["seeds"], result["seconds"]
    shown = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}, one for each sample"
    if drawn:
        shown += f" (drawn; --seed {seeds[0]} gives the same again)"
    lines = {"pipeline": result["name"], "seed": shown}
    if result["name"] != result["recipe"]:
        lines["pipeline"] += f" ({result['recipe']})"
    if "num_inference_steps" in result["options"]:
        lines["steps"] = str(result["options"]["num_inference_steps"])
    lines["device"] = f"{result['device']}, {result['dtype']}"
    if result["adapters"]:
        lines["adapters"] = ", ".join(result["adapters"])
    lines["seconds"] = f"{seconds['load']:.1f} to load, {seconds['sample']:.1f} to sample"
    for value in (value for row in result.get("values", ()) for value in row):
        typer.echo(value)
    typer.echo(result["file"])
    for label, value in lines.items():
        typer.echo(f"  {label:9} {value}")
