"""What the documents show works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(blocks) >= 3
    for block in blocks:
        exec(compile(block, "README.md", "exec"), scope)
    assert scope["image"].size == (64, 64)
    assert [len(row) for row in scope["rows"]] == [4, 4]
    assert scope["found"].kind == "exact"
    assert (tmp_path / "runs" / "mine" / "pipeline" / "pipeline.json").is_file()


def test_every_link_and_picture_is_there() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        text = page.read_text("utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
    for named in re.findall(r"`(docs/\w+\.md|NOTES\.md)`", README):
        assert (ROOT / named).is_file(), named


def test_the_readme_is_about_a_hundred_lines_beside_its_tables() -> None:
    assert sum(not line.startswith("|") for line in README.splitlines()) <= 120
