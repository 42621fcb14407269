"""Tasks are read without running them, and their results beside each other."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from pathlib import Path

import pytest

from mmgen import hub
from mmgen.core.errors import LoadError, MissingDependency, SpecError, UnknownNameError
from mmgen.evaluation.report import write_report
from mmgen.evaluation.results import (
    filled,
    in_words,
    markdown,
    marked,
    read_records,
    rows_of,
    task_of,
)
from mmgen.evaluation.suite import Asked, Suite
from mmgen.evaluation.task import KINDS, FoundTask, Task, find_tasks
from mmgen.evaluation.weights import of_other_weights, weights_of

ROOT = Path(__file__).parents[2]
TASKS = [task for kind in KINDS for task in find_tasks(kind).values()]
SMALL = Task(
    summary="One?",
    protocol=2,
    minutes=1,
    quick=(),
    quick_minutes=1,
    pipeline="text-to-image",
    x="image",
    y=("text", "style"),
    shown=(("right", "seen/right", "higher", "{seen/chance} by chance, {no/where}"),),
)
SCORES = {"seen": {"right": {"share": 0.5, "low": 0.4, "high": 0.6, "count": 9}, "chance": 0.125}}


def _record(folder: Path, name: str = "small_x", protocol: int = 2) -> Path:
    path = folder / f"{name}.json"
    content = {"task": "small", "protocol": protocol, "settings": {"pipeline": "x"}}
    path.write_text(json.dumps(content | {"scores": SCORES, "commit": "0" * 40}), "utf-8")
    return path


@pytest.mark.parametrize("task", TASKS, ids=lambda t: f"{t.kind}-{t.name}")
def test_a_task_is_whole(task: FoundTask) -> None:
    about = task.about
    assert about.summary and about.shown and 0 < about.quick_minutes <= about.minutes
    source = (ROOT / "benchmarks" / task.kind / f"{task.name}.py").read_text("utf-8")
    # Its record is of the protocol it names, written by itself or by what it hands its task to.
    assert "PROTOCOL = TASK.protocol" in source or "task=TASK" in source
    if about.pipeline is not None:
        card = hub.find_recipe(about.pipeline).card
        about.require_fit(task.name, pipeline=about.pipeline, x=card.x, y=card.y)


def test_all_of_it_is_quick() -> None:
    # What `mmgen bench --quick` runs, and what it runs with the name of another kind.
    for kind in KINDS:
        assert sum(task.about.quick_minutes for task in TASKS if task.kind == kind) < 20


def test_what_is_read_is_what_runs() -> None:
    found = find_tasks("tasks", ("scenes",))["scenes"]
    module = importlib.import_module("benchmarks.tasks.scenes")
    assert found.about == module.TASK and found.main is module.main


def test_a_wrong_name_lists_the_close_one() -> None:
    with pytest.raises(UnknownNameError, match="'scenes'"):
        find_tasks("tasks", ("scene",))


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = dataclasses.replace(SMALL, data=("emoji",), needs=(("no_such_library", "bench"),))
    monkeypatch.delenv("MMGEN_DATA", raising=False)
    with pytest.raises(LoadError, match=r"'emoji'.*MMGEN_DATA is not set.*holds emoji/"):
        task.require_here("small")
    monkeypatch.setenv("MMGEN_DATA", str(tmp_path))
    with pytest.raises(LoadError, match="not in the folder that MMGEN_DATA names"):
        task.require_here("small")
    (tmp_path / "emoji").mkdir()
    with pytest.raises(MissingDependency, match=r"The task small .*mmgen-sdk\[bench\]"):
        task.require_here("small")


@pytest.mark.parametrize("kind", KINDS)
def test_tasks_without_their_data_are_named_and_none_stops_the_others(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = {t.name: t for t in TASKS if t.kind == kind and t.about.data}
    # Another is asked for, that has all it needs.
    last = FoundTask("own", "tasks", dataclasses.replace(SMALL, pipeline=None))
    monkeypatch.setattr(FoundTask, "main", property(lambda self: lambda given: _record(tmp_path)))
    for folder in ("", str(tmp_path)):
        monkeypatch.setenv("MMGEN_DATA", folder)
        suite = Suite(tasks | {"own": last}, Asked(quick=True), tmp_path / "out", lambda line: None)
        assert list(suite.run()) == ["own"] and suite.failed.keys() == tasks.keys()
        for name, task in tasks.items():
            said = suite.failed[name]
            assert any(f"reads the data set {kind!r}" in said for kind in task.about.data)
            where = "not in the folder that MMGEN_DATA" if folder else "MMGEN_DATA is not set"
            assert where in said and "to the folder that holds" in said


@pytest.mark.parametrize(("x", "y"), [("text", "image"), ("image", "label"), ("text", None)])
def test_a_pipeline_of_other_values_is_refused(x: str, y: str | None) -> None:
    with pytest.raises(SpecError, match=r"small measures P\(image \| text, style\); other is P"):
        SMALL.require_fit("small", pipeline="other", x=x, y=y)
    SMALL.require_fit("small", pipeline="other", x="image", y=["style"])
    with pytest.raises(SpecError, match="trains its own model"):
        dataclasses.replace(SMALL, pipeline=None).require_fit("small", pipeline="a", x=x, y=y)


def test_a_result_of_an_older_protocol_is_not_compared(tmp_path: Path) -> None:
    task = FoundTask("small", "tasks", SMALL)
    path = _record(tmp_path, "small_x_top_k-5")
    (row,) = rows_of(task, path, read_records(tmp_path)[path])
    assert row.subject == "x top_k-5" and row.bounds == (0.5, 0.4, 0.6)
    assert row.score == "50.0 % (40.0 to 60.0, n = 9)"
    assert row.reference == "0.125 by chance, not measured"
    path = _record(tmp_path, "small_old", protocol=1)
    with pytest.raises(LoadError, match="of protocol 1; the task is now at 2"):
        rows_of(task, path, read_records(tmp_path)[path])


def test_a_record_belongs_to_the_task_with_the_longest_name() -> None:
    tasks = {n: FoundTask(n, "tasks", SMALL) for n in ("digits", "digits_more")}
    tasks["speed"] = FoundTask("digits", "speed", SMALL)
    for stem, name in (("digits", "digits"), ("digits_more_x", "digits_more")):
        found = task_of(Path(f"{stem}.json"), tasks)
        assert found is tasks[name]
    assert task_of(Path("speed_digits.json"), tasks) is tasks["speed"]
    assert task_of(Path("digitsx.json"), tasks) is None


def test_a_file_that_is_no_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"scores": {}}')
    with pytest.raises(LoadError, match=r"x\.json is no record.*no task, protocol, settings"):
        read_records(tmp_path)
    with pytest.raises(LoadError, match="no folder"):
        read_records(tmp_path / "none")


def test_scores_in_words() -> None:
    assert in_words({"mean": 2.0, "std_error": 0.5}) == "2 (1.02 to 2.98)"
    assert in_words({"median": 3.0, "low": 1.0, "high": 4.0, "repeats": 5}, short=True) == "3"
    assert in_words(0.25) == "0.25" and in_words(True) == "yes" and in_words("no") == "no"
    assert in_words(math.pi) == "3.142"


def test_a_table_goes_between_its_marks(tmp_path: Path) -> None:
    path = _record(tmp_path)
    rows = rows_of(FoundTask("small", "tasks", SMALL), path, read_records(tmp_path)[path])
    table = markdown(rows)
    assert table.splitlines()[2].startswith("| small: `x` | right | 50.0 % (")
    marks = "a\n<!-- results: begin -->\nold\n<!-- results: end -->\nb"
    tables = {"results": [table], "pipelines": ["other"]}
    text = filled(marks, tables, name="README.md")
    assert "old" not in text and table in text and text.startswith("a\n") and text.endswith("\nb")
    assert filled(text, tables, name="README.md") == text
    assert marked(text, "results") == table.splitlines() and marked(text, "pipelines") is None
    with pytest.raises(ValueError, match=r"README\.md has no place.*results: begin"):
        filled("a", tables, name="README.md")


def test_a_record_of_other_weights_is_told() -> None:
    name = "text-to-image:scenes"
    for told, other in ((weights_of(name), False), ("0" * 64, True), (None, False)):
        record = {"settings": {"pipeline": name, "weights_sha256": told}}
        assert of_other_weights(record) == other
    assert not of_other_weights({"settings": {"pipeline": "no/recipe", "weights_sha256": "0"}})


def test_a_report_holds_all_it_shows(tmp_path: Path) -> None:
    from PIL import Image

    path = _record(tmp_path)
    Image.new("RGB", (4, 4)).save(tmp_path / "small_x.png")
    (tmp_path / "small_x.wav").write_bytes(b"RIFF")
    records = read_records(tmp_path)
    records[path]["scores"]["examples"] = [{"said": "so", "meant": "<so>"}]
    rows = rows_of(FoundTask("small", "tasks", SMALL), path, records[path])
    assert rows[0].record == path.stem
    asked = {"small": "Is it small?"}
    page = write_report(tmp_path / "all.html", rows, ["<old>"], records, asked=asked)
    text = page.read_text("utf-8")
    assert "data:image/png;base64," in text and "50.0 %" in text and "&lt;old&gt;" in text
    for part in ("data:audio/wav;base64,", "&lt;so&gt;", "Is it small?", "stroke='#c22'"):
        assert part in text
    assert "<svg" in text and "http" not in text and str(tmp_path) not in text
    with pytest.raises(ValueError, match="ending"):
        write_report(tmp_path / "all.txt", rows, [], records)


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two comparisons of speed, the second of which is interrupted, then both again."""
    made: list[str] = []

    def of(name: str, breaks: bool) -> FoundTask:
        def main(given: list[str]) -> Path:
            made.append(name)
            if breaks and len(made) == 2:
                raise KeyboardInterrupt
            return _record(Path(given[given.index("--output") + 1]), f"speed_{name}")

        task = FoundTask(name, "speed", dataclasses.replace(SMALL, pipeline=None))
        mains[name] = main
        return task

    mains: dict[str, object] = {}
    monkeypatch.setattr(FoundTask, "main", property(lambda self: mains[self.name]))
    tasks = {"a": of("a", False), "b": of("b", True)}
    said: list[str] = []
    suite = Suite(tasks, Asked(), tmp_path / "out", said.append)
    with pytest.raises(KeyboardInterrupt):
        suite.run()
    found = suite.run()
    assert made == ["a", "b", "b"] and said[-2].endswith("a: done before the interruption")
    assert [path.name for path in found.values()] == ["speed_a.json", "speed_b.json"]
    # A run that ended leaves nothing to go on with, and another question is another run.
    suite.run()
    assert made[3:] == ["a", "b"]
    with pytest.raises(KeyboardInterrupt):
        made[:] = []
        suite.run()
    Suite(tasks, Asked(quick=True), tmp_path / "out", said.append).run()
    assert made == ["a", "b", "a", "b"]


def test_other_weights_are_another_run(tmp_path: Path) -> None:
    assert weights_of("text-to-image") != weights_of("text-to-image:emoji")
    assert weights_of("someone/something") == ""
    (tmp_path / "pipeline.json").write_text("{}")
    first = weights_of(str(tmp_path))
    (tmp_path / "pipeline.json").write_text('{"a": 1}')
    assert first and weights_of(str(tmp_path)) != first
