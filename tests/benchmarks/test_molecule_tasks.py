"""The tasks about molecules run from end to end on tiny pipelines and made data."""

from __future__ import annotations

import csv
import gzip
import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from mmgen.core.errors import LoadError
from mmgen.modalities.molecules import properties
from mmgen.pipeline import Pipeline

pytest.importorskip("rdkit")
ROOT = Path(__file__).parents[2]
CORES = [
    "N(Cc1ccc(OC)c(OC)c1)C(=O)c1ccsc1",
    "C(=O)Nc1ccc(F)cc1",
    "OC(=O)c1ccccc1N",
    "c1ccc(-c2ccccc2)cc1",
    "c1ccncc1",
]
# Three hundred different ones.
MADE = [f"{end}{'C' * n}{core}" for end in ("C", "OC", "NC") for n in range(20) for core in CORES]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A set of molecules so large that none of its symbols is rare, and ten descriptions."""
    folder = tmp_path / "data" / "molecules"
    folder.mkdir(parents=True)
    with gzip.open(folder / "zinc_smiles.csv.gz", "wt", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["smiles"])
        rows.writerows([one] for one in MADE)
    with gzip.open(folder / "chebi20_validation.tsv.gz", "wt") as file:
        file.write("CID\tSMILES\tdescription\n")
        for i in range(20):
            file.write(f"{i}\tC/C=C\\\\{'C' * (i + 1)}\tThe molecule is number {i}.\n")
    monkeypatch.setenv("MMGEN_DATA", str(tmp_path / "data"))
    monkeypatch.syspath_prepend(ROOT)
    kept = [
        importlib.import_module(f"mmgen_pipelines.{name}")
        for name in ("properties_to_molecules.zinc", "text_to_molecules.chebi")
    ]
    for forget in (kept[0].smiles.cache_clear, kept[1].described.cache_clear):
        forget()
    yield
    for forget in (kept[0].smiles.cache_clear, kept[1].described.cache_clear):
        forget()


def _chains() -> Pipeline:
    """A tiny pipeline that knows four atoms and when to end, so that most strings are molecules."""
    pipe = Pipeline.debug("properties-to-molecules:zinc")
    out = pipe.model.model.network.out
    known = [pipe.codec.vocabulary.symbols.index(symbol) for symbol in "CNOF"]
    with torch.no_grad():
        out.weight.zero_()
        out.bias.fill_(-30.0)
        out.bias[[*known, -1]] = torch.tensor([2.0, 1.0, 0.0, -1.0, 0.0])
    return pipe


def test_molecules(data: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fcd")
    pytest.importorskip("scipy")
    task = importlib.import_module("benchmarks.tasks.molecules")
    pipe = _chains()
    with pytest.raises(SystemExit):
        task.main(["--count", "1"], pipe=pipe)
    asked = ["--count", "30", "--compared", "15", "--asked", "2", "--output", str(tmp_path)]
    path = task.main(asked, pipe=pipe)
    record = json.loads(path.read_text("utf-8"))
    scores = record["scores"]
    assert record["settings"]["count"] == 30 and record["settings"]["options"]["checked"] is True
    assert scores["drawn"]["valid"]["successes"] == scores["drawn"]["valid"]["count"] == 30
    # The fluorine ends there, since no symbol that follows it is allowed.
    first, alone = scores["unchecked"]["valid"], scores["unconstrained"]["valid"]
    assert first["successes"] == first["count"] == alone["count"] == 6
    assert scores["compared"] == 15 and scores["fcd"] > scores["training"]["fcd"] > 0
    assert set(scores["moses"]) == set(scores["training"]["moses"])
    assert scores["moses"]["snn"] < scores["training"]["moses"]["snn"] <= 1
    # Chains have no scaffolds to compare.
    assert scores["moses"]["scaf"] is None and scores["guacamol"]["validity"] == 1
    assert scores["properties"]["log_p"]["count"] == 2
    assert scores["properties"]["molecular_weight"]["unit"] == "g/mol"
    assert scores["scaffold"]["held"]["count"] == 2
    assert path.with_suffix(".png").is_file()
    assert "FCD" in capsys.readouterr().out


def test_described(data: None, tmp_path: Path) -> None:
    task = importlib.import_module("benchmarks.tasks.described")
    recipe = importlib.import_module("mmgen_pipelines.text_to_molecules.chebi")
    # What is written twice in the file is one bond.
    assert recipe.described("train")[0] == ("The molecule is number 1.", "C/C=C\\CC")
    assert len(recipe.described("train")) == 18 and len(recipe.described("test")) == 2
    with pytest.raises(ValueError, match="'train' or 'test', got 'val'"):
        recipe.described("val")
    pipe = Pipeline.debug("text-to-molecules:chebi")
    record = json.loads(task.main(["--output", str(tmp_path)], pipe=pipe).read_text("utf-8"))
    assert record["settings"]["count"] == 2
    assert record["scores"]["drawn"]["valid"]["count"] == 2
    assert record["scores"]["others"]["exact"]["successes"] == 0
    assert record["scores"]["others"]["morgan"] < 1


def test_a_range_to_learn(data: None) -> None:
    case = importlib.import_module("benchmarks.finetuning.molecules")
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        learnt = case.pairs(split)
        found = [learnt.pair(i, rng) for i in range(len(learnt))]
        assert found and all(y == {} for y, _ in found)
        assert all(4 <= properties(x, ["log_p"])["log_p"] <= 5 for _, x in found)
    greasy = found[0][1]
    judged = case.judged([greasy, "CCO", "C1CC", greasy], frozenset({"CCO"}))
    assert judged == {"valid": 0.75, "in_range": 0.5, "new": 0.5}


def test_a_task_without_its_data_says_where_to_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.delenv("MMGEN_DATA", raising=False)
    task = importlib.import_module("benchmarks.tasks.molecules")
    with pytest.raises(LoadError, match="'molecules'.*MMGEN_DATA"):
        task.main(["--count", "2"])
