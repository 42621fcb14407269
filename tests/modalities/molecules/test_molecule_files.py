"""Files of molecules: what is written comes back, and what is none is refused."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmgen.modalities import molecules

Chem = pytest.importorskip("rdkit.Chem")

MOLECULES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "C[C@H](N)C(=O)O",
    "OC(=O)/C=C/C(=O)O",
    "OC(=O)/C=C\\C(=O)O",
    "CC=CC",
    "CN1CC[C@]23[C@@H]4[C@H]1CC5=C2C(=C(C=C5)O)O[C@H]3[C@H](C=C4)O",
    "[Na+].CC([O-])=O",
    "C[S@](=O)c1ccccc1",
    "[13CH4]",
]
CANONICAL = [molecules.canonical(s) for s in MOLECULES]
TITLES = [f"molecule {i}\nof several" for i in range(len(MOLECULES))]


@pytest.mark.parametrize("suffix", [".smi", ".sdf"])
@pytest.mark.parametrize("titles", [(), TITLES], ids=["bare", "titled"])
def test_files_come_back(tmp_path: Path, suffix: str, titles: list[str]) -> None:
    path = molecules.save_many(CANONICAL, tmp_path / f"a{suffix}", titles)
    assert molecules.load_many(path) == CANONICAL
    path = molecules.save(CANONICAL[0], tmp_path / f"b{suffix}")
    assert molecules.load(path) == CANONICAL[0]
    with pytest.raises(ValueError, match=f"Expected one molecule.*got {len(CANONICAL)}"):
        molecules.load(tmp_path / f"a{suffix}")


def test_an_sdf_holds_title_and_smiles_and_coordinates(tmp_path: Path) -> None:
    path = molecules.save_many(CANONICAL[:2], tmp_path / "a.sdf", ["first one", "second"])
    first, second = Chem.SDMolSupplier(str(path))
    assert first.GetProp("_Name") == "first one" and second.GetProp("SMILES") == CANONICAL[1]
    assert first.GetConformer().GetPositions()[:, :2].std() > 0.5
    mol = tmp_path / "a.mol"
    mol.write_text(Chem.MolToMolBlock(first))
    assert molecules.load(mol) == CANONICAL[0]


def test_a_grid_shows_every_string(tmp_path: Path) -> None:
    def pixels(values: list[str], titles: tuple[str, ...] = ()) -> Image.Image:
        path = molecules.save_many(values, tmp_path / "a.png", titles)
        assert b"rdkitPKL" not in path.read_bytes()
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            return image.convert("RGB")

    one, four = pixels(["CCO"]), pixels(CANONICAL[:4])
    assert four.size == (2 * one.width, 2 * one.height)
    invalid = pixels(["C1CC", "CCO"]).crop((0, 0, one.width, one.height))
    assert len(invalid.getcolors(1 << 20)) > 1
    titled = pixels(["CCO"], ("alcohol",))
    assert titled.tobytes() != one.tobytes() != pixels(["C1CC"]).tobytes()


def test_strings_that_are_no_molecules_are_kept_or_refused(tmp_path: Path) -> None:
    path = molecules.save_many(["CCO", "C1CC"], tmp_path / "a.smi")
    assert path.read_text() == "CCO\nC1CC\n"
    with pytest.raises(ValueError, match=r"Line 2 of .*a\.smi.*not closed"):
        molecules.load_many(path)
    with pytest.raises(ValueError, match="1 of 2 are no molecules .'C1CC' is one"):
        molecules.save_many(["CCO", "C1CC"], tmp_path / "a.sdf")
    assert not (tmp_path / "a.sdf").exists()


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot hold a molecule"):
        molecules.save("CCO", tmp_path / "a.wav")
    with pytest.raises(ValueError, match="Expected 2 titles, one each, got 1"):
        molecules.save_many(["CCO", "CC"], tmp_path / "a.smi", ["one"])
    with pytest.raises(ValueError, match="at most 400 molecules, got 401"):
        molecules.save_many(["C"] * 401, tmp_path / "a.png")


def test_files_that_cannot_be_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, data, message in (
        ("a.smi", b"", "holds no molecule"),
        ("a.smi", b"CCO\xff", "no text at byte 3"),
        ("a.smi", b"smiles\nCCO", "Line 1"),
        ("a.sdf", b"", "holds no molecule"),
        ("a.sdf", b"nonsense\n\n\nmore\n$$$$\n", "no molecule"),
        ("a.csv", b"CCO", "an ending that is none of"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=message):
            molecules.load_many(tmp_path / name)
    with pytest.raises(ValueError, match="Could not read"):
        molecules.load_many(tmp_path / "missing.smi")
    with pytest.raises(TypeError, match="path of a file, got int"):
        molecules.load_many(3)
    whole = molecules.save("CCO", tmp_path / "b.sdf").read_bytes()
    (tmp_path / "c.sdf").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="molecule"):
        molecules.load_many(tmp_path / "c.sdf")
    monkeypatch.setattr("mmgen.modalities.molecules.files.MAX_BYTES", 10)
    with pytest.raises(ValueError, match="larger than 10 bytes"):
        molecules.load_many(tmp_path / "b.sdf")


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.sampled_from([".sdf", ".smi", ".mol"]))
def test_altered_files_are_read_or_refused_clearly(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, place: int, suffix: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    written = ".smi" if suffix == ".smi" else ".sdf"
    data = molecules.save(CANONICAL[1], folder / f"whole{written}").read_bytes()
    path = folder / f"altered{suffix}"
    path.write_bytes(data[:place] + noise + data[place + len(noise) :])
    try:
        found = molecules.load_many(path)
    except ValueError as error:
        assert str(error)
    else:
        assert found and all(map(molecules.is_valid, found))
