"""text-to-image:emoji on a made-up data set in the layout of the real one."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmgen_pipelines.text_to_image import emoji
from PIL import Image

from mmgen.core.errors import LoadError
from mmgen.modalities.text.tokenizer import words_of
from mmgen.pipeline import Pipeline
from mmgen.training.pairs import batch_at

MANY = [f"keyword{chr(97 + i)}" for i in range(18)]
PLAIN = {"group": "Objects", "tones": [], "zh": ""}
ROWS = [
    {"id": "a", "name": "razor", "keywords": ["sharp", "shave", "razor"], "base": "a"},
    {"id": "b", "name": "robot", "keywords": MANY, "base": "b"},
    {"id": "c", "name": "hand", "keywords": ["wave"], "base": "c", "group": "People & Body"},
    *(
        {
            "id": f"c-{tone}",
            "name": f"hand: {tone} skin tone",
            "keywords": ["wave", f"{tone} skin tone"],
            "base": "c",
            "group": "People & Body",
        }
        for tone in ("light", "medium", "dark")
    ),
    {"id": "d", "name": "bare", "keywords": [], "base": "d", "group": None},
    {"id": "v", "name": "held out", "keywords": ["new"], "base": "v", "split": "val"},
]


def _png(size: int, colour: tuple[int, int, int], mode: str = "RGBA") -> bytes:
    """A coloured square in the middle of nothing, whose hidden colour is black."""
    image = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    inner = size // 2
    image.paste((*colour, 255), (size // 4, size // 4, size // 4 + inner, size // 4 + inner))
    buffer = io.BytesIO()
    (image.quantize() if mode == "P" else image).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for MMGEN_DATA with six emoji, one of them of one style only."""
    folder = tmp_path / "emoji"
    folder.mkdir()
    rows = []
    for i, row in enumerate(ROWS):
        vendors = ["noto"] if row["id"] == "d" else ["noto", "emojitwo"]
        rows.append({**PLAIN, "split": "train", "vendors": vendors, **row})
        colour = (200, 20 * i, 30)
        for style, size, mode in (("noto", 72, "RGBA"), ("emojitwo", 64, "P")):
            if style in vendors:
                with zipfile.ZipFile(folder / f"{style}.zip", "a") as archive:
                    archive.writestr(f"{row['id']}.png", _png(size, colour, mode))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "captions.jsonl").write_text(lines, "utf-8")
    monkeypatch.setenv("MMGEN_DATA", str(tmp_path))
    return tmp_path


def _text(y: Any) -> str:
    return y if isinstance(y, str) else y["text"]


def test_debug_needs_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMGEN_DATA", raising=False)
    pipe = Pipeline.debug("text-to-image:emoji")
    ys = ["red heart", {"text": "pizza", "style": "noto"}, {"style": "emojitwo"}, None]
    images = pipe(ys, seed=0, num_inference_steps=2)
    assert [image.size for image in images] == [(16, 16)] * 4
    pipe.encoder.check(emoji.PREVIEW, unknown_words="error")


def test_parameters_fit_what_ships() -> None:
    pipe = emoji.build()
    count = sum(p.numel() for p in pipe.parts.parameters())
    assert count <= 4_950_000
    assert count == emoji.CARD.parameters
    assert len(emoji.PREVIEW) == 16


def test_without_the_variable_the_error_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMGEN_DATA", raising=False)
    with pytest.raises(LoadError, match=r"emoji/noto\.zip of the data set 'emoji'.*MMGEN_DATA"):
        emoji.pairs()


def test_a_missing_file_is_named(data: Path) -> None:
    (data / "emoji" / "emojitwo.zip").unlink()
    with pytest.raises(LoadError, match=r"MMGEN_DATA names.*no file '.*emojitwo\.zip'"):
        emoji.pairs()


def test_another_split_is_refused(data: Path) -> None:
    with pytest.raises(ValueError, match="'train' or 'val', got 'test'"):
        emoji.pairs("test")


def test_images_are_64_pixels_on_white(data: Path) -> None:
    noto, emojitwo = emoji.pictures("noto"), emoji.pictures("emojitwo")
    assert noto.keys() >= {"a", "v"} and "d" not in emojitwo
    for image in (*noto.values(), *emojitwo.values()):
        assert image.shape == (64, 64, 3) and image.dtype == np.uint8
        assert (image[0, 0] == 255).all()
    for image in (noto["a"], emojitwo["a"]):
        assert image[32, 32] == pytest.approx([200, 0, 30], abs=2)
        # The hidden black of transparent pixels never darkens an edge.
        assert (image.astype(int).max(-1) >= 195).all()


def test_pairs_show_captions_styles_and_all_words(data: Path) -> None:
    pairs = emoji.pairs()
    assert len(pairs) == emoji.TRAINING["statistics_from"]
    drawn = batch_at(pairs, 2**40, len(pairs), seed=0)
    images = {id(image) for style in emoji.STYLES for image in emoji.pictures(style).values()}
    assert {id(x) for _, x in drawn} <= images
    texts = [_text(y) for y, _ in drawn]
    assert max(map(len, texts)) <= 112
    words = {w for text in texts for w in words_of(text)} - {","}
    rows = emoji.captions("train")
    assert words == {w for r in rows for t in (r["name"], *r["keywords"]) for w in words_of(t)}
    alone = sum(text in {row["name"] for row in rows} for text in texts) / len(texts)
    assert 0.4 < alone < 0.75
    styled = sum(not isinstance(y, str) for y, _ in drawn) / len(drawn)
    assert styled == pytest.approx(0.5, abs=0.03)
    assert all(y["style"] in emoji.STYLES for y, _ in drawn if not isinstance(y, str))
    assert "held out" not in texts


def test_styles_belong_to_their_images(data: Path) -> None:
    for y, x in batch_at(emoji.pairs(), 0, 400, seed=0):
        if not isinstance(y, str):
            assert any(x is image for image in emoji.pictures(y["style"]).values())


def test_tones_do_not_drown_the_rest(data: Path) -> None:
    bases = {id(x): row["base"] for row in ROWS for s in emoji.STYLES for i, x in
             emoji.pictures(s).items() if i == row["id"]}  # fmt: skip
    seen = Counter(bases[id(x)] for _, x in batch_at(emoji.pairs(), 0, 2**13, seed=1))
    # One variant each, and four: in proportion to the root of their number.
    assert seen["c"] / seen["a"] == pytest.approx(2, abs=0.01)
    assert seen["a"] == pytest.approx(seen["b"], abs=1)


def test_held_out_pairs_are_apart(data: Path) -> None:
    assert {_text(y) for y, _ in batch_at(emoji.pairs("val"), 0, 200, seed=0)} == {
        "held out",
        "held out, new",
        "new",
    }


def test_pairs_train_a_pipeline(data: Path) -> None:
    pipe = emoji.build(**emoji.DEBUG | {"size": 64, "patch_size": 16})
    rows = batch_at(emoji.pairs(), 0, 64, seed=0)
    pipe.fit_statistics(rows)
    generator = torch.Generator().manual_seed(0)
    assert pipe.loss(pipe.prepare(rows[:4]), generator=generator).isfinite().all()
