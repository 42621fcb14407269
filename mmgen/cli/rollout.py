"""`mmgen rollout`: run a policy in an environment."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmgen import hub
from mmgen.cli.console import answer, progress_bar, spinner, write_table
from mmgen.cli.device import find_device
from mmgen.cli.options import split_pairs, typed_options
from mmgen.cli.parameters import AsJson, DeviceName, PipelineName, PipelineOptions
from mmgen.core.errors import SpecError, UnknownNameError
from mmgen.core.files import check_output

if TYPE_CHECKING:
    from mmgen.pipeline import Pipeline

__all__ = ["rollout"]

_SUFFIXES = (".mp4", ".gif")


def rollout(  # noqa: PLR0913 - a parameter is an option of the command line
    name: PipelineName,
    env: Annotated[
        str | None,
        typer.Option("--env", help="Environment of gymnasium; that of the recipe if not given."),
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 1,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same result. Drawn if not given.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A film of the first episode, .mp4 or .gif."),
    ] = None,
    action_steps: Annotated[
        int | None, typer.Option(help="Actions of a chunk carried out before the next is drawn.")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Where episodes are cut.")] = None,
    option: PipelineOptions = None,
    device: DeviceName = None,
    as_json: AsJson = False,
) -> None:
    """Run a policy in its environment: returns of episodes, and a film."""
    if output is not None:
        check_output(output, _SUFFIXES, what="a film")
    first = secrets.randbelow(2**31) if seed is None else seed
    given = {"num_action_steps": action_steps, "max_steps": max_steps}
    run = partial(
        _run,
        name,
        env,
        episodes=episodes,
        seed=first,
        output=output,
        given=given,
        options=split_pairs(option or (), flag="--option"),
        device=device,
    )
    answer(run, partial(_print, drawn=seed is None), as_json=as_json)


def _run(
    name: str,
    env: str | None,
    *,
    episodes: int,
    seed: int,
    output: Path | None,
    given: Mapping[str, int | None],
    options: Mapping[str, str],
    device: str | None,
) -> dict[str, Any]:
    with spinner(f"Loading {name}"):
        from mmgen.modalities import video
        from mmgen.pipeline import Pipeline
        from mmgen.serving import Rollout

        pipe = Pipeline.from_pretrained(name, device=find_device(device))
        known = _of_recipe(pipe)
        environment = env or known.get("environment")
        if environment is None:
            raise typer.BadParameter(f"Say where {name} shall act.", param_hint="--env")
        # What is known of a recipe is so of its own environment.
        own = known if environment == known.get("environment") else {}
        steps = given["num_action_steps"] or own.get("num_action_steps")
        player = Rollout(
            pipe,
            environment,
            num_action_steps=steps,
            max_steps=given["max_steps"],
            options=typed_options(options, pipe.options()),
        )
    started = time.monotonic()
    with progress_bar("Acting") as step:
        films = 0 if output is None else 1
        played = player.play(episodes, seed=seed, num_films=films, progress=step)
    seconds = time.monotonic() - started
    if output is not None:
        video.save(played[0].film, output)
    totals = [e.total for e in played]
    return {
        "name": name,
        "environment": environment,
        "num_action_steps": steps,
        "seed": seed,
        "episodes": [e.as_dict() for e in played],
        "mean_return": sum(totals) / len(totals),
        "film": None if output is None else str(output),
        "seconds": round(seconds, 2),
    }


def _of_recipe(pipe: Pipeline) -> Mapping[str, Any]:
    """What the recipe of a pipeline says of acting; nothing if it has none, or says nothing."""
    try:
        return getattr(hub.find_recipe(pipe.recipe or "").module(), "ROLLOUT", {})
    except (UnknownNameError, SpecError):
        return {}


def _print(result: Mapping[str, Any], *, drawn: bool) -> None:
    rows = [
        (
            str(e["seed"]),
            f"{e['total']:.1f}",
            str(e["steps"]),
            "ended" if e["terminated"] else "cut by time",
            "" if e["success"] is None else "yes" if e["success"] else "no",
        )
        for e in result["episodes"]
    ]
    write_table(("seed", "return", "steps", "end", "success"), rows)
    typer.echo(f"\n{result['environment']}: mean return {result['mean_return']:.1f}", nl=False)
    typer.echo(f" of {len(rows)}, {result['seconds']:.1f} s")
    if drawn:
        typer.echo(f"--seed {result['seed']} gives the same again")
    if result["film"]:
        typer.echo(result["film"])
