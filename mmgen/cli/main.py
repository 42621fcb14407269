"""`mmgen`: the commands under one name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import takewhile
from typing import Annotated, NoReturn

import typer

from mmgen.cli.bench import bench
from mmgen.cli.classify import classify
from mmgen.cli.console import INTERRUPTED, report
from mmgen.cli.doctor import doctor
from mmgen.cli.finetune import finetune
from mmgen.cli.generate import generate
from mmgen.cli.listing import list_pipelines, show
from mmgen.cli.outliers import outliers
from mmgen.cli.pairs import pairs
from mmgen.cli.push import push
from mmgen.cli.rollout import rollout
from mmgen.cli.train import train
from mmgen.version import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    name="mmgen",
    help="Conditional generative models P(X | Y): list them, sample them, ask them, train them.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("generate")(generate)
app.command("classify")(classify)
app.command("outliers")(outliers)
app.command("bench")(bench)
app.command("rollout")(rollout)
app.command("train")(train)
app.command("finetune")(finetune)
app.add_typer(pairs, name="pairs")
app.command("push")(push)
app.command("list")(list_pipelines)
app.command("show")(show)
app.command("doctor")(doctor)


@app.callback(invoke_without_command=True)
def _global(
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        typer.echo(f"mmgen {__version__}")
    elif ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
    else:
        return
    raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and leave with its exit code: 0, 1 for an error, 2 for a wrong usage.

    Args:
        arguments: Those of the command line by default.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # Known before anything is parsed, because parsing can fail, too.
    flags = set(takewhile(lambda a: a != "--", arguments))
    how = {"as_json": "--json" in flags, "debug": "--debug" in flags}
    try:
        code = app(arguments, prog_name="mmgen", standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    except (typer.Abort, KeyboardInterrupt):
        code = report(KeyboardInterrupt(), **how)
    except Exception as error:
        code = report(error, **how)
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
