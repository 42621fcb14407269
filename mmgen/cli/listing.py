"""`mmgen list` and `mmgen show`: what there is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmgen import hub
from mmgen.cli.console import spinner, write_json
from mmgen.core.errors import LoadError
from mmgen.core.files import read_json

if TYPE_CHECKING:
    from rich.table import Table

    from mmgen.core.options import Option

__all__ = ["list_pipelines", "show"]

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


def list_pipelines(as_json: AsJson = False) -> None:
    """List the pipelines that need no network."""
    recipes = list(hub.recipes().values())
    if as_json:
        write_json([_row(r) for r in recipes])
        return
    from rich.console import Console
    from rich.text import Text

    table = _table("pipeline", "P(X | Y)", "family", "size", "weights")
    for recipe in recipes:
        card = recipe.card
        table.add_row(
            Text.assemble((recipe.name, "bold"), "\n", (card.summary, "dim"), "\n"),
            f"P({card.x} | {card.y})",
            card.family,
            _millions(card.parameters),
            "shipped" if recipe.weights.is_file() else "train",
        )
    console = Console()
    console.print(table)
    for recipe in recipes:
        if recipe.default:
            console.print(f"{recipe.name.split(':')[0]} alone means {recipe.name}.", soft_wrap=True)
    console.print("mmgen show NAME tells more.")


def show(
    name: Annotated[str, typer.Argument(help="A pipeline of `mmgen list`, or a saved folder.")],
    as_json: AsJson = False,
) -> None:
    """Show a pipeline's card and its sampling options."""
    folder = Path(name)
    content = _of_folder(folder) if folder.is_dir() else _of_recipe(hub.find_recipe(name))
    with spinner(f"Building {content['recipe']}"):
        from mmgen.pipeline import Pipeline

        options = Pipeline.build(content["recipe"], **content["choices"]).options()
    content["options"] = [_option(o) for o in options]
    if as_json:
        write_json(content)
    else:
        _print(content, options)


def _row(recipe: hub.Recipe) -> dict[str, Any]:
    card = recipe.card
    return {
        "name": recipe.name,
        "default": recipe.default,
        "x": card.x,
        "y": card.y,
        "family": card.family,
        "parameters": card.parameters,
        "weights": recipe.weights.is_file(),
        "summary": card.summary,
    }


def _of_recipe(recipe: hub.Recipe) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "choices": {},
        "card": recipe.card.as_dict(),
        "weights": str(recipe.weights) if recipe.weights.is_file() else None,
    }


def _of_folder(folder: Path) -> dict[str, Any]:
    if not (folder / "pipeline.json").is_file():
        hub.read_folder(folder)  # Says what is wrong with it.
    manifest = read_json(folder / "pipeline.json")
    wanted = {"recipe": str, "choices": dict, "sha256": dict}
    wrong = [k for k, kind in wanted.items() if not isinstance(manifest.get(k), kind)]
    if wrong:
        raise LoadError(
            f"{folder / 'pipeline.json'} is not a manifest of a pipeline: no {', '.join(wrong)}. "
            "Save the pipeline again."
        )
    hub.find_recipe(manifest["recipe"])
    return {"folder": str(folder), "card": None, **manifest}


def _option(option: Option) -> dict[str, Any]:
    kind = option.kind or type(option.default)
    return {
        "name": option.name,
        "default": option.default,
        "type": "any" if kind is object else kind.__name__,
        "minimum": option.minimum,
        "maximum": option.maximum,
        "choices": list(option.choices),
        "help": option.help,
    }


def _print(content: dict[str, Any], options: tuple[Option, ...]) -> None:
    from rich.console import Console
    from rich.text import Text

    card = content["card"] or {}
    lines = {
        "folder": content.get("folder"),
        "recipe": content["recipe"],
        "choices": _joined(content["choices"]),
        "written by": content.get("mmgen_version") and f"mmgen {content['mmgen_version']}",
        "files": ", ".join(content.get("sha256", ())),
        **_card_lines(card),
    }
    if "folder" not in content:
        missing = f"none; make them: mmgen train {content['recipe']}"
        lines["weights"] = content["weights"] or missing
    facts = _grid()
    for label, value in lines.items():
        if value:
            facts.add_row(Text(label, "bold"), Text(str(value)))
    console = Console()
    console.print(facts)
    table = _table("option", "default", "what it does")
    for option in options:
        table.add_row(option.name, str(option.default), Text(_help(option)))
    console.print()
    console.print(table)


def _card_lines(card: dict[str, Any]) -> dict[str, Any]:
    if not card:
        return {}
    lines = {"what": f"P({card['x']} | {card['y']}), {card['family']}"}
    lines["parameters"] = _millions(card["parameters"])
    named = ("summary", "data", "licence", "trained", "limits")
    lines |= {key: card.get(key) for key in named}
    return lines | {f"score {k}": v for k, v in card.get("scores", {}).items()}


def _help(option: Option) -> str:
    if option.choices:
        return f"{option.help} One of: {', '.join(map(str, option.choices))}."
    low, high = option.minimum, option.maximum
    bounds = [f"at least {low:g}"] if low is not None else []
    bounds += [f"at most {high:g}"] if high is not None else []
    return f"{option.help} {', '.join(bounds).capitalize()}." if bounds else option.help


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    *fixed, last = columns
    for column in fixed:
        # The first column of `list` holds the summary, too, and so may wrap.
        table.add_column(column, no_wrap=column != "pipeline")
    table.add_column(last)
    return table


def _grid() -> Table:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    return grid


def _joined(choices: dict[str, Any]) -> str:
    return ", ".join(f"{k}={v}" for k, v in choices.items())


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M"
