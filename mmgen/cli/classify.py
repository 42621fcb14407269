"""`mmgen classify`: which y explains x, by Bayes' rule."""

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
from mmgen.cli.values import check_values, load_values
from mmgen.version import __version__

__all__ = ["classify"]


def classify(  # noqa: PLR0913 - a parameter is an option of the command line
    name: Annotated[str, typer.Argument(help="A pipeline of `mmgen list`, or a saved folder.")],
    files: Annotated[
        list[Path], typer.Argument(metavar="X_FILE...", help="Values of X, a file each.")
    ],
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
    """Tell which y explains x, by Bayes' rule.

    P(candidate | x) for the x in each X_FILE.
    """
    settings = {"prior": prior, "budget": budget, "seed": seed}
    options = split_pairs(option or (), flag="--option")
    # What libraries print must not come between the lines of JSON.
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        result = _run(name, files, candidate, options, none=none, device=device, **settings)
    if as_json:
        write_json(result)
    else:
        _print(result)


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
    found = find_named(name)
    started = time.monotonic()
    with spinner(f"Loading {name}"):
        from mmgen.inference import NoneOfThese
        from mmgen.inference import classify as by_bayes
        from mmgen.modalities import modality
        from mmgen.pipeline import Pipeline

        values = load_values(files, modality(found.x))
        pipe = Pipeline.from_pretrained(name, device=find_device(device))
        check_values(files, values, pipe.codec)
    loaded = time.monotonic()
    with progress_bar("Scoring") as step:
        judged = by_bayes(
            pipe,
            values,
            [pipe.encoder.read(text) for text in candidates],
            none_of_these=NoneOfThese() if none else None,
            progress=step,
            **settings,
            **typed_options(options, pipe.options()),
        )
    names = [*candidates, *judged[0].candidates[len(candidates) :]]
    return {
        "name": name,
        "recipe": found.recipe,
        "candidates": names,
        "kind": judged[0].kind,
        "how": judged[0].how,
        "files": [
            {
                "file": str(file),
                "best": names[int(row.probability.argmax())],
                "probability": row.probability.tolist(),
                "std_error": row.std_error.tolist(),
                "num_evaluations": row.num_evaluations,
            }
            for file, row in zip(files, judged, strict=True)
        ],
        "device": str(pipe.device),
        "seconds": {
            "load": round(loaded - started, 3),
            "score": round(time.monotonic() - loaded, 3),
        },
        "mmgen_version": __version__,
    }


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
