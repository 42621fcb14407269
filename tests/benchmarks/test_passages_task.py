"""The task of passages runs on a tiny pipeline, and says what it measured."""

from __future__ import annotations

import gzip
import importlib
import json
import math
from pathlib import Path

import pytest

from mmgen.core.errors import LoadError
from mmgen.pipeline import Pipeline

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty blocks of sixty speeches, the last held out, and twenty programs."""
    monkeypatch.syspath_prepend(ROOT)
    folder = tmp_path / "data"
    for name in ("text", "code"):
        (folder / name).mkdir(parents=True)
    speeches = "\n\n".join(f"Speaker {i % 7}:\nThis is speech {i}." for i in range(1200))
    (folder / "text" / "tinyshakespeare.txt.gz").write_bytes(gzip.compress(speeches.encode()))
    rows = [
        json.dumps({"text": f"Add {i}.", "code": f"def f(x):\n    return x + {i}"})
        for i in range(20)
    ]
    path = folder / "code" / "mbpp_prompt_train_val.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(rows).encode()))
    monkeypatch.setenv("MMGEN_DATA", str(folder))
    return folder


def test_it_scores_held_out_texts(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = importlib.import_module("benchmarks.tasks.passages")
    pipe = Pipeline.debug("text-to-text:passages")
    path = task.main(["--count", "8", "--output", str(tmp_path / "results")], pipe=pipe)
    record = json.loads(path.read_text("utf-8"))
    # 59 pairs of speeches and a program; every eighth of them.
    assert record["settings"]["count"] == 8
    scores = record["scores"]
    for part in ("given", "nothing"):
        found = scores[part]
        assert found["bits_per_byte"] == pytest.approx(math.log2(found["per_byte"]), abs=1e-3)
        # Random weights know no more than that a token is one of many.
        assert found["bits_per_byte"] > 2
    # Who has read the others needs little for one more of these speeches.
    assert 0 < scores["compressed"] < 2
    with pytest.raises(SystemExit):
        task.main(["--count", "0"], pipe=pipe)
    monkeypatch.delenv("MMGEN_DATA")
    with pytest.raises(LoadError, match="MMGEN_DATA is not set"):
        task.main(["--output", str(tmp_path)], pipe=pipe)
