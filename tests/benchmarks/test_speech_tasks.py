"""The tasks of speech run from end to end on tiny pipelines and on speech that flite makes."""

from __future__ import annotations

import gzip
import importlib
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mmgen.core.errors import LoadError
from mmgen.modalities.audio import Audio, save
from mmgen.pipeline import Pipeline
from mmgen.simulators.speech import speak

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(ROOT)
    folder = tmp_path / "data"
    (folder / "translation").mkdir(parents=True)
    rows = [
        "We went home by train.",
        "The old man had a dog.",
        "I will call you back soon.",
        "She is reading a long book.",
    ]
    text = "".join(f"{row}\t\tcredit\n" for row in rows)
    (folder / "translation" / "tatoeba_zh_en_val.tsv.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("kathleen", "ljspeech"):
        _voice(folder / name, [{"text": "Come home.", "speaker": name, "file": "0.wav"}])
    _voice(
        folder / "fsdd",
        [
            {"text": word, "speaker": "theo", "file": f"{word}_{i}.wav"}
            for word in ("two", "seven")
            for i in range(7)
        ],
    )
    monkeypatch.setenv("MMGEN_DATA", str(folder))
    return folder


def _voice(folder: Path, rows: list[dict[str, str]]) -> None:
    """A data set of one voice, said by flite."""
    folder.mkdir()
    (folder / "meta.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with zipfile.ZipFile(folder / f"{folder.name}_dev.zip", "w") as archive:
        for row in rows:
            said = speak(row["text"], speaker="slt")
            path = save(Audio(said.samples[None], said.sampling_rate), folder / row["file"])
            archive.writestr(row["file"], path.read_bytes())


@pytest.mark.slow
def test_speech(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("pocketsphinx", "jiwer", "pystoi"):
        pytest.importorskip(library)
    task = importlib.import_module("benchmarks.tasks.speech")
    pipe = Pipeline.debug("text-to-audio:speech")
    # Random weights say noise, in which a recogniser searches long: as little of it as can be.
    given = ["--count=2", "--option=speed=4"]
    given += ["--samples", str(tmp_path / "some.wav")]
    path = task.main([*given, "--output", str(tmp_path / "results")], pipe=pipe)
    found = json.loads(path.read_text("utf-8"))["scores"]
    # What flite says is understood, what random weights say is not, and it sounds otherwise.
    assert found["recordings"]["wer"]["share"] < 0.4 < found["samples"]["wer"]["share"]
    assert found["recordings"]["wer"]["count"] in (10, 11, 12)
    assert set(found["samples"]["by_speaker"]) == {"slt", "rms"}
    assert found["mcd"]["samples"]["count"] == 2 and found["mcd"]["other_sentences"] is None
    assert found["speed"]["real_time_factor"] > 0 and (tmp_path / "some.wav").is_file()
    with pytest.raises(SystemExit):
        task.main(["--count", "0"], pipe=pipe)
    monkeypatch.delenv("MMGEN_DATA")
    with pytest.raises(LoadError, match="MMGEN_DATA is not set"):
        task.main(given, pipe=pipe)


@pytest.mark.slow
def test_digits(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    task = importlib.import_module("benchmarks.tasks.digits")
    pipe = Pipeline.debug("text-to-audio:digits")
    path = task.main(
        ["--count=1", "--judge-steps=2", "--option=speed=4", "--output", str(tmp_path)], pipe=pipe
    )
    scores = json.loads(path.read_text("utf-8"))["scores"]
    assert scores["recordings"]["right"]["count"] == 4
    assert scores["recordings"]["recognised"]["successes"] == 4
    assert scores["samples"]["right"]["count"] == 2
    # flite says the same each time.
    assert scores["mcd"]["recordings"] == 0 < scores["mcd"]["other_digits"]
    with pytest.raises(SystemExit):
        task.main(["--count", "0"], pipe=pipe)


def test_what_the_recogniser_takes(data: Path) -> None:
    pytest.importorskip("pocketsphinx")
    recognition = importlib.import_module("benchmarks.recognition")
    recogniser = recognition.Recogniser()
    silence = Audio(np.zeros((1, 4_000), np.float32), 8_000)
    assert recogniser.heard(silence) == ""
    said = speak("Are you coming next week?", speaker="rms")
    assert "next week" in recogniser.heard(Audio(said.samples[None], said.sampling_rate))
