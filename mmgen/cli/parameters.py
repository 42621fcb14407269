"""Parameters that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Adapt",
    "AsJson",
    "ColumnNames",
    "DeviceName",
    "PairsPaths",
    "PipelineName",
    "PipelineOptions",
    "SeedOfEstimates",
    "XFiles",
]

PipelineName = Annotated[str, typer.Argument(help="A pipeline of `mmgen list`, or a saved folder.")]
XFiles = Annotated[
    list[Path], typer.Argument(metavar="X_FILE...", help="Values of X, a file each.")
]
SeedOfEstimates = Annotated[int, typer.Option(help="Of estimates, for the first x.")]
PipelineOptions = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Any option that `mmgen show NAME` lists."),
]
DeviceName = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1, mps. The GPU if there is one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, and nothing else.")]
PairsPaths = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH...",
        help="A file or folder of pairs; or several text files whose lines belong together, y "
        "first.",
    ),
]
ColumnNames = Annotated[
    list[str] | None,
    typer.Option(metavar="PART=NAME", help="The column of x, of y, or of a part of y. Repeat it."),
]
Adapt = Annotated[
    bool,
    typer.Option(
        "--adapt", help="Scale and crop images, resample and mix sounds, so that they fit."
    ),
]
