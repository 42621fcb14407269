"""A file imports only from rows above its own; the rows are those of the design."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROWS = {
    "core": 0,
    "version": 0,
    "nn": 1,
    "operators": 1,
    "simulators": 1,
    "modalities": 2,
    "families": 2,
    "guidance": 3,
    "backends": 3,
    "adapter": 4,
    "chain": 4,
    "codes": 4,
    "compose": 4,
    "conditioning": 4,
    "distribution": 4,
    "door": 4,
    "encoded": 4,
    "given": 4,
    "hub": 4,
    "learner": 4,
    "own_adapters": 4,
    "parted": 4,
    "ranked": 4,
    "pipeline": 4,
    "policies": 4,
    "push": 4,
    "source": 4,
    "texts": 4,
    "inference": 5,
    "training": 5,
    "evaluation": 5,
    "provenance": 5,
    "serving": 6,
    "cli": 6,
}
ALONE = {1, 2, 3}


def edges(source: str, package: str) -> list[tuple[str, str]]:
    """(package, imported package of mmgen) for every import of a source."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "mmgen":
                names = [f"mmgen.{a.name}" for a in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "mmgen" and len(parts) > 1:
                found.append((package, parts[1]))
    return found


def wrong(package: str, imported: str) -> bool:
    """Whether one may not import the other."""
    if package == imported or imported == "__version__":
        return False
    below = ROWS[imported] > ROWS[package]
    beside = ROWS[imported] == ROWS[package] and ROWS[package] in ALONE
    return below or beside


def packages() -> list[tuple[Path, str]]:
    files = sorted((ROOT / "mmgen").rglob("*.py"))
    return [(f, f.relative_to(ROOT / "mmgen").parts[0].removesuffix(".py")) for f in files]


def test_every_package_has_a_row() -> None:
    assert {p for _, p in packages()} - {"__init__"} <= set(ROWS)


def test_no_rung_looks_up() -> None:
    bad = [
        (str(file.relative_to(ROOT)), edge)
        for file, package in packages()
        if package != "__init__"
        for edge in edges(file.read_text(), package)
        if wrong(*edge)
    ]
    assert not bad


def test_the_check_finds_what_is_wrong() -> None:
    assert [e for e in edges("from mmgen.cli import main", "core") if wrong(*e)]
    assert [e for e in edges("import mmgen.families.diffusion", "modalities") if wrong(*e)]
    assert not [e for e in edges("from mmgen.core.spec import Spec", "nn") if wrong(*e)]


def test_recipes_import_nothing_from_each_other() -> None:
    for file in (ROOT / "pipelines").rglob("*.py"):
        assert "mmgen_pipelines" not in file.read_text(), file


def test_no_folder_of_odds_and_ends() -> None:
    names = {p.stem for p in (ROOT / "mmgen").rglob("*")}
    assert not names & {"utils", "util", "helpers", "common", "tools"}


def test_every_package_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join((name, *file.parent.relative_to(ROOT / folder).parts))
        for name, folder in (("mmgen", "mmgen"), ("mmgen_pipelines", "pipelines"))
        for file in (ROOT / folder).rglob("__init__.py")
    }
    assert set(listed) == found
