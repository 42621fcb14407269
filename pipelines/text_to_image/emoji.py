"""Names and keywords to emoji, in either of two drawing styles.

Data: the set `emoji` below the folder that MMGEN_DATA names, with captions.jsonl, noto.zip and
emojitwo.zip.
"""

from __future__ import annotations

import json
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmgen.core.card import Card
from mmgen.core.composite import CompositeEncoder
from mmgen.families.diffusion import Diffusion
from mmgen.families.diffusion.times import LogitNormalTimes
from mmgen.guidance.classifier_free import ClassifierFreeGuidance
from mmgen.modalities.image import Pixels, load, to_pil
from mmgen.modalities.label import LabelEncoder
from mmgen.modalities.text import TextEncoder
from mmgen.nn.unet import UNet
from mmgen.pipeline import Pipeline
from mmgen.training.data import data_file
from mmgen.training.pairs import DrawnPairs, Pairs

__all__ = [
    "CARD",
    "DEBUG",
    "PREVIEW",
    "SIZE",
    "STYLES",
    "TRAINING",
    "build",
    "captions",
    "debug",
    "pairs",
    "pictures",
]

CARD = Card(
    x="image",
    y="text",
    family="diffusion",
    summary="64x64 emoji on white from a name or keywords, in the style of Noto or of EmojiTwo.",
    data=(
        "2,918 Noto emoji (github.com/googlefonts/noto-emoji at b3e3051, Apache-2.0 by its "
        "README, OFL 1.1 by its LICENSE) and 1,591 EmojiTwo emoji (github.com/EmojiTwo/emojitwo "
        "at 311eff5, CC BY 4.0, art by the EmojiTwo contributors) with English names and keywords "
        "of Unicode CLDR (Unicode-3.0). 146 of the 3,185 emoji are held out; 80 of those are "
        "variants, mostly skin tones, of emoji that are trained on."
    ),
    licence=(
        "Apache-2.0 for the weights. EmojiTwo art is CC BY 4.0: credit 'EmojiTwo contributors, "
        "emojitwo.github.io, CC BY 4.0' where samples are shown."
    ),
    parameters=4_927_152,
    trained=(
        "By this recipe with fewer steps, on two CPU cores that other work shared: 4,000 steps of "
        "64 pairs, 256,000 in all, in 50 minutes, by ACCELERATE_USE_CPU=true OMP_NUM_THREADS=1 "
        "torchrun --nproc_per_node 2 -m mmgen.cli.main train text-to-image:emoji --batch-size 32 "
        "--steps 4000, where the recipe asks for 10,000."
    ),
    scores={
        "emoji: held-out names filed under the right group": "57.5 % (49.2 to 65.3, n = 141)",
        "emoji: the same of emoji of which no variant was trained on": (
            "28.8 % (19.3 to 40.6, n = 66)"
        ),
    },
    limits=(
        "Undertrained: people, hands, faces, hearts and flags can be told; of things it draws "
        "blobs in the right colours and outlines. No scenes, no writing."
    ),
)

# An epoch is a power of two so that the pairs which the vocabulary is taken from are exactly one
# epoch: every name, and every keyword that fits, is among them.
_EPOCH = 2**13

TRAINING = {
    "steps": 10_000,
    "batch_size": 64,
    "optimizer": "muon",
    "learning_rate": 2e-3,
    "warmup": 200,
    "statistics_from": _EPOCH,
}

DEBUG = {
    "size": 16,
    "patch_size": 2,
    "widths": (16, 32),
    "text_dim": 32,
    "text_depth": 1,
    "vocabulary": 512,
}

PREVIEW = [
    "grinning face with smiling eyes",
    {"text": "red heart", "style": "noto"},
    {"text": "red heart", "style": "emojitwo"},
    "waving hand: medium-dark skin tone",
    {"text": "cat face", "style": "noto"},
    {"text": "flag: Japan", "style": "emojitwo"},
    "pizza",
    {"text": "fire engine", "style": "noto"},
    "woman scientist: dark skin tone",
    "green apple",
    "animal, sea, fish",
    # Held out, or of words that never met.
    {"text": "dog", "style": "noto"},
    {"text": "police car", "style": "emojitwo"},
    "cloud with snow",
    "blue apple",
    {"text": "cat face with sunglasses", "style": "noto"},
]

SIZE = 64
STYLES = ("noto", "emojitwo")

# Never more than the 64 subwords of the encoder.
_MAX_CHARACTERS = 112
_MAX_KEYWORDS = 5
_PROB_NAME_ALONE = 0.45
_PROB_KEYWORDS_ALONE = 0.15
_PROB_STYLE = 0.5


def captions(split: str) -> list[dict[str, Any]]:
    """Rows of captions.jsonl of a split: id, name, keywords, group, base, vendors and more.

    A `base` is an emoji without its skin tones. Its variants can be in both splits: half of the
    held-out rows are of a base that is trained on.
    """
    if split not in ("train", "val"):
        raise ValueError(f"Expected the split 'train' or 'val', got {split!r}.")
    lines = data_file("emoji/captions.jsonl").read_text("utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["split"] == split]


def pictures(style: str) -> dict[str, np.ndarray]:
    """Every emoji of a style by its id: uint8 (64, 64, 3) on white."""
    return _decoded(data_file(f"emoji/{style}.zip"))


def pairs(split: str = "train") -> Pairs:
    """Pairs (condition, image). In an epoch a base with n variants is seen about sqrt(n) times as
    often as one without any, so that skin tones do not drown the rest."""
    images = {style: pictures(style) for style in STYLES}
    variants = defaultdict(list)
    for row in captions(split):
        variants[row["base"]].append(row)
    bases = list(variants.values())
    shares = np.cumsum(np.sqrt([len(rows) for rows in bases]))
    which = np.searchsorted(shares, (np.arange(_EPOCH) + 0.5) / _EPOCH * shares[-1])
    first = np.searchsorted(which, np.arange(len(bases)))

    def draw(index: int, rng: np.random.Generator) -> tuple[Any, np.ndarray]:
        rows, visit = bases[which[index]], int(index - first[which[index]])
        # The first two visits are of the first variant, which has no tone, and cover its words.
        row = rows[0 if visit < 2 else rng.integers(len(rows))]
        style = row["vendors"][rng.integers(len(row["vendors"]))]
        text = _caption(row, rng, visit=visit)
        y = {"text": text, "style": style} if rng.random() < _PROB_STYLE else text
        return y, images[style][row["id"]]

    return DrawnPairs(draw, _EPOCH)


def build(
    *,
    size: int = SIZE,
    patch_size: int = 4,
    widths: Sequence[int] = (96, 128),
    text_dim: int = 128,
    text_depth: int = 2,
    vocabulary: int = 2048,
) -> Pipeline:
    """The pipeline with fresh weights."""
    text = TextEncoder(
        vocabulary=vocabulary, dim=text_dim, depth=text_depth, num_heads=4, max_tokens=64
    )
    style = LabelEncoder(STYLES, dim=text_dim)
    encoder = CompositeEncoder(main="text", parts={"text": text, "style": style})
    # At the same cost, a transformer on patches was behind after 200 steps, most at high noise.
    network = UNet(
        3,
        widths=widths,
        blocks=1,
        attention_levels=(-1,),
        condition=encoder.spec,
        patch_size=patch_size,
        head_dim=32,
    )
    codec = Pixels(size)
    model = Diffusion(
        network,
        spec=codec.spec,
        target="data",
        # What it is, is decided at a logit of 2 to 3; details, of which emoji have many, below.
        times=LogitNormalTimes(mean=1.2, std=1.4),
        shift=4.0,
        num_inference_steps=25,
    )
    guided = ClassifierFreeGuidance(model, guidance_scale=2.5)
    return Pipeline(encoder=encoder, model=guided, codec=codec)


def debug() -> Pipeline:
    """A tiny one with random weights."""
    pipe = build(**DEBUG)
    pipe.encoder.fit(PREVIEW)
    size = DEBUG["size"]
    noise = np.random.default_rng(0).integers(0, 256, (16, size, size, 3), dtype=np.uint8)
    pipe.codec.fit(list(noise))
    return pipe


def _caption(row: dict[str, Any], rng: np.random.Generator, *, visit: int) -> str:
    """The name, the name with some keywords, or some keywords.

    At the first visit in an epoch, the name with as many keywords as fit; if some do not, at the
    second as many from the other end. So an epoch holds all words.
    """
    name = row["name"]
    others = [k for k in row["keywords"] if k.lower() != name.lower()]
    fitting = _fitting([name, *others])
    if visit == 1 and len(fitting) <= len(others):
        fitting = _fitting([name, *reversed(others)])
    elif visit > 0:
        kind = rng.random()
        others = [others[i] for i in rng.permutation(len(others))]
        some = others[: rng.integers(1, _MAX_KEYWORDS + 1)]
        if kind < _PROB_NAME_ALONE or not others:
            return name
        return ", ".join(_fitting(some if kind > 1 - _PROB_KEYWORDS_ALONE else [name, *some]))
    return ", ".join([name, *(fitting[i] for i in 1 + rng.permutation(len(fitting) - 1))])


def _fitting(words: list[str]) -> list[str]:
    """As many of the words as make a caption that is not too long."""
    room, kept = _MAX_CHARACTERS + 2, []
    for word in words:
        if len(word) + 2 <= room:
            kept.append(word)
            room -= len(word) + 2
    return kept


@cache
def _decoded(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
        return {Path(name).stem: _decode(archive.read(name)) for name in names}


def _decode(data: bytes) -> np.ndarray:
    # On white first and scaled then is the same as scaling colours weighted by alpha.
    image = to_pil(load(data))
    if image.size != (SIZE, SIZE):
        image = image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return np.asarray(image)
