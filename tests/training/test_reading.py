"""Pairs in the files and folders that people keep them in."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmgen.core.errors import LoadError
from mmgen.modalities.audio import Audio
from mmgen.modalities.audio import save as save_sound
from mmgen.pipeline import Pipeline
from mmgen.training import check_pairs, fit, read_pairs
from mmgen.training.pairs import ListedPairs, Pairs, SelectedPairs
from mmgen.training.tables import read_table

RNG = np.random.default_rng(0)


def picture(path: Path, colour: tuple[int, int, int] = (200, 30, 30), side: int = 16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), colour).save(path)
    return path


def jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def all_of(pairs: Pairs) -> list[tuple[Any, Any]]:
    return [pairs.pair(i, RNG) for i in range(len(pairs))]


@pytest.fixture(scope="module")
def painter() -> Pipeline:
    return Pipeline.compose(x="image", y="text", family="diffusion", size="debug")


@pytest.fixture(scope="module")
def translator() -> Pipeline:
    return Pipeline.compose(x="text", y="text", family="autoregressive", size="debug")


@pytest.fixture(scope="module")
def speaker() -> Pipeline:
    return Pipeline.compose(x="audio", y="text", family="diffusion", size="debug")


@pytest.fixture(scope="module")
def chemist() -> Pipeline:
    pytest.importorskip("rdkit")
    return Pipeline.compose(
        x="molecules", y="properties", family="autoregressive", size="debug", labels=["logP", "qed"]
    )


@pytest.mark.parametrize("name", ["pairs.jsonl", "metadata.jsonl", "metadata.csv", "train.tsv"])
def test_tables_beside_pictures(painter: Pipeline, tmp_path: Path, name: str) -> None:
    rows = [{"file_name": f"p/{i}.png", "caption": f"picture, {i}"} for i in range(3)]
    for row in rows:
        picture(tmp_path / row["file_name"])
    if name.endswith("jsonl"):
        jsonl(tmp_path / name, rows)
    else:
        delimiter = "\t" if name.endswith("tsv") else ","
        lines = [["file_name", "caption"], *([r["file_name"], f'"{r["caption"]}"'] for r in rows)]
        (tmp_path / name).write_text("\n".join(delimiter.join(line) for line in lines))
    found = all_of(read_pairs(tmp_path, painter))
    assert found == [(r["caption"], (tmp_path / r["file_name"]).resolve()) for r in rows]


def test_parquet_with_pictures_inside(painter: Pipeline, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    data = picture(tmp_path / "a.png").read_bytes()
    for shard, texts in enumerate((["one", "two"], ["three"])):
        images = [{"bytes": data, "path": None} for _ in texts]
        table = pyarrow.table({"image": images, "text": texts})
        parquet.write_table(table, tmp_path / f"train-0000{shard}-of-00002.parquet")
    found = all_of(read_pairs(tmp_path, painter))
    assert found == [(text, data) for text in ("one", "two", "three")]


def test_tar_shards(painter: Pipeline, tmp_path: Path) -> None:
    data = picture(tmp_path / "a.png").read_bytes()
    shard = tmp_path / "shards" / "data-000.tar"
    shard.parent.mkdir()
    with tarfile.open(shard, "w") as archive:
        for stem, text in (("x/1", b"a red one\n"), ("x/2", b"another")):
            for ending, content in (("png", data), ("txt", text)):
                member = tarfile.TarInfo(f"{stem}.{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    found = all_of(read_pairs(shard.parent, painter))
    assert found == [("a red one", data), ("another", data)]
    with tarfile.open(shard, "a") as archive:
        for ending, content in (("txt", b"again"), ("png", data)):
            member = tarfile.TarInfo(f"x/1.{ending}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    twice = read_pairs(shard, painter)
    assert twice.pair(1, RNG) == ("another", data)
    with pytest.raises(ValueError, match=r"data-000.tar, x/1: there are two files 'x/1.png'"):
        twice.pair(0, RNG)
    shard.write_bytes(shard.read_bytes()[:700])
    with pytest.raises(LoadError, match="uncompressed tar"):
        read_pairs(shard, painter)


def test_folders_of_classes(tmp_path: Path) -> None:
    pipe = Pipeline.compose(
        x="image", y="label", family="diffusion", size="debug", labels=["cat", "dog"]
    )
    files = [picture(tmp_path / kind / f"{i}.png") for kind in ("cat", "dog") for i in range(2)]
    found = all_of(read_pairs(tmp_path, pipe))
    assert found == [(f.parent.name, f.resolve()) for f in files]


def test_files_with_a_text_beside(painter: Pipeline, tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f"picture {name}\n")
    picture(tmp_path / "no_text.png")
    assert [y for y, _ in all_of(read_pairs(tmp_path, painter))] == ["picture a", "picture b"]


def test_pictures_alone_teach_what_has_no_condition(painter: Pipeline, tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    alone = Pipeline.compose(x="image", family="diffusion", size="debug")
    assert all_of(read_pairs(tmp_path, alone)) == [(None, (tmp_path / "a.png").resolve())]
    with pytest.raises(LoadError, match="No column is known to hold y"):
        read_pairs(tmp_path, painter)


def test_ljspeech(speaker: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()
    for name in ("LJ-1", "LJ-2"):
        save_sound(Audio(np.zeros((1, 800), np.float32), 8000), tmp_path / "wavs" / f"{name}.wav")
    (tmp_path / "metadata.csv").write_text("LJ-1|in 1850|in eighteen fifty\nLJ-2|no|\n")
    found = all_of(read_pairs(tmp_path, speaker))
    assert [(y, x.name) for y, x in found] == [
        ("in eighteen fifty", "LJ-1.wav"),
        ("no", "LJ-2.wav"),
    ]


def test_aligned_lines(translator: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "train.de").write_text("Hallo\nWie geht's?\n")
    (tmp_path / "train.en").write_text("Hello\nHow are\u2028you?\n")
    files = [tmp_path / "train.en", tmp_path / "train.de"]
    pairs = [("Hello", "Hallo"), ("How are\u2028you?", "Wie geht's?")]
    assert all_of(read_pairs(files, translator)) == pairs
    with pytest.raises(LoadError, match="the table has de, en"):
        read_pairs(tmp_path, translator)
    columns = {"y": "en", "x": "de"}
    assert all_of(read_pairs(tmp_path, translator, columns=columns)) == pairs
    (tmp_path / "train.en").write_text("Hello\n")
    with pytest.raises(ValueError, match=r"train.de has 2, train.en has 1"):
        read_pairs(tmp_path, translator, columns=columns)


def test_source_and_target(translator: Pipeline, tmp_path: Path) -> None:
    jsonl(tmp_path / "pairs.jsonl", [{"target": "b", "source": "a"}])
    assert all_of(read_pairs(tmp_path, translator)) == [("a", "b")]


def test_smiles_with_properties(chemist: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "set.smi").write_text("smiles LOGP qed\nCCO -0.3 0.4\nc1ccccc1 2.1 nan\n")
    found = all_of(read_pairs(tmp_path, chemist))
    assert found[0] == ({"logP": -0.3, "qed": 0.4}, "CCO")
    assert np.isnan(found[1][0]["qed"])


def test_parts_of_a_condition(tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained("text-to-image:emoji")
    for i in range(3):
        picture(tmp_path / f"{i}.png", side=64)
    rows = [
        {"image": "0.png", "text": "pizza", "vendor": "noto"},
        {"image": "1.png", "text": "pizza"},
        {"image": "2.png", "vendor": "noto"},
    ]
    jsonl(tmp_path / "metadata.jsonl", rows)
    pairs = read_pairs(tmp_path, pipe, columns={"style": "vendor"})
    wanted = [{"text": "pizza", "style": "noto"}, {"text": "pizza"}, {"style": "noto"}]
    assert [y for y, _ in all_of(pairs)] == wanted
    with pytest.raises(LoadError, match="'colour' is no part"):
        read_pairs(tmp_path, pipe, columns={"colour": "vendor"})
    with pytest.raises(LoadError, match="no column 'vendr'.*vendor"):
        read_pairs(tmp_path, pipe, columns={"style": "vendr"})


@pytest.mark.parametrize("how", ["files", "folders", "column"])
def test_splits(translator: Pipeline, tmp_path: Path, how: str) -> None:
    rows = {"train": {"source": "a", "target": "b"}, "dev": {"source": "c", "target": "d"}}
    for split, row in rows.items():
        if how == "files":
            jsonl(tmp_path / f"{split}.jsonl", [row])
        elif how == "folders":
            (tmp_path / split).mkdir()
            jsonl(tmp_path / split / "metadata.jsonl", [row])
    if how == "column":
        jsonl(tmp_path / "pairs.jsonl", [{**row, "split": split} for split, row in rows.items()])
    assert all_of(read_pairs(tmp_path, translator)) == [("a", "b")]
    assert all_of(read_pairs(tmp_path, translator, split="validation")) == [("c", "d")]
    with pytest.raises(LoadError, match="no split 'test'"):
        read_pairs(tmp_path, translator, split="test")


def test_several_tables_are_not_guessed(translator: Pipeline, tmp_path: Path) -> None:
    jsonl(tmp_path / "one.jsonl", [{"source": "a", "target": "b"}])
    (tmp_path / "two.csv").write_text("source,target\na,b\n")
    with pytest.raises(LoadError, match=r"Several tables.*one.jsonl, two.csv"):
        read_pairs(tmp_path, translator)
    assert all_of(read_pairs(tmp_path / "two.csv", translator)) == [("a", "b")]


def test_what_a_datasets_dataset_has(painter: Pipeline) -> None:
    class Dataset(list):
        column_names = ("image", "text")

    image = Image.new("RGB", (16, 16))
    pairs = read_pairs(Dataset([{"image": image, "text": "black"}]), painter)
    assert all_of(pairs) == [("black", image)]


@pytest.mark.parametrize("path", ["../secret.png", "/etc/hostname"])
def test_paths_stay_in_the_folder(painter: Pipeline, tmp_path: Path, path: str) -> None:
    picture(tmp_path / "secret.png")
    inner = tmp_path / "pairs"
    inner.mkdir()
    jsonl(inner / "pairs.jsonl", [{"image": path, "text": "?"}])
    with pytest.raises(ValueError, match=r"pairs.jsonl, line 1: .* lies outside"):
        read_pairs(inner, painter).pair(0, RNG)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{broken", "line 3: this is no JSON"),
        ("[1, 2]", "line 3: expected an object"),
        ('{"text": "a", "image": "a.png", "text": "b"}', "line 3: .* it names 'text' twice"),
        ('{"text": "b"}', "line 3: image is empty"),
        ('{"text": "b", "image": "gone.png"}', "line 3: There is no file 'gone.png'"),
        (f'{{"text": "b", "image": "{300 * "x"}"}}', "line 3: There is no file 'xxx.{,400}$"),
    ],
)
def test_broken_rows_are_named(painter: Pipeline, tmp_path: Path, text: str, message: str) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "pairs.jsonl").write_text(f'{{"text": "a", "image": "a.png"}}\n\n{text}\n')
    pairs = read_pairs(tmp_path, painter)
    assert pairs.pair(0, RNG)[0] == "a"
    with pytest.raises(ValueError, match=message):
        pairs.pair(1, RNG)


def test_a_table_without_rows_and_a_folder_without_tables(
    painter: Pipeline, tmp_path: Path
) -> None:
    with pytest.raises(LoadError, match="Nothing in the folder"):
        read_pairs(tmp_path, painter)
    (tmp_path / "pairs.jsonl").write_text("\n")
    with pytest.raises(LoadError, match="holds no rows"):
        read_pairs(tmp_path, painter)
    with pytest.raises(LoadError, match="There is no file or folder"):
        read_pairs(tmp_path / "gone", painter)
    (tmp_path / "x.csv").write_text("a,a\n1,2\n")
    with pytest.raises(ValueError, match="two columns have one name"):
        read_table(tmp_path / "x.csv")
    (tmp_path / "y.csv").write_text('a,b\n1,"2,3"\n1,2,3\n')
    table = read_table(tmp_path / "y.csv")
    assert table.row(0).cells == {"a": "1", "b": "2,3"}
    with pytest.raises(ValueError, match="y.csv, line 3: expected 2 cells"):
        table.row(1)


def test_values_that_do_not_fit_are_adapted_if_asked(painter: Pipeline, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), (0, 0, 255)).save(tmp_path / "a.png")
    jsonl(tmp_path / "pairs.jsonl", [{"image": "a.png", "text": "blue"}])
    _, x = read_pairs(tmp_path, painter, adapt=True).pair(0, RNG)
    assert x.size == (16, 16) and x.getpixel((8, 8)) == (0, 0, 255)


def test_sounds_are_adapted(speaker: Pipeline, tmp_path: Path) -> None:
    sound = Audio(np.zeros((2, 1600), np.float32), 16000)
    save_sound(sound, tmp_path / "a.wav")
    jsonl(tmp_path / "pairs.jsonl", [{"audio": "a.wav", "text": "hush"}])
    _, x = read_pairs(tmp_path, speaker, adapt=True).pair(0, RNG)
    assert x.sampling_rate == 8000 and x.samples.shape == (1, 800)


def test_a_report_counts_and_names(tmp_path: Path) -> None:
    pipe = Pipeline.compose(
        x="image", y="label", family="diffusion", size="debug", labels=["cat", "dog"]
    )
    pipe.fit_statistics([("cat", Image.new("RGB", (16, 16)))])
    for i in range(3):
        picture(tmp_path / f"{i}.png", (80 * i, 0, 0))
    picture(tmp_path / "large.png", side=20)
    rows = [
        {"image": "0.png", "label": "cat"},
        {"image": "1.png", "label": "dog"},
        {"image": "0.png", "label": "cat"},
        {"image": "large.png", "label": "dog"},
        {"image": "2.png", "label": "cow"},
    ]
    jsonl(tmp_path / "train.jsonl", rows)
    jsonl(tmp_path / "test.jsonl", rows[1:2])
    report = check_pairs(
        pipe, read_pairs(tmp_path, pipe), against=read_pairs(tmp_path, pipe, split="test")
    )
    assert report.count == 5 and report.share_bad == 0.4
    assert [bad.where for bad in report.bad] == ["train.jsonl, line 4", "train.jsonl, line 5"]
    assert "16 x 16" in report.bad[0].message and "'cow'" in report.bad[1].message
    assert report.twice == [("train.jsonl, line 1", "train.jsonl, line 3")]
    assert report.elsewhere == ["train.jsonl, line 2"]
    assert report.numbers["x.width"] == (16, 16, 16)
    assert report.words == {"y": {"cat": 2, "dog": 1}}
    assert report.doubtful == {"x is of one colour": [f"train.jsonl, line {i}" for i in (1, 2, 3)]}
    assert len(report.warnings) == 4
    assert report.warnings[1].startswith("1 pair stands there twice, such as train.jsonl, line 1")


def test_a_picture_under_two_names_is_told(painter: Pipeline, tmp_path: Path) -> None:
    noise = RNG.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    for i, own in enumerate(noise):
        Image.fromarray(own).save(tmp_path / f"{i}.png")
    rows = [{"image": f"{i}.png", "text": text} for i, text in enumerate(("a cat", "a dog"))]
    jsonl(tmp_path / "train.jsonl", [*rows, {"image": "0.png", "text": "a cow"}, rows[0]])
    report = check_pairs(painter, read_pairs(tmp_path, painter))
    assert report.doubtful == {"x has another y elsewhere": ["train.jsonl, line 3"]}
    assert len(report.twice) == 1


def test_silent_and_clipped_sounds_are_told(speaker: Pipeline, tmp_path: Path) -> None:
    tone = np.sin(np.arange(4000) / 5)[None].astype(np.float32)
    for name, sound in {"soft": tone / 2, "loud": (3 * tone).clip(-1, 1), "none": tone * 0}.items():
        save_sound(Audio(sound, 8000), tmp_path / f"{name}.wav")
        (tmp_path / f"{name}.txt").write_text(name)
    report = check_pairs(speaker, read_pairs(tmp_path, speaker))
    assert report.doubtful == {"x is clipped": ["loud.wav"], "x is silent": ["none.wav"]}
    assert report.numbers["x.seconds"] == (0.5, 0.5, 0.5)


def test_empty_texts_are_told_and_few_pairs_are_counted() -> None:
    translator = Pipeline.compose(x="text", y="text", family="autoregressive", size="debug")
    translator.fit_statistics([("a", "b")])
    pairs = ListedPairs([("a", ""), ("a", " "), ("", "b"), ("a", "b")])
    report = check_pairs(translator, pairs)
    assert report.doubtful == {"x is empty": ["pair 0", "pair 1"]}
    assert [bad.where for bad in report.bad] == ["pair 2"]
    assert report.warnings[0] == "3 pairs are few: they will be learnt by heart."
    one = check_pairs(translator, SelectedPairs(pairs, [3])).warnings
    assert one == ["1 pair is few: it will be learnt by heart."]
    none = check_pairs(translator, SelectedPairs(pairs, [2])).warnings
    assert none == ["There is no pair that can be learnt from."]


def test_a_class_that_is_a_thousand_times_rarer_is_told() -> None:
    names = ["cat", "dog"]
    own = {"size": "debug", "labels": {"label": names, "properties": names}}
    pipe = Pipeline.compose(x="properties", y="label", family="normalizing_flow", **own)
    pairs = [(names[i // 1000], {"cat": i, "dog": -i}) for i in range(1001)]
    pipe.fit_statistics(pairs)
    report = check_pairs(pipe, ListedPairs(pairs))
    assert report.words == {"y": {"cat": 1000, "dog": 1}}
    assert report.warnings[-1].startswith("y: 'dog' stands there 1 time, another 1000 times.")


def test_training_reads_a_folder_and_names_what_it_cannot_read(tmp_path: Path) -> None:
    pipe = Pipeline.compose(x="image", y="text", family="diffusion", size="debug")
    folder = tmp_path / "pairs"
    for i in range(3):
        picture(folder / f"{i}.png", (80 * i, 0, 0))
    rows = [{"image": f"{i}.png", "text": f"number {i}"} for i in range(3)]
    jsonl(folder / "pairs.jsonl", rows)
    settings = {"steps": 1, "batch_size": 3, "warmup": 1, "precision": "no", "progress": False}
    fit(pipe, folder, output=tmp_path / "run", **settings)
    picture(folder / "1.png", side=20)
    with pytest.raises(ValueError, match=r"pairs.jsonl, line 2: Expected images of 16 x 16"):
        fit(pipe, folder, output=tmp_path / "other", **settings)
