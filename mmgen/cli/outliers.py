"""`mmgen outliers`: which x are unlike a calibration set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mmgen.cli.console import answer, progress_bar, write_table
from mmgen.cli.judging import load_judge
from mmgen.cli.options import split_pairs, typed_options
from mmgen.cli.parameters import (
    AsJson,
    DeviceName,
    PipelineName,
    PipelineOptions,
    SeedOfEstimates,
    XFiles,
)
from mmgen.cli.values import files_of

__all__ = ["outliers"]


def outliers(  # noqa: PLR0913 - a parameter is an option of the command line
    name: PipelineName,
    files: XFiles,
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
    seed: SeedOfEstimates = 0,
    option: PipelineOptions = None,
    device: DeviceName = None,
    as_json: AsJson = False,
) -> None:
    """Tell which x are odd, by p-values.

    How unlike the calibration set the x in each X_FILE is: a small p-value is odd.
    """
    options = split_pairs(option or (), flag="--option")
    settings = {"seed": seed, "device": device}
    answer(
        lambda: _run(name, files, calibration, score, options, **settings), _print, as_json=as_json
    )


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
    usual = files_of(calibration)
    judge = load_judge(name, [*usual, *files], device=device)
    pipe, values = judge.pipe, judge.values
    from mmgen.inference.outlier import SCORES, OutlierDetector

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
    return judge.result(
        calibration={"folder": str(calibration), "values": len(usual)},
        scores=list(detector.scores),
        kind=detector.kind,
        files=[
            {
                "file": str(file),
                "p_value": test.p_value,
                "p_values": test.p_values,
                "scores": test.scores,
            }
            for file, test in zip(files, tests, strict=True)
        ],
    )


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
