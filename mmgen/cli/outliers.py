"""`mmgen outliers`: which x are unlike a calibration set."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mmgen.cli.console import progress_bar, spinner, write_json, write_table
from mmgen.cli.device import find_device
from mmgen.cli.naming import find_named
from mmgen.cli.options import split_pairs, typed_options
from mmgen.cli.values import check_values, files_of, load_values
from mmgen.version import __version__

__all__ = ["outliers"]


def outliers(  # noqa: PLR0913 - a parameter is an option of the command line
    name: Annotated[str, typer.Argument(help="A pipeline of `mmgen list`, or a saved folder.")],
    files: Annotated[
        list[Path], typer.Argument(metavar="X_FILE...", help="Values of X, a file each.")
    ],
    calibration: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Files of usual values that the model was not trained on."
        ),
    ],
    score: Annotated[
        list[str] | None,
        typer.Option(help="log_prob, typicality or complexity. Repeat it; all if not given."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of estimates, for the first x.")] = 0,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Any option that `mmgen show NAME` lists."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1, mps. The GPU if there is one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Tell which x are odd, by p-values.

    How unlike the calibration set the x in each X_FILE is: a small p-value is odd.
    """
    options = split_pairs(option or (), flag="--option")
    # What libraries print must not come between the lines of JSON.
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        result = _run(name, files, calibration, score, options, seed=seed, device=device)
    if as_json:
        write_json(result)
    else:
        _print(result)


def _run(
    name: str,
    files: list[Path],
    calibration: Path,
    scores: list[str] | None,
    options: Mapping[str, str],
    *,
    seed: int,
    device: str | None,
) -> dict[str, Any]:
    found = find_named(name)
    usual = files_of(calibration)
    started = time.monotonic()
    with spinner(f"Loading {name}"):
        from mmgen.inference.outlier import SCORES, OutlierDetector
        from mmgen.modalities import modality
        from mmgen.pipeline import Pipeline

        every = [*usual, *files]
        values = load_values(every, modality(found.x))
        pipe = Pipeline.from_pretrained(name, device=find_device(device))
        check_values(every, values, pipe.codec)
    loaded = time.monotonic()
    with progress_bar("Calibrating") as step:
        detector = OutlierDetector(
            pipe,
            values[: len(usual)],
            scores=scores or SCORES,
            seed=seed,
            progress=step,
            **typed_options(options, pipe.options()),
        )
    with progress_bar("Testing") as step:
        tests = detector.test(values[len(usual) :], seed=seed, progress=step)
    return {
        "name": name,
        "recipe": found.recipe,
        "calibration": {"folder": str(calibration), "values": len(usual)},
        "scores": list(detector.scores),
        "kind": detector.kind,
        "files": [
            {
                "file": str(file),
                "p_value": test.p_value,
                "p_values": test.p_values,
                "scores": test.scores,
            }
            for file, test in zip(files, tests, strict=True)
        ],
        "device": str(pipe.device),
        "seconds": {
            "load": round(loaded - started, 3),
            "score": round(time.monotonic() - loaded, 3),
        },
        "mmgen_version": __version__,
    }


def _print(result: Mapping[str, Any]) -> None:
    names = result["scores"] if len(result["scores"]) > 1 else []
    rows = [
        (row["file"], *(f"{p:.3f}" for p in (row["p_value"], *map(row["p_values"].get, names))))
        for row in result["files"]
    ]
    write_table(("x", "p-value", *names), rows)
    count = result["calibration"]["values"]
    typer.echo(
        f"\np-value: share of {count} usual values and x that look as odd as x or odder, at least "
        f"{1 / (count + 1):.3f}"
    )
    typer.echo(f"log p(x): {result['kind']}")
