"""Files appear whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from mmgen.core import files
from mmgen.core.errors import LoadError


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    files.write_beside(path, b"old")
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_beside(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_fails_half_way_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with files.folder_beside(path) as new:
        (new / "a").write_text("old")
    with pytest.raises(RuntimeError, match="half way"), files.folder_beside(path) as new:
        (new / "a").write_text("new")
        raise RuntimeError("half way")
    assert (path / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_rename_that_fails_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder"
    with files.folder_beside(path) as new:
        (new / "a").write_text("old")
    real = files.os.replace

    def fails_on_the_new(source: Path, target: Path) -> None:
        if target == path and not str(source).endswith(".old"):
            full()
        real(source, target)

    monkeypatch.setattr(files.os, "replace", fails_on_the_new)
    with pytest.raises(OSError, match="No space left"), files.folder_beside(path) as new:
        (new / "a").write_text("new")
    assert (path / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff\xfe", b"null"])
def test_what_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(LoadError, match=r"a\.json"):
        files.read_json(tmp_path / "a.json")


@pytest.mark.parametrize("content", [b"", b"1234567", b"\xff" * 100, b"PK\x03\x04", b"\x80\x04K."])
def test_what_is_no_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(LoadError, match="cut short or altered|is a pickle"):
        files.read_tensors(tmp_path / "a.safetensors")


def test_a_header_that_begins_like_a_pickle_is_read(tmp_path: Path) -> None:
    path = tmp_path / "part.safetensors"
    for length in range(1, 1200):
        path.write_bytes(save({"w" * length: torch.ones(2)}))
        if path.read_bytes()[:2] == b"\x80\x04":
            break
    assert path.read_bytes()[:2] == b"\x80\x04"
    assert torch.equal(files.read_tensors(path)["w" * length], torch.ones(2))
