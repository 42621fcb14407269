"""Speech of flite: what it says, when, and what is kept of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mmgen.core.errors import LoadError, MissingDependency, UnknownNameError
from mmgen.simulators.speech import PHONES, VOICES, cache_folder, corpus, pronounce, speak

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")


@needs_flite
@pytest.mark.parametrize("speaker", VOICES)
def test_a_sentence_is_said_at_16_khz_with_the_time_of_each_phone(speaker: str) -> None:
    said = speak("Read the map.", speaker=speaker)
    assert said.sampling_rate == 16_000 and said.samples.dtype == np.float32
    phones = [phone for phone, _ in said.phones]
    assert phones[0] == phones[-1] == "pau" and {*phones} <= {*PHONES, "pau"}
    assert phones[-6:] == ["dh", "ax", "m", "ae", "p", "pau"]
    times = [time for _, time in said.phones]
    assert times == sorted(times)
    # The times of kal are those that were planned, before its diphones were cut.
    near = 0.15 if speaker == "kal" else 0.02
    assert times[-1] == pytest.approx(len(said.samples) / 16_000, rel=near)
    again = speak("Read the map.", speaker=speaker)
    assert np.array_equal(said.samples, again.samples)


@needs_flite
def test_words_are_pronounced_as_the_dictionary_says() -> None:
    said = pronounce(["house", "don't", "through"])
    assert said == {
        "house": ("hh", "aw", "s"),
        "don't": ("d", "ow", "n", "t"),
        "through": ("th", "r", "uw"),
    }


@needs_flite
def test_a_corpus_is_said_once(tmp_path: Path) -> None:
    texts = [("Come in.", "slt"), ("Come in.", "kal")]
    clips = corpus(texts, folder=tmp_path)
    assert [(clip.text, clip.speaker) for clip in clips] == texts
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(before) == 4
    corpus(texts, folder=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert clips[0].phones()[1][0] == "k"
    clips[0].path.with_suffix(".json").write_text("[1]")
    with pytest.raises(LoadError, match="times of phones"):
        clips[0].phones()


def test_what_cannot_be_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="slt"):
        speak("Hello.", speaker="sl")
    with pytest.raises(ValueError, match="nothing to say"):
        speak(" ", speaker="slt")
    with pytest.raises(ValueError, match="letters a to z"):
        pronounce(["Hello"])
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingDependency, match="apt-get install flite"):
        corpus([("Hello.", "slt")], folder=tmp_path)


def test_where_a_corpus_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MMGEN_SPEECH", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("MMGEN_SPEECH")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "mmgen" / "speech"
