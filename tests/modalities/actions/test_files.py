"""Files of actions."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmgen.modalities import actions

CHUNK = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".npy", ".csv"])
def test_what_is_written_is_read_back(tmp_path: Path, suffix: str) -> None:
    path = actions.save(CHUNK, tmp_path / f"a{suffix}")
    assert np.array_equal(actions.load(path), CHUNK)
    assert np.array_equal(actions.load(str(path)), CHUNK)


def test_bytes_of_either_order_and_type() -> None:
    for array in (CHUNK, np.asfortranarray(CHUNK), CHUNK.astype(">f8"), CHUNK.astype("i2")):
        buffer = io.BytesIO()
        np.save(buffer, array)
        assert np.array_equal(actions.load(buffer.getvalue()), array.astype(np.float32))


def test_several(tmp_path: Path) -> None:
    together = np.load(actions.save_many([CHUNK, 2 * CHUNK], tmp_path / "a.npy"))
    assert np.array_equal(together, np.stack((CHUNK, 2 * CHUNK)))
    rows = actions.save_many([CHUNK, 2 * CHUNK], tmp_path / "a.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["0"] * 6 + ["1"] * 6
    assert np.float32(rows[6].split(",")[1]) == 2 * CHUNK[0, 0]


def test_a_plot_shows_every_trajectory(tmp_path: Path) -> None:
    rising = np.linspace(0, 1, 9)[:, None]
    path = actions.save_many([rising, 1 - rising, 0 * rising], tmp_path / "a.png", ["up", "", ""])
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    blue = (pixels[..., 2] - pixels[..., 0]) > 60
    height, width = blue.shape[0] // 2, blue.shape[1] // 2
    up, down = (np.argwhere(blue[:height, i * width : (i + 1) * width]) for i in (0, 1))
    # Rows count from the top, so what rises has its first points at the bottom.
    assert np.corrcoef(up.T)[0, 1] < -0.9 and np.corrcoef(down.T)[0, 1] > 0.9
    assert blue[height:, :width].any() and not blue[height:, width:].any()
    assert (pixels[:14, :width].sum(-1) < 200).any()


def test_a_plot_of_one_number(tmp_path: Path) -> None:
    assert actions.save(np.zeros((1, 1)), tmp_path / "a.png").stat().st_size > 0


def _npy(header: bytes, data: bytes = b"") -> bytes:
    header = header.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    "data",
    [
        _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (9999999, 9999999), }", b"1234"),
        _npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (1, 1), }", b"12345678"),
        _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1), }", b"1234"),
        _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': 3, }", b"1234"),
        _npy(b"{'descr': '<V0', 'fortran_order': False, 'shape': (1, 1), }"),
        _npy(b"__import__('os')"),
        b"\x93NUMPY\x09\x00" + bytes(100),
        b"PK\x03\x04",
    ],
)
def test_files_that_lie_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    for value in (data, path):
        with pytest.raises((ValueError, TypeError), match=r"\.npy|actions"):
            actions.load(value)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_are_read_or_refused_clearly(data: bytes, header: bool) -> None:
    try:
        actions.load(b"\x93NUMPY\x01\x00" + data if header else data)
    except (ValueError, TypeError) as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "none of them zero"),
        ("1,2\n3\n", "Row 2 of .* has 1 columns, the first 2"),
        ("1,2\n3,x\n", "Row 2 of .* could not convert"),
        ("1,nan\n", "finite"),
        ("\x00", "CSV|Row 1"),
    ],
)
def test_bad_csv_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        actions.load(path)


@pytest.mark.parametrize("name", ["a.wav", "a", "missing/a.npy"])
def test_what_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot hold actions|no folder"):
        actions.save(CHUNK, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
