"""`mmgen push` shows what it would upload; the upload itself is in tests/test_push.py."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command


def test_a_dry_run_shows_files_and_card(command: Command, saved: Path) -> None:
    done = command("push", saved, "me/mine", "--dry-run")
    assert done.code == 0, done.err
    for file in saved.iterdir():
        assert f"MB  {file.name}\n" in done.out
    assert "MB  README.md" in done.out and "# mine" in done.out
    done = command("push", saved, "my mine", "--dry-run")
    assert done.code == 1 and "'my mine' is no name of a repository" in done.err


def test_what_is_no_pipeline_is_refused(command: Command, tmp_path: Path) -> None:
    done = command("push", tmp_path, "me/mine")
    assert done.code == 1 and "holds no pipeline that mmgen saved" in done.err
