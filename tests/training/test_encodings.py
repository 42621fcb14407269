"""What frozen parts give is computed once, and what is learnt is what it was without that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mmgen.core.codec import Codec
from mmgen.core.composite import CompositeEncoder
from mmgen.core.condition import Condition
from mmgen.families.diffusion import model
from mmgen.modalities.image.latents import Latents
from mmgen.modalities.label import LabelEncoder
from mmgen.modalities.text import TextEncoder
from mmgen.modalities.video import Video
from mmgen.modalities.video.latents import FrameLatents
from mmgen.nn.autoencoder import Autoencoder
from mmgen.pipeline import Pipeline
from mmgen.training import fit
from mmgen.training.encodings import Encodings, Kept, frozen_parts
from mmgen.training.pairs import DrawnPairs, ListedPairs

TEXTS = ["a red circle", "two green stars", "a white background left of a blue square", "two", None]
SETTINGS = {"steps": 8, "batch_size": 4, "precision": "no", "warmup": 1, "progress": False}
SETTINGS |= {"learning_rate": 1e-2, "ema": 0.5}


class Counting(Autoencoder):
    """Counts the images that it encodes."""

    count = 0

    def encode(self, x_BCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.count += len(x_BCHW)
        return super().encode(x_BCHW)


def painter(*, dropout: float = 0.3, seed: int = 0) -> Pipeline:
    """Texts to latents that are drawn: the codec is frozen, the encoder if nothing else is said."""
    torch.manual_seed(seed)
    codec = Latents.debug()
    codec.autoencoder.__class__ = Counting
    encoder = TextEncoder.debug()
    network = model(codec.spec, encoder.spec, "debug")
    return Pipeline(encoder=encoder, model=network, codec=codec, condition_dropout=dropout)


def pictures() -> ListedPairs:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, 8, 8, 3)).astype(np.uint8)
    return ListedPairs(zip(TEXTS * 2, images, strict=True))


def largest_difference(one: Pipeline, two: Pipeline) -> float:
    a, b = one.parts.state_dict(), two.parts.state_dict()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("only", [["model"], ["encoder", "model"]])
def test_the_same_is_learnt_as_without(tmp_path: Path, only: list[str], dropout: float) -> None:
    settings = SETTINGS | {"only": only}
    without = painter(dropout=dropout)
    fit(without, pictures(), output=tmp_path / "a", cache_gb=0, **settings)
    assert without.codec.autoencoder.count == 4 * 8
    kept = painter(dropout=dropout)
    fit(kept, pictures(), output=tmp_path / "b", **settings)
    # Each once, and the first once more to see whether the codec draws.
    assert kept.codec.autoencoder.count == 10 + 1
    assert largest_difference(without, kept) < 1e-5
    assert largest_difference(kept, painter(dropout=dropout)) > 1e-2
    filed = fit(
        painter(dropout=dropout),
        pictures(),
        output=tmp_path / "c",
        cache_gb=1e-9,
        workers=1,
        **settings,
    )
    assert largest_difference(kept, filed) == 0
    assert not (tmp_path / "c" / "encoded").exists()


def test_adapters_leave_the_parts_around_them_frozen(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    runs = [
        fit(painter(), pictures(), output=tmp_path / str(gb), lora_rank=2, cache_gb=gb, **SETTINGS)
        for gb in (0, 1)
    ]
    assert runs[1].codec.autoencoder.count == 11
    assert largest_difference(*runs) < 1e-5


class _Stop(Exception):
    pass


class Until(ListedPairs):
    """Pictures, until so many were read."""

    left = 10**6

    def pair(self, index: int, rng: np.random.Generator) -> tuple:
        self.left -= 1
        if self.left < 0:
            raise _Stop
        return super().pair(index, rng)


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    # The codec alone is frozen, so that pairs are read at each step.
    settings = SETTINGS | {"steps": 12, "checkpoint_every": 3, "statistics_from": 4}
    whole = fit(painter(), pictures(), output=tmp_path / "a", **settings)
    stopped = Until(pictures()._pairs)
    stopped.left = 4 + 1 + 10 + 4 * 5
    with pytest.raises(_Stop):
        fit(painter(), stopped, output=tmp_path / "b", **settings)
    assert (tmp_path / "b" / "checkpoint").is_dir()
    resumed = fit(painter(), pictures(), output=tmp_path / "b", cache_gb=2, **settings)
    assert largest_difference(whole, resumed) == 0


def test_nothing_is_kept_of_what_differs_or_is_seen_once(tmp_path: Path) -> None:
    drawn = DrawnPairs(lambda i, rng: pictures().pair(i, rng), 10)
    for name, pairs, steps in (("drawn", drawn, 8), ("once", pictures(), 2)):
        pipe = painter()
        fit(pipe, pairs, output=tmp_path / name, **(SETTINGS | {"steps": steps}))
        assert pipe.codec.autoencoder.count == 4 * steps


def test_pairs_that_cannot_be_encoded_are_named(tmp_path: Path) -> None:
    pairs = [*pictures()._pairs[:6], ("two", np.zeros((9, 8, 3), np.uint8))]
    pipe = painter()
    with pytest.raises(ValueError, match=r"^pair 6: Expected images of 8 x 8"):
        fit(pipe, pairs, output=tmp_path, statistics_from=1, **SETTINGS)


def test_which_parts_are_frozen() -> None:
    pipe = painter()
    assert frozen_parts(pipe, dropout=0.1) == ["x"]
    pipe.encoder.requires_grad_(False)
    assert frozen_parts(pipe, dropout=0.1) == ["x", "y"]
    next(pipe.codec.parameters()).requires_grad_(True)
    pipe.encoder.normalised = nn.BatchNorm1d(2).requires_grad_(False).eval()
    assert frozen_parts(pipe, dropout=0.1) == ["y"]
    pipe.parts.train()
    assert frozen_parts(pipe, dropout=0.1) == []
    # Of several parts, one may be withheld and the others not.
    parts = {"text": TextEncoder.debug(), "style": LabelEncoder(["a"], dim=32)}
    both = CompositeEncoder(main="text", parts=parts).requires_grad_(False)
    network = model(pipe.codec.spec, both.spec, "debug")
    several = Pipeline(encoder=both, model=network, codec=Latents.debug())
    assert frozen_parts(several, dropout=0.1) == ["x"]
    assert frozen_parts(several, dropout=0.0) == ["x", "y"]


def test_conditions_of_several_parts_are_kept(tmp_path: Path) -> None:
    values = [{"text": t, "style": s} for t, s in zip(TEXTS, "ab" * 3, strict=False)]
    pairs = ListedPairs(zip(values * 2, [x for _, x in pictures()._pairs], strict=True))
    runs = []
    for gb in (0, 1):
        torch.manual_seed(0)
        parts = {"text": TextEncoder.debug(), "style": LabelEncoder(["a", "b"], dim=32)}
        encoder, codec = CompositeEncoder(main="text", parts=parts), Latents.debug()
        network = model(codec.spec, encoder.spec, "debug")
        pipe = Pipeline(encoder=encoder, model=network, codec=codec, condition_dropout=0.0)
        folder = tmp_path / str(gb)
        runs.append(fit(pipe, pairs, output=folder, only=["model"], cache_gb=gb, **SETTINGS))
    assert largest_difference(*runs) < 1e-5


def test_a_part_that_draws_is_left_out() -> None:
    pipe = painter()
    pipe.encoder.requires_grad_(False)
    pipe.encoder.norm = nn.Sequential(pipe.encoder.norm, nn.Dropout(0.5))
    pipe.parts.train()
    found = Encodings(pipe, ["x", "y"], Kept(Path("never"), limit=1e9), dropout=0.0)
    own: dict[str, Any] = {
        "batch_size": 4,
        "autocast": torch.no_grad,
        "progress": lambda count: None,
    }
    assert found.fill(pictures(), range(10), **own) and found.parts == ("x",)
    assert set(found.batch([3, 1])) == {"x"}
    # One that does not part what it draws from what it computes.
    embed, encode = pipe.codec.embed, pipe.codec.encode
    pipe.codec.encode = lambda tensors, generator: encode(embed(tensors), generator=generator)
    pipe.codec.embed = lambda tensors: None
    found = Encodings(pipe, ["x", "y"], Kept(Path("never"), limit=1e9), dropout=0.0)
    assert not found.fill(pictures(), range(10), **own)


@pytest.mark.parametrize("kind", [Latents, FrameLatents])
def test_what_is_embedded_encodes_to_the_same(kind: type[Codec]) -> None:
    codec = kind.debug()
    shape = {Latents: (8, 8), FrameLatents: (codec.spec.shape[0], 8, 8)}[kind]
    rng = np.random.default_rng(0)
    values = [rng.integers(0, 256, (*shape, 3)).astype(np.uint8) for _ in range(3)]
    if kind is FrameLatents:
        values = [Video(frames, codec.fps) for frames in values]
    tensors = codec.prepare(values)
    embedded = codec.embed(tensors)
    assert all(len(value) == 3 for value in embedded.values())
    for seed in (None, 0, 1):
        own = [None if seed is None else torch.Generator().manual_seed(seed) for _ in range(2)]
        one, two = codec.encode(tensors, generator=own[0]), codec.encode(embedded, generator=own[1])
        assert torch.equal(one.z, two.z) and codec.spec.fits(one.z.shape[1:])
    alone = codec.embed(codec.prepare(values[1:2]))
    for name, value in embedded.items():
        assert torch.allclose(value[1:2], alone[name], atol=1e-5)


def test_conditions_with_and_without_a_mask_go_together(tmp_path: Path) -> None:
    class Sometimes(TextEncoder):
        """Leaves the mask out where it would hide nothing."""

        def encode(self, tensors: Any) -> Condition:
            c = super().encode(tensors)
            whole = len(tensors["ids"]) == 1 and bool(tensors["lengths"][0] > 2)
            length = int(tensors["lengths"][0])
            return Condition(1, c.tokens[:, :length]) if whole else c

    pipe = painter()
    pipe.encoder.__class__ = Sometimes
    pipe.encoder.requires_grad_(False)
    for limit in (1e9, 0):
        found = Encodings(pipe, ["y"], Kept(tmp_path, limit=limit), dropout=0.0)
        own: dict[str, Any] = {"autocast": torch.no_grad, "progress": lambda count: None}
        assert found.fill(pictures(), range(10), batch_size=1, **own)
        c = found.batch([0, 3, 4])["y"].condition
        lengths = pipe.encoder.prepare([TEXTS[0], TEXTS[3], None])["lengths"].clamp(min=1)
        assert c.mask.sum(1).tolist() == lengths.tolist()
        assert found.batch([0])["y"].condition.mask is None


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("limit", [0, 9_000, 1e9])
def test_rows_come_back_from_memory_and_from_files(
    tmp_path: Path, world: int, limit: float
) -> None:
    count = 700
    rows = [{"z": torch.arange(i % 5 + 1.0), "n": torch.tensor(i)} for i in range(count)]
    stores = [Kept(tmp_path / "k", limit=limit, process=p, world=world) for p in range(world)]
    for process, store in enumerate(stores):
        for index in range(process, count, world):
            store.put(rows[index])
        store.finish()
    inside = limit == 1e9 and world == 1
    assert all(store.in_memory == inside for store in stores)
    assert (tmp_path / "k").exists() != inside
    if not inside:
        assert {p.suffix for p in (tmp_path / "k").iterdir()} == {".safetensors"}
    for index in (0, 1, 255, 256, 511, 512, 699, 2):
        for store in stores:
            found = store.row(index)
            assert found.keys() == {"z", "n"}
            assert torch.equal(found["z"], rows[index]["z"]) and int(found["n"]) == index


def test_files_are_not_written_to_a_disk_without_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Kept(tmp_path, limit=0)
    for _ in range(256):
        store.put({"z": torch.zeros(1000)})
    free = type("Usage", (), {"free": 4_000_000})
    monkeypatch.setattr("mmgen.training.encodings.shutil.disk_usage", lambda folder: free)
    assert store.has_room_for(4.0) and not store.has_room_for(4.3)
    assert Kept(tmp_path, limit=1e9).has_room_for(1e9)
