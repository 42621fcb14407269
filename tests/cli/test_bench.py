"""`mmgen bench`: what it runs, what it says, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import SCENES, Command

from mmgen.pipeline import Pipeline


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pipe = Pipeline.debug(SCENES)
    return pipe.save_pretrained(tmp_path_factory.mktemp("saved") / "tiny")


def test_the_tasks_are_listed(command: Command) -> None:
    done = command("bench", "--list")
    assert done.code == 0 and "scenes" in done.out and "speed" in done.out
    found = {row["name"]: row for row in command("bench", "--list", "--json").json}
    assert found["scenes"]["pipeline"] == SCENES and found["emoji"]["data"] == ["emoji"]


def test_a_pipeline_of_ones_own_is_measured_and_a_run_goes_on(
    command: Command, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MMGEN_DATA", raising=False)
    asked = ("bench", "scenes", "emoji", "--pipeline", scenes, "--quick")
    done = command(*asked, "--option", "top_k=50")
    assert done.code == 1 and "wholly right" in done.out.replace("\n", " ")
    assert "emoji was not measured" in done.err and "MMGEN_DATA is not set" in done.err
    assert "scenes was quick" in done.out
    (path,) = Path("runs/bench/quick").glob("scenes_tiny*.json")
    record = json.loads(path.read_text("utf-8"))
    assert record["scores"]["seen"]["satisfied"]["count"] == 12
    assert record["settings"]["options"]["top_k"] == 50
    again = command(*asked, "--option", "top_k=50")
    assert "scenes: done before the interruption" in again.err
    assert json.loads(path.read_text("utf-8"))["date"] == record["date"]


def test_records_as_a_table_and_as_a_page(command: Command) -> None:
    folder = Path(__file__).parents[2] / "benchmarks" / "results"
    done = command("bench", "table", "--output", folder)
    assert done.code == 0 and "| scenes: `text-to-image:scenes` | captions wholly right" in done.out
    done = command("bench", "report", "--output", folder, "--write", "all.html")
    assert done.code == 0 and "data:image/png" in Path("all.html").read_text("utf-8")
    Path("page.md").write_text("# Results\n")
    done = command("bench", "table", "--output", folder, "--write", "page.md")
    assert done.code == 1 and "no place for a table" in done.err


BAD = {
    "name": (1, ["scene"], "No task 'scene'. Did you mean 'scenes'"),
    "speed": (1, ["speed", "images"], "No task 'images'"),
    "values": (1, ["scenes", "--pipeline", "image-to-text:scenes"], "scenes measures P(image |"),
    "trains": (1, ["posteriors", "--pipeline", SCENES], "trains its own model"),
    "pipeline": (1, ["--pipeline", "text-to-imag"], "text-to-image"),
    "data": (1, ["emoji"], "set 'emoji', and the environment variable MMGEN_DATA is not set"),
    "results": (1, ["table", "--output", "none"], "no folder 'none' of results"),
    "alone": (2, ["report", "scenes"], "stands alone"),
    "option": (1, ["scenes", "--quick", "--option", "guidance"], "NAME=VALUE"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message(
    command: Command, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MMGEN_DATA", raising=False)
    code, arguments, message = BAD[case]
    done = command("bench", *arguments)
    assert done.code == code and done.out == ""
    assert message in done.err, done.err
    assert [line for line in done.err.splitlines() if line.startswith("error: ")]
