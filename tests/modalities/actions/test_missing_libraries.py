"""What is said when an optional library is not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mmgen.core.errors import MissingDependency
from mmgen.modalities.actions.parquet import read_table
from mmgen.modalities.actions.spaces import shapes_of
from mmgen.modalities.actions.video_frames import read_frames


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for library in ("pyarrow", "av", "gymnasium"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependency, match=r"Parquet files needs pyarrow.*\[policies\]"):
        read_table(tmp_path, "*.parquet")
    with pytest.raises(MissingDependency, match=r"needs av.*\[video\]"):
        read_frames(tmp_path / "a.mp4", [0.0], tolerance=1e-4)
    with pytest.raises(MissingDependency, match=r"needs gymnasium.*\[policies\]"):
        shapes_of(None, history=1)
