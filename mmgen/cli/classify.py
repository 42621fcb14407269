"""`mmgen classify`: which y explains x, by Bayes' rule."""

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

__all__ = ["classify"]


def classify(  # noqa: PLR0913 - a parameter is an option of the command line
    name: PipelineName,
    files: XFiles,
    candidate: Annotated[
        list[str], typer.Option(metavar="VALUE", help="A condition that x may be of. Repeat it.")
    ],
    prior: Annotated[
        list[float] | None,
        typer.Option(help="Probability of each candidate, in their order. All alike if not given."),
    ] = None,
    none: Annotated[
        bool, typer.Option("--none", help="Also weigh that x is of none of them (prior 0.1).")
    ] = False,
    budget: Annotated[
        int | None, typer.Option(help="Most log-probabilities to find for one x.")
    ] = None,
    seed: SeedOfEstimates = 0,
    option: PipelineOptions = None,
    device: DeviceName = None,
    as_json: AsJson = False,
) -> None:
    """Tell which y explains x, by Bayes' rule.

    P(candidate | x) for the x in each X_FILE.
    """
    options = split_pairs(option or (), flag="--option")
    settings = {"none": none, "device": device, "prior": prior, "budget": budget, "seed": seed}
    answer(lambda: _run(name, files, candidate, options, **settings), _print, as_json=as_json)


def _run(
    name: str,
    files: list[Path],
    candidates: list[str],
    options: Mapping[str, str],
    *,
    none: bool,
    device: str | None,
    **settings: Any,
) -> dict[str, Any]:
    judge = load_judge(name, files, device=device)
    pipe = judge.pipe
    from mmgen.inference import NoneOfThese
    from mmgen.inference import classify as by_bayes

    with progress_bar("Scoring") as step:
        judged = by_bayes(
            pipe,
            judge.values,
            [pipe.encoder.read(text) for text in candidates],
            none_of_these=NoneOfThese() if none else None,
            progress=step,
            **settings,
            **typed_options(options, pipe.options()),
        )
    names = [*candidates, *judged[0].candidates[len(candidates) :]]
    return judge.result(
        candidates=names,
        kind=judged[0].kind,
        how=judged[0].how,
        files=[
            {
                "file": str(file),
                "best": names[int(row.probability.argmax())],
                "probability": row.probability.tolist(),
                "std_error": row.std_error.tolist(),
                "num_evaluations": row.num_evaluations,
            }
            for file, row in zip(files, judged, strict=True)
        ],
    )


def _print(result: Mapping[str, Any]) -> None:
    rows = []
    for row in result["files"]:
        columns = zip(result["candidates"], row["probability"], row["std_error"], strict=True)
        ranked = sorted(columns, key=lambda c: -c[1])
        for place, (candidate, probability, error) in enumerate(ranked):
            shown = f"{probability:.3f}" + (f" +- {error:.3f}" if error else "")
            rows.append(("" if place else row["file"], candidate, shown))
    write_table(("x", "y", "P(y | x)"), rows)
    typer.echo(f"\nlog p(x | y): {result['kind']}; {result['how']}")
