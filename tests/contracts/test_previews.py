"""Every modality says in which files its values can be looked at, and reads those it writes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from modality_values import values
from PIL import Image

from mmgen.modalities import modality, modality_names

NEEDS = {"molecules": "rdkit", "video": "av"}
PICTURES = {"actions", "image", "molecules"}


@pytest.mark.parametrize("name", modality_names())
def test_an_overview_can_be_written_as_a_preview(tmp_path: Path, name: str) -> None:
    kind = modality(name)
    assert {"PREVIEW_SUFFIX", "SUFFIXES", "load", "save", "save_many"} <= set(kind.__all__)
    assert kind.PREVIEW_SUFFIX in kind.SUFFIXES
    if importlib.util.find_spec(NEEDS.get(name, "numpy")) is None:
        pytest.skip(f"needs {NEEDS[name]}")
    own = [Image.fromarray(v) for v in values(name)] if name == "image" else values(name)
    titles = [f"of\n[{i} {i}]" for i in range(len(own))]
    path = kind.save_many(own, tmp_path / f"all{kind.PREVIEW_SUFFIX}", titles)
    assert path.stat().st_size > 0
    if name in PICTURES:
        with Image.open(path) as image:
            assert min(image.size) > 16


@pytest.mark.parametrize("name", ["actions", "label", "properties", "text"])
def test_a_value_comes_back_from_its_file(tmp_path: Path, name: str) -> None:
    kind = modality(name)
    value = values(name)[0]
    for suffix in set(kind.SUFFIXES) - {".png"}:
        again = kind.load(kind.save(value, tmp_path / f"x{suffix}"))
        assert type(again) is type(value)
        assert again == (pytest.approx(value) if name == "actions" else value)
    with pytest.raises(ValueError, match="x2"):
        kind.load(tmp_path / f"x2{kind.SUFFIXES[0]}")
