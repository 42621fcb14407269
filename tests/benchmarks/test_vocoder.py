"""The task about vocoders runs from end to end on a tiny one."""

from __future__ import annotations

import importlib
import json
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mmgen.core.errors import LoadError
from mmgen.modalities.audio import Audio, load
from mmgen.modalities.audio.wav import write_wav

ROOT = Path(__file__).parents[2]


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the task, with four clips of each of two voices."""
    rng = np.random.default_rng(0)
    for name, pitch in (("ljspeech", 220), ("kathleen", 300)):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        lines = []
        with zipfile.ZipFile(folder / f"{name}_dev.zip", "w") as archive:
            for i in range(4):
                time = np.arange(3000 + 500 * i) / 8000
                x = 0.3 * np.sin(2 * np.pi * (pitch + 40 * i) * time)
                x = (x + 0.01 * rng.normal(size=len(x))).astype(np.float32)
                archive.writestr(f"{i}.wav", write_wav(Audio(x[None], 8000)))
                lines.append(json.dumps({"file": f"{i}.wav", "text": "a"}) + "\n")
        (folder / "meta.jsonl").write_text("".join(lines), "utf-8")
    monkeypatch.setenv("MMGEN_DATA", str(tmp_path / "data"))
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("benchmarks.tasks.vocoder")


def test_vocoder(task: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = ["--output", str(tmp_path / "results"), "--size", "debug", "--count", "2"]
    model = ["--model", str(tmp_path / "model")]
    chosen = ["--steps", "3", "--adversarial-steps", "2", "--batch", "2", "--piece", "0.2"]
    path = task.main([*output, *model, *chosen])
    text = path.read_text("utf-8")
    assert str(tmp_path) not in text
    record = json.loads(text)
    assert record["settings"]["voices"] == ["ljspeech", "kathleen"]
    assert record["settings"]["mel"]["num_mels"] == 16 and record["settings"]["processes"] == 1
    scores = record["scores"]
    for row in scores.values():
        assert row["real_time_factor"] > 0
        for name in ("mel_distance", "log_spectral_distance"):
            entry = row[name]
            assert entry["mean"] > 0 and entry["std_error"] > 0
            halves = (entry["ljspeech"] + entry["kathleen"]) / 2
            assert halves == pytest.approx(entry["mean"], abs=1e-4)
    # Three steps teach nothing, and Griffin-Lim needs none.
    assert scores["griffin_lim"]["mel_distance"]["mean"] < scores["vocoder"]["mel_distance"]["mean"]
    assert "griffin_lim" in capsys.readouterr().out
    samples = load(tmp_path / "model" / "samples.wav")
    assert samples.sampling_rate == 8000 and samples.seconds > 6 * 0.3 + 5 * 0.5
    # The same vocoder measured again, without training.
    again = json.loads(task.main([*output, "--take", *model[1:], *model]).read_text("utf-8"))
    for name in ("mel_distance", "log_spectral_distance"):
        assert again["scores"]["vocoder"][name] == scores["vocoder"][name]
    assert again["settings"]["take"] == "model" and "steps" not in again["settings"]
    other = json.loads((tmp_path / "model" / "mel.json").read_text("utf-8")) | {"fmax": 3900.0}
    (tmp_path / "model" / "mel.json").write_text(json.dumps(other), "utf-8")
    with pytest.raises(LoadError, match=r"other frames: fmax 3900.0, not 4000.0"):
        task.main([*output, "--take", *model[1:], *model])


def test_clips_that_are_listed_and_not_there(task: ModuleType, tmp_path: Path) -> None:
    speech = importlib.import_module("benchmarks.speech")
    assert len(speech.read_speech("kathleen", sampling_rate=8000)) == 4
    meta = tmp_path / "data" / "kathleen" / "meta.jsonl"
    meta.write_text('{"file": "5.wav"}\n', "utf-8")
    with pytest.raises(LoadError, match=r"kathleen_dev\.zip does not hold what meta\.jsonl lists"):
        speech.read_speech("kathleen", sampling_rate=8000)
