"""`mmgen list` and `mmgen show`: what there is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmgen import hub
from mmgen.backends.recognition.repository import is_hub_id
from mmgen.cli.console import spinner, write_json
from mmgen.cli.foreign import list_foreign, show_foreign
from mmgen.cli.naming import Named, find_foreign, find_named
from mmgen.cli.parameters import AsJson
from mmgen.cli.tables import headed_table, option_table, plain_option

if TYPE_CHECKING:
    from rich.table import Table

    from mmgen.core.options import Option

__all__ = ["list_pipelines", "show"]


def list_pipelines(
    as_json: AsJson = False,
    matrix: Annotated[
        bool,
        typer.Option("--matrix", help="What `Pipeline.compose` puts together: X, Y and family."),
    ] = False,
    foreign: Annotated[
        bool,
        typer.Option("--foreign", help="Which checkpoints of other libraries are recognised."),
    ] = False,
) -> None:
    """List the pipelines that need no network."""
    if foreign:
        if matrix:
            raise typer.BadParameter("Give --matrix or --foreign, not both.")
        list_foreign(as_json=as_json)
        return
    if matrix:
        _matrix(as_json)
        return
    recipes = list(hub.recipes().values())
    if as_json:
        write_json([_row(r) for r in recipes])
        return
    from rich.console import Console
    from rich.text import Text

    table = headed_table("pipeline", "family", "size", "weights")
    table.columns[0].min_width = max(len(recipe.name) for recipe in recipes)
    for recipe in recipes:
        card = recipe.card
        table.add_row(
            Text.assemble(
                *((recipe.name, "bold"), f"\nP({card.x} | {card.y})\n", (card.summary, "dim"), "\n")
            ),
            card.family,
            _millions(card.parameters),
            "shipped" if recipe.weights.is_file() else "train",
        )
    console = Console()
    console.print(table)
    for recipe in recipes:
        if recipe.default:
            console.print(f"{recipe.name.split(':')[0]} alone means {recipe.name}.", soft_wrap=True)
        if recipe.doors:
            console.print(f"{', '.join(recipe.doors)}: {recipe.name}, too.", soft_wrap=True)
    console.print("mmgen show NAME tells more.")


def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A pipeline of `mmgen list`, a folder or Hub id of a saved pipeline, or of a "
            "checkpoint of diffusers or transformers."
        ),
    ],
    revision: Annotated[
        str | None, typer.Option(help="Commit, tag or branch of a Hub id; its main branch if not.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a pipeline's card and its sampling options, or what a checkpoint of others is."""
    with spinner("Reading what it is"):
        other = find_foreign(name, revision=revision)
    if revision is not None and not is_hub_id(name):
        raise typer.BadParameter(f"{name} is no Hub id, which alone has revisions.")
    if other is not None:
        show_foreign(other, as_json=as_json)
        return
    found = find_named(name, revision=revision)
    with spinner(f"Building {found.recipe}"):
        from mmgen.pipeline import Pipeline

        options = Pipeline.build(found.recipe, **found.choices).options()
    content = _content(name, found)
    if as_json:
        write_json(content | {"options": [plain_option(o) for o in options]})
    else:
        _print(content, options)


def _matrix(as_json: bool) -> None:
    """Every X, the families that can generate it, and every Y that it can be conditioned on."""
    with spinner("Building the smallest of each"):
        from mmgen.compose import families_for
        from mmgen.modalities import modality, modality_names

        parts = {name: modality(name).__all__ for name in modality_names()}
        fitting = {name: families_for(name) for name, own in parts.items() if "codec" in own}
    conditions = ["nothing", *(name for name, own in parts.items() if "encoder" in own)]
    if as_json:
        write_json({"conditions": [*conditions, "several of them"], "families": fitting})
        return
    from rich.console import Console

    letters = _letters({family for own in fitting.values() for family in own})
    table = headed_table("Y", *fitting)
    table.padding = (0, 0, 0, 1)
    for condition in (*conditions, "several"):
        row = ("".join(sorted(letters[f] for f in own)) for own in fitting.values())
        table.add_row(condition, *row)
    console = Console()
    console.print("P(X | Y) with X across and Y down, by the families that fit X:\n")
    console.print(table)
    console.print("\n" + ", ".join(f"{letter} {name}" for name, letter in letters.items()))
    console.print(
        "Several conditions at once may miss any of their parts.\n"
        "Pipeline.compose(x=..., y=..., family=...) puts one together."
    )


def _letters(families: Iterable[str]) -> dict[str, str]:
    """A letter for each family: that of its last word, where no other has it."""
    found = {name: name.split("_")[-1][0].upper() for name in sorted(families)}
    if len(set(found.values())) < len(found):
        return {name: chr(ord("A") + i) for i, name in enumerate(found)}
    return found


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


def _content(name: str, found: Named) -> dict[str, Any]:
    content = {"name": name, "recipe": found.recipe, "choices": found.choices, "card": found.card}
    if found.manifest:
        version, files = found.manifest.get("mmgen_version"), found.manifest["sha256"]
        return content | {"mmgen_version": version, "files": files}
    weights = hub.find_recipe(found.recipe).weights
    return content | {"weights": str(weights) if weights.is_file() else None}


def _print(content: dict[str, Any], options: tuple[Option, ...]) -> None:
    from rich.console import Console
    from rich.text import Text

    lines = {
        "name": content["name"],
        "recipe": content["recipe"],
        "choices": ", ".join(f"{k}={v}" for k, v in content["choices"].items()),
        **_card_lines(content["card"]),
    }
    if "files" in content:
        lines["files"] = ", ".join(content["files"])
        lines["written by"] = f"mmgen {content['mmgen_version']}"
    else:
        missing = f"none; make them: mmgen train {content['recipe']}"
        lines["weights"] = content["weights"] or missing
    facts = _grid()
    for label, value in lines.items():
        if value:
            facts.add_row(Text(label, "bold"), Text(str(value)))
    console = Console()
    console.print(facts)
    console.print()
    console.print(option_table(options))


def _card_lines(card: dict[str, Any]) -> dict[str, Any]:
    if not card:
        return {}
    lines = {"what": f"P({card['x']} | {card['y']}), {card['family']}"}
    lines["parameters"] = _millions(card["parameters"])
    named = ("summary", "data", "licence", "trained", "limits")
    lines |= {key: card.get(key) for key in named}
    return lines | {"scores": "\n".join(f"{k}: {v}" for k, v in card.get("scores", {}).items())}


def _grid() -> Table:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    return grid


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M"
