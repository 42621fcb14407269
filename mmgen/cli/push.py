"""`mmgen push`: a saved pipeline or adapter to the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmgen.cli.console import spinner

__all__ = ["push"]


def push(
    folder: Annotated[
        Path, typer.Argument(help="A saved pipeline or adapter, or the folder of a run.")
    ],
    repo_id: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Where to.")],
    adapter: Annotated[
        bool, typer.Option("--adapter", help="Of a run, the adapter alone.")
    ] = False,
    private: Annotated[
        bool, typer.Option("--private", help="Make it private, if it is not there yet.")
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Branch; the main one if not given.")] = None,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be uploaded, and send nothing.")
    ] = False,
) -> None:
    """Upload a saved pipeline or adapter with its card. Checkpoints and pairs stay here.

    The token is that of `hf auth login`, or HF_TOKEN.
    """
    with spinner(f"Reading {folder}"):
        from mmgen.push import push_to_hub, what_to_push

        found = what_to_push(folder, repo_id, adapter=adapter)
    sizes = {name: (found.folder / name).stat().st_size for name in found.files}
    for name, size in {**sizes, "README.md": len(found.readme.encode())}.items():
        typer.echo(f"{size / 1e6:10.3f} MB  {name}")
    if dry_run:
        typer.echo(f"\n{found.readme}")
        return
    with spinner(f"Uploading to {repo_id}"):
        options = {"private": private, "revision": revision, "message": message}
        address = push_to_hub(folder, repo_id, adapter=adapter, **options)
    typer.echo(f"Uploaded {address}")
