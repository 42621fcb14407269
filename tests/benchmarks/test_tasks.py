"""The benchmark tasks run from end to end on tiny pipelines, and say what they measured."""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from mmgen.evaluation.record import write_result
from mmgen.pipeline import Pipeline
from mmgen.simulators.scenes import render

ROOT = Path(__file__).parents[2]


@pytest.fixture
def task(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the task that the test is about."""
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module(f"benchmarks.tasks.{request.param}")


@pytest.fixture
def emoji_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight emoji of two groups, four of them held out, two of these of a base trained on."""
    folder = tmp_path / "data" / "emoji"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    with zipfile.ZipFile(folder / "noto.zip", "w") as archive:
        for i in range(8):
            noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(noise).save(buffer, format="PNG")
            archive.writestr(f"{i}.png", buffer.getvalue())
            row = {"id": str(i), "name": "red heart", "keywords": [], "vendors": ["noto"]}
            row |= {"group": ("Objects", "Flags", None)[i % 3], "base": str(i % 6)}
            rows.append(row | {"split": "val" if i >= 4 else "train"})
    with zipfile.ZipFile(folder / "emojitwo.zip", "w"):
        pass
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "captions.jsonl").write_text(lines, "utf-8")
    monkeypatch.setenv("MMGEN_DATA", str(tmp_path / "data"))


def _record(path: Path, output: Path) -> dict:
    text = path.read_text("utf-8")
    assert path.parent == output and str(output) not in text and str(Path.home()) not in text
    record = json.loads(text)
    for key in ("task", "protocol", "date", "commit", "versions", "hardware"):
        assert key in record
    assert {"mmgen", "torch", "python"} <= record["versions"].keys()
    for sheet in output.glob("*.png"):
        assert sheet.stat().st_size <= 400_000
    return record


@pytest.mark.parametrize("task", ["reading"], indirect=True)
def test_reading(task: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reader = Pipeline.debug("image-to-text:scenes")
    generator = Pipeline.debug("text-to-image:scenes")
    with pytest.raises(SystemExit):
        task.main(["--count", "1", "--output", str(tmp_path)], pipe=reader, generator=generator)
    chosen = ["--count", "8", "--output", str(tmp_path)]
    with pytest.raises(ValueError, match="64, 64"):
        task.main(chosen, pipe=reader, generator=generator)
    large = Pipeline.build("text-to-image:scenes", **(generator.choices | {"size": 64}))
    large.encoder.load_assets(Pipeline.from_pretrained("text-to-image:scenes").encoder.assets())
    large.codec.fit([render(task.scenes.sample_scene(np.random.default_rng(0)))])
    record = _record(task.main(chosen, pipe=reader, generator=large), tmp_path)
    for split in ("seen", "unseen"):
        found = record["scores"][split]
        assert found["told"]["count"] == 8
        assert sum(entry["count"] for entry in found["by_change"].values()) == 8
        assert found["nats"] > 0
    assert "true captions told from false" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["reading"], indirect=True)
def test_reading_has_captions_that_differ_in_what_is_changed(task: ModuleType) -> None:
    cases = list(task._cases("unseen", 40))
    assert len(cases) == 40
    for scene, kind, true, false in cases:
        assert true != false and len(true.split()) == len(false.split())
        other = task._changed(scene, kind, np.random.default_rng(1))
        if kind == "background":
            assert other.background != scene.background and other.things == scene.things
            continue
        changed = [(a, b) for a, b in zip(scene.things, other.things, strict=True) if a != b]
        (before, after), *more = changed
        assert not more and getattr(before, kind) != getattr(after, kind)
        assert dataclasses.replace(after, **{kind: getattr(before, kind)}) == before


@pytest.mark.parametrize("task", ["scenes"], indirect=True)
def test_scenes(task: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = Pipeline.debug("text-to-image:scenes").save_pretrained(tmp_path / "tiny")
    output = tmp_path / "results"
    chosen = ["--pipeline", str(saved), "--count", "6"]
    chosen += ["--option", "top_k=50", "--option", "guidance_scale=1"]
    record = _record(task.main([*chosen, "--output", str(output)]), output)
    assert record["settings"]["pipeline"] == "tiny"
    assert record["settings"]["options"]["top_k"] == 50
    assert record["settings"]["options"]["guidance_scale"] == 1
    for split in ("seen", "unseen"):
        scores = record["scores"][split]
        assert scores["satisfied"]["count"] == 6
        assert sum(entry["count"] for entry in scores["things"].values()) == 6
        assert scores["claims"]["count"]["count"] == 6
        # The judge agrees with what the simulator draws.
        assert scores["simulator"]["share"] == 1
        # An untrained codec brings nothing back.
        assert scores["codec"]["count"] == 6 and scores["codec"]["share"] < 1
    assert len(list(output.glob("*.png"))) == 1
    assert "caption satisfied" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["scenes"], indirect=True)
def test_scenes_scores_a_perfect_model_as_perfect(
    task: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Image.Image] = []
    sample = task.sample_scene

    def remember(*args: object, **options: object) -> object:
        scene = sample(*args, **options)
        drawn.append(Image.fromarray(render(scene)))
        return scene

    monkeypatch.setattr(task, "sample_scene", remember)
    monkeypatch.setattr(task, "_draw", lambda pipe, texts, *rest: drawn[-len(texts) :])
    scores, cases = task.run(None, count=40, seed=0, options={})
    for split in ("seen", "unseen"):
        assert scores[split]["satisfied"]["share"] == 1
        assert scores[split]["other_captions"]["share"] < 0.2
        assert all(case.failures == "" for case in cases[split])


@pytest.mark.parametrize("task", ["emoji"], indirect=True)
def test_emoji(
    task: ModuleType, tmp_path: Path, emoji_data: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = Pipeline.debug("text-to-image:emoji")
    monkeypatch.setattr(task, "_BATCH", 8)
    output = tmp_path / "results"
    chosen = ["--quick", "--option", "num_inference_steps=2", "--output", str(output)]
    record = _record(task.main(chosen, pipe=pipe), output)
    assert record["settings"]["captions"] == {"train": 4, "val": 4}
    assert record["settings"]["captions_val_base_new"] == 2
    group = record["scores"]["group"]
    assert group["all"]["real"]["count"] == sum(group[k]["real"]["count"] for k in group
                                                if k.startswith("base"))  # fmt: skip
    for space in ("pixels", "features"):
        nearest = record["scores"]["nearest"][space]
        assert nearest["samples_val"]["closer_than_1%"]["count"] == 4
        assert nearest["real_val"]["quantiles"]["50%"] > 0
    assert len(list(output.glob("*.png"))) == 2


def test_results_hold_no_path_of_this_machine(tmp_path: Path) -> None:
    settings = {"pipeline": str(tmp_path / "tuned"), "folders": [tmp_path / "a"], "name": "a/b"}
    path = write_result(
        tmp_path / "new" / "x.json", task="t", protocol=1, settings=settings, scores={"a": 1.0}
    )
    record = json.loads(path.read_text("utf-8"))
    assert record["settings"] == {"pipeline": "tuned", "folders": ["a"], "name": "a/b"}
    assert str(tmp_path) not in path.read_text("utf-8")
    with pytest.raises(ValueError, match="ending"):
        write_result(tmp_path / "x.txt", task="t", protocol=1, settings={}, scores={})
