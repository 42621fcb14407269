"""The translation task runs from end to end on a tiny pipeline and tiny data."""

from __future__ import annotations

import gzip
import importlib
import json
from pathlib import Path

import pytest

from mmgen.core.errors import LoadError
from mmgen.pipeline import Pipeline

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data" / "translation"
    folder.mkdir(parents=True)
    files = {
        "tatoeba_zh_en_val.tsv": "Come in.\t请进。\tcredit\nWe know.\t我们知道。\tcredit\n",
        "ntrex.ref.zho-CN.txt": "今天下雨了。我们在家。\n他来了。\n",
        "ntrex.src.eng.txt": "It rained today. We are in.\nHe came.\n",
    }
    for name, text in files.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    monkeypatch.setenv("MMGEN_DATA", str(folder.parent))


def test_translation(data: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sacrebleu")
    monkeypatch.syspath_prepend(ROOT)
    task = importlib.import_module("benchmarks.tasks.translation")
    pipe = Pipeline.debug("text-to-text:zh-en")
    path = task.main(["--beams", "1", "--output", str(tmp_path / "results")], pipe=pipe)
    record = json.loads(path.read_text("utf-8"))
    assert record["protocol"] == task.TASK.protocol
    for split in ("val", "news"):
        scores = record["scores"][split]
        assert scores["bleu"]["count"] == scores["chrf"]["count"] == 2
        assert len(scores["examples"]) == 2
    # Random weights have little more to say than that all tokens are alike.
    assert 100 < record["scores"]["val"]["perplexity"]["per_token"] < 1000
    with pytest.raises(SystemExit):
        task.main(["--count", "1"], pipe=pipe)
    monkeypatch.delenv("MMGEN_DATA")
    with pytest.raises(LoadError, match="MMGEN_DATA is not set"):
        task.main([], pipe=pipe)
