"""`mmgen train`: make a recipe's weights again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import typer

from mmgen import hub
from mmgen.cli.console import spinner
from mmgen.cli.parameters import DeviceName
from mmgen.cli.runs import DryRun, choose_device, show_rehearsal, steps_done, stoppable
from mmgen.core.errors import SpecError

__all__ = ["train"]

# What is chosen for a run and not for its length also goes for what is trained before.
_FOR_ALL = ("seed", "precision", "tensorboard")
_NEEDED = ("TRAINING", "PREVIEW", "pairs", "build")


def train(  # noqa: PLR0913 - a parameter is an option of the command line
    name: Annotated[str, typer.Argument(help="A recipe of `mmgen list`.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the run; runs/<name> if not given."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Optimiser steps. A finished run goes on if asked for more.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pairs in a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and noise.")] = None,
    device: DeviceName = None,
    tensorboard: Annotated[
        bool | None, typer.Option("--tensorboard", help="Write logs for TensorBoard, too.")
    ] = None,
    compile_: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="A slow start, faster steps.")
    ] = None,
    precision: Annotated[
        Literal["auto", "no", "bf16", "fp16"] | None, typer.Option(help="Mixed precision.")
    ] = None,
    ship: Annotated[
        bool, typer.Option("--ship/--no-ship", help="Write the weights beside the recipe, too.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Train a recipe on the pairs it names. Goes on where the same run was stopped."""
    recipe = hub.find_recipe(name)
    output = output or Path("runs") / recipe.name.replace("-", "_").replace(":", "_")
    given = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "tensorboard": tensorboard,
        "compile": compile_,
        "precision": precision,
    }
    overrides = {k: v for k, v in given.items() if v is not None}
    with spinner(f"Loading {recipe.name}"):
        module = _module(recipe)
        choose_device(device)
    if dry_run:
        _rehearse(recipe, module, overrides)
        return
    with stoppable(output):
        saved = _fit(recipe, module, output, overrides, ship=ship)
    typer.echo(f"Saved {saved}")
    if ship:
        typer.echo(f"Shipped {recipe.weights}")
    typer.echo(f"Use it:  mmgen generate {shlex.quote(str(saved))} {_typed(module.PREVIEW[0])}")
    typer.echo(f"         Pipeline.from_pretrained({str(saved)!r})")


def _fit(
    recipe: hub.Recipe,
    module: ModuleType,
    output: Path,
    overrides: dict[str, Any],
    *,
    ship: bool,
) -> Path:
    import torch
    from accelerate import PartialState

    from mmgen.pipeline import Pipeline
    from mmgen.training import TrainSettings
    from mmgen.training.recipes import fit_recipe

    chosen = module.TRAINING | overrides
    # Read once before anything is built, so that a wrong one is said at once.
    settings = TrainSettings(**chosen)
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    pipe = Pipeline.build(recipe.name)
    done = steps_done(output)
    count = sum(p.numel() for p in pipe.parts.parameters())
    typer.echo(
        f"Training {recipe.name} ({count / 1e6:.1f} M parameters) for {settings.steps} steps of "
        f"{settings.batch_size} pairs in {output}"
    )
    if done is not None:
        typer.echo(f"Going on from step {done} of the checkpoint there.")
    fit_recipe(
        module,
        pipe,
        output=output,
        overrides=overrides,
        before=_for_all(overrides),
        say=typer.echo,
    )
    saved = output / "pipeline"
    # Under torchrun or accelerate launch, one process of several writes.
    if ship and PartialState().is_main_process:
        hub.write_shipped(recipe, pipe.to("cpu").parts)
    PartialState().destroy_process_group()
    return saved


def _rehearse(recipe: hub.Recipe, module: ModuleType, overrides: dict[str, Any]) -> None:
    """Say what training would take, stage by stage."""
    import torch

    from mmgen.pipeline import Pipeline
    from mmgen.training import TrainSettings, rehearse
    from mmgen.training.recipes import stages_of

    chosen = module.TRAINING | overrides
    torch.manual_seed(TrainSettings(**chosen).seed)
    pipe = Pipeline.build(recipe.name)
    pairs = module.pairs("train")
    for stage, settings in stages_of(module, _for_all(overrides)):
        part = module.pretraining(stage, pipe)
        show_rehearsal(rehearse(part, pairs, **settings), f"First its {stage}")
        part.parts.requires_grad_(False)
    show_rehearsal(rehearse(pipe, pairs, **chosen), recipe.name)


def _for_all(overrides: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in overrides.items() if k in _FOR_ALL}


def _module(recipe: hub.Recipe) -> ModuleType:
    module = recipe.module()
    missing = [n for n in _NEEDED if n not in vars(module)]
    if missing:
        raise SpecError(
            f"The recipe {recipe.name} cannot be trained: it has no {', '.join(missing)}. Add what "
            f"is missing to {recipe.path}."
        )
    return module


def _typed(condition: Any) -> str:
    """A condition as one would type it; FILE for what lies in one."""
    if isinstance(condition, (str, int, float)):
        return shlex.quote(str(condition))
    if not isinstance(condition, Mapping):
        return "FILE"
    given = {k: v for k, v in condition.items() if v is not None}
    return " ".join(f"--with {shlex.quote(f'{k}={v}')}" for k, v in given.items())
