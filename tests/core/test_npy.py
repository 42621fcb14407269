"""Arrays of .npy files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmgen.core.npy import load_array


@pytest.mark.parametrize("dtype", ["?", "<f4", ">f8", "u1", ">i2"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)])
def test_what_was_saved_is_loaded(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    array = np.asfortranarray(np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype))
    np.save(tmp_path / "a.npy", array)
    found = load_array(tmp_path / "a.npy")
    assert np.array_equal(found, array) and found.dtype.isnative
    assert torch.equal(torch.as_tensor(found), torch.as_tensor(array.astype(found.dtype)))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(100))
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(data[:-1])
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "text.npy").write_text("0:12")
    for name, message in (
        ("cut", "claims an array"),
        ("objects", "claims an array"),
        ("text", "Could not read"),
        ("nowhere", "no file of a mask"),
    ):
        with pytest.raises(ValueError, match=message):
            load_array(tmp_path / f"{name}.npy", what="a mask")
    with pytest.raises(ValueError, match="Expected a mask in a .npy file, got 'a.png'"):
        load_array("a.png", what="a mask")
