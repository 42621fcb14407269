"""Are emoji what their captions say, and are they new?

One sample is drawn for each held-out name and for as many names of the training set, in a style
that the emoji exists in. Then

- a small classifier of the emoji's group, trained here on the real training images, says of how
  many held-out names the sample is filed under the right group, beside the same for real images;
- every sample is compared with its nearest real training image, beside the same for real held-out
  images, so that one sees what is remembered and what is new.

Half of the held-out emoji are variants, mostly skin tones, of emoji that are trained on. Scores are
given for those and for the rest, which are new altogether.

    python -m benchmarks.tasks.emoji --pipeline text-to-image:emoji

Reads the set `emoji` below the folder that MMGEN_DATA names. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmgen_pipelines.text_to_image import emoji
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from benchmarks.arguments import asked_options, task_parser
from benchmarks.records import record_path, record_pipeline
from benchmarks.sheets import beside, bordered, write_sheet
from mmgen import Pipeline
from mmgen.core.composite import CompositeEncoder
from mmgen.evaluation.intervals import Proportion
from mmgen.evaluation.task import Task
from mmgen.modalities.text.tokenizer import words_of
from mmgen.nn.classifier import ConvClassifier

__all__ = ["TASK", "main"]

TASK = Task(
    summary="Are emoji what their captions say, and are they new?",
    protocol=1,
    minutes=10,
    quick=("--quick", "--option", "num_inference_steps=10"),
    quick_minutes=1,
    quick_note="the judge is hardly trained",
    pipeline="text-to-image:emoji",
    x="image",
    y=("text",),
    data=("emoji",),
    shown=(
        (
            "held-out names filed under the right group",
            "group/all/samples",
            "higher",
            "{group/all/real} of real pictures, {group/all/other_captions} by chance",
        ),
        (
            "the same of emoji of which no variant was trained on",
            "group/base_new/samples",
            "higher",
            "{group/base_new/real} of real pictures, {group/base_new/other_captions} by chance",
        ),
        (
            "samples nearer to a training picture than 1 % of these are to each other",
            "nearest/pixels/samples_val/closer_than_1%",
            "lower",
            "{nearest/pixels/real_val/closer_than_1%} of real held-out pictures",
        ),
    ),
)
PROTOCOL = TASK.protocol
ITEM_SEED = 20_262
CLASSIFIER_SEED = 20_263
CLASSIFIER_STEPS = 1200
_WIDTHS = (24, 48, 96, 192)
_LEARNING_RATE = 4e-3
_BATCH = 64
_SHIFT = 4
_SIDE = emoji.SIZE
_QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9)
_CLOSE = (0.01, 0.05)


@dataclass(frozen=True)
class _Item:
    """A real emoji: its row of captions.jsonl, style, picture (64, 64, 3), and whether its base is
    among those trained on."""

    row: dict[str, Any]
    style: str
    picture: np.ndarray
    known: bool

    @property
    def group(self) -> str | None:
        return self.row["group"]


# What there is -----------------------------------------------------------------------------------


def _items(split: str, known: set[str]) -> list[_Item]:
    """Every real image of a split."""
    images = {style: emoji.pictures(style) for style in emoji.STYLES}
    return [
        _Item(row, style, images[style][row["id"]], row["base"] in known)
        for row in emoji.captions(split)
        for style in row["vendors"]
    ]


def _one_each(items: Sequence[_Item], rng: np.random.Generator) -> list[_Item]:
    """One image of each caption, in a style drawn at random, in random order."""
    rows = defaultdict(list)
    for item in items:
        rows[item.row["id"]].append(item)
    chosen = [styles[rng.integers(len(styles))] for styles in rows.values()]
    return [chosen[i] for i in rng.permutation(len(chosen))]


def _one_of_a_base(items: Sequence[_Item], rng: np.random.Generator, count: int) -> list[_Item]:
    """One image each of at most `count` bases, in random order."""
    bases = defaultdict(list)
    for item in items:
        bases[item.row["base"]].append(item)
    rows = list(bases.values())
    order = rng.permutation(len(rows))[:count]
    return [rows[i][rng.integers(len(rows[i]))] for i in order]


def _draw(
    pipe: Pipeline, items: Sequence[_Item], seed: int, options: Mapping[str, Any], what: str
) -> list[np.ndarray]:
    """One sample (64, 64, 3) for the name of each item, in its style if the pipeline has styles."""
    styled = isinstance(pipe.encoder, CompositeEncoder) and "style" in pipe.encoder.parts
    names = [item.row["name"] for item in items]
    values = [
        {"text": name, "style": item.style} if styled else name
        for name, item in zip(names, items, strict=True)
    ]
    drawn: list[np.ndarray] = []
    for first in range(0, len(values), _BATCH):
        batch = pipe(values[first : first + _BATCH], seed=seed + first, **options)
        drawn += [_pixels(image) for image in batch]
        print(f"\r{what}: {len(drawn)} of {len(values)} drawn", end="", file=sys.stderr)
    print(file=sys.stderr)
    return drawn


def _pixels(image: Image.Image) -> np.ndarray:
    if image.size != (_SIDE, _SIDE):
        image = image.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image.convert("RGB"))


# The classifier ----------------------------------------------------------------------------------


class _Judge:
    """A classifier of groups, with the features that it looks at.

    Args:
        items: Real training images.
        steps: Of training.
    """

    def __init__(self, items: Sequence[_Item], *, steps: int) -> None:
        items = [item for item in items if item.group is not None]
        self.groups = sorted({item.group for item in items})
        x = _tensor([item.picture for item in items])
        y = torch.tensor([self.groups.index(item.group) for item in items])
        variants = Counter(item.row["base"] for item in items)
        chance = torch.tensor([variants[item.row["base"]] ** -0.5 for item in items])
        shares = torch.zeros(len(self.groups)).index_add_(0, y, chance) / chance.sum()
        weights = shares.reciprocal() / len(self.groups)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(CLASSIFIER_SEED)
            self.network = ConvClassifier(3, num_classes=len(self.groups), widths=_WIDTHS)
        g = torch.Generator().manual_seed(CLASSIFIER_SEED)
        optimizer = torch.optim.AdamW(self.network.parameters(), weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
        for step in range(steps):
            rows = torch.multinomial(chance, _BATCH, replacement=True, generator=g)
            with torch.autocast("cpu", torch.bfloat16):
                logits = self.network(_augmented(x[rows], g))
            loss = F.cross_entropy(logits.float(), y[rows], weight=weights, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % 50 == 0 or step == steps - 1:
                note = f"\rclassifier: step {step + 1} of {steps}, loss {loss.item():.3f}"
                print(note, end="", file=sys.stderr)
        print(file=sys.stderr)
        self.network.eval()

    @torch.no_grad()
    def features(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """(N, D)."""
        return torch.cat([self.network.features(x) for x in _tensor(pictures).split(128)])

    @torch.no_grad()
    def group(self, pictures: Sequence[np.ndarray]) -> list[str]:
        """The group that each picture is filed under."""
        best = self.network.out(self.features(pictures)).argmax(1)
        return [self.groups[i] for i in best]


def _tensor(pictures: Sequence[np.ndarray]) -> Tensor:
    """uint8 (64, 64, 3) each to (N, 3, 64, 64), about standardised."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 64 - 3


def _augmented(x: Tensor, generator: torch.Generator) -> Tensor:
    """Images (B, 3, 64, 64) mirrored half of the time and shifted by up to 4 px."""
    padded = F.pad(x, (_SHIFT,) * 4, value=255 / 64 - 3)
    offsets = torch.randint(2 * _SHIFT + 1, (len(x), 2), generator=generator).tolist()
    mirrored = (torch.rand(len(x), generator=generator) < 0.5).tolist()
    rows = []
    for image, (top, left), mirror in zip(padded, offsets, mirrored, strict=True):
        row = image[:, top : top + _SIDE, left : left + _SIDE]
        rows.append(row.flip(2) if mirror else row)
    return torch.stack(rows)


# Scores ------------------------------------------------------------------------------------------


def _filed(
    items: Sequence[_Item], found: Sequence[str], keep: Callable[[_Item], bool] = bool
) -> dict[str, float | int] | None:
    """How many of the items that have a group, and are kept, are filed under it."""
    right = [
        guess == item.group
        for item, guess in zip(items, found, strict=True)
        if item.group is not None and keep(item)
    ]
    return Proportion(sum(right), len(right)).as_dict() if right else None


def _group_scores(
    judge: _Judge, items: Sequence[_Item], samples: Sequence[np.ndarray]
) -> dict[str, Any]:
    found = {
        "samples": judge.group(samples),
        "real": judge.group([item.picture for item in items]),
    }
    # Samples of other names; the items come in random order.
    found["other_captions"] = found["samples"][1:] + found["samples"][:1]
    kinds: dict[str, Callable[[_Item], bool]] = {
        "all": lambda item: True,
        "base_trained_on": lambda item: item.known,
        "base_new": lambda item: not item.known,
    }
    for name in judge.groups:
        kinds[name] = lambda item, name=name: item.group == name
    scores = {
        kind: {what: _filed(items, guesses, keep) for what, guesses in found.items()}
        for kind, keep in kinds.items()
    }
    return {kind: entry for kind, entry in scores.items() if entry["real"] is not None}


def _small(pictures: Sequence[np.ndarray]) -> Tensor:
    """Means of 2 x 2 pixels (N, 3072), scaled so that distances are root mean squares of [0, 1]."""
    x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    x = F.avg_pool2d(x, 2).flatten(1)
    return x / x.shape[1] ** 0.5


def _nearest(x: Tensor, others: Tensor, excluded: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Distance (N,) of each x (N, D) to its nearest of others (M, D), and which (N,) that is.

    Args:
        x: Points.
        others: Where to look.
        excluded: What is not looked at, (N, M).
    """
    found = []
    for first in range(0, len(x), 256):
        rows = slice(first, first + 256)
        distances = torch.cdist(x[rows], others)
        if excluded is not None:
            distances = distances.masked_fill(excluded[rows], torch.inf)
        found.append(distances.argmin(1))
    which = torch.cat(found)
    # Matrix products find the nearest quickly, but are too coarse for how near the very near are.
    return (x - others[which]).norm(dim=1), which


def _neighbour_scores(
    space: Callable[[Sequence[np.ndarray]], Tensor],
    train: Sequence[_Item],
    sets: Mapping[str, tuple[Sequence[_Item], Sequence[np.ndarray]]],
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Distances to the nearest training image, of each set of pictures and of training images to
    those of another base."""
    points = space([item.picture for item in train])
    names: dict[str, int] = {}
    base = torch.tensor([names.setdefault(item.row["base"], len(names)) for item in train])
    own, _ = _nearest(points, points, base[:, None] == base)
    limits = {f"{share:.0%}": float(own.quantile(share)) for share in _CLOSE}
    scores: dict[str, Any] = {
        "limits": {name: round(limit, 5) for name, limit in limits.items()},
        "real_training_to_other_bases": {"quantiles": _quantiles(own)},
    }
    nearest = {}
    for name, (items, pictures) in sets.items():
        distances, which = _nearest(space(pictures), points)
        nearest[name] = which
        same = [
            train[j].row["base"] == item.row["base"]
            for item, j in zip(items, which.tolist(), strict=True)
        ]
        scores[name] = {
            "quantiles": _quantiles(distances),
            "nearest_is_of_its_base": Proportion(sum(same), len(same)).as_dict(),
        }
        for share, limit in limits.items():
            close = int((distances <= limit).sum())
            scores[name][f"closer_than_{share}"] = Proportion(close, len(same)).as_dict()
    return scores, nearest


def _quantiles(distances: Tensor) -> dict[str, float]:
    return {f"{q:.0%}": round(float(distances.quantile(q)), 5) for q in _QUANTILES}


# What is written ---------------------------------------------------------------------------------


def _sheet(
    path: Path,
    items: Mapping[str, Sequence[_Item]],
    left: Mapping[str, Sequence[np.ndarray]],
    right: Mapping[str, Sequence[np.ndarray]],
) -> Path:
    """32 pairs of pictures of each split; those of held-out captions are framed in red."""
    images, titles = [], []
    for split, own in items.items():
        for i, item in enumerate(own[:32]):
            both = beside(Image.fromarray(left[split][i]), Image.fromarray(right[split][i]))
            images.append(bordered(both, split == "val", 2))
            titles.append(f"{item.row['name']} [{item.style}]")
    return write_sheet(path, images, titles, columns=8)


def _table(scores: Mapping[str, Any]) -> str:
    def cell(entry: Mapping[str, Any] | None) -> str:
        return str(Proportion(entry["successes"], entry["count"])) if entry else ""

    width = 38
    lines = [f"{'filed under the right group':<28}{'samples':<{width}}{'real':<{width}}chance"]
    for kind, entry in scores["group"].items():
        columns = (cell(entry[k]) for k in ("samples", "real", "other_captions"))
        lines.append(f"{kind:<28}" + "".join(f"{c:<{width}}" for c in columns).rstrip())
    for space in ("pixels", "features"):
        names = "".join(f"{f'{q:.0%}':>9}" for q in _QUANTILES)
        lines.append(f"\n{f'nearest training image, {space}':<34}{names}   closer than 1 % / 5 %")
        for name, entry in scores["nearest"][space].items():
            if name == "limits":
                continue
            numbers = "".join(f"{v:9.4f}" for v in entry["quantiles"].values())
            shares = [entry[k]["share"] for k in entry if k.startswith("closer")]
            close = " / ".join(f"{share:.1%}" for share in shares)
            lines.append(f"{name:<34}{numbers}   {close}")
    return "\n".join(lines)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = task_parser("emoji", pipeline="text-to-image:emoji", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few captions: does it run?")
    return parser.parse_args(given)


def _options(pipe: Pipeline, chosen: argparse.Namespace) -> dict[str, Any]:
    asked = asked_options(chosen.option, pipe.options())
    if any(option.name == "unknown_words" for option in pipe.options()):
        # A fifth of the held-out names holds a word that no caption of the training set does.
        asked["unknown_words"] = "allow"
    return asked


def _measure(
    pipe: Pipeline, chosen: argparse.Namespace, paths: tuple[Path, Path]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and scores; writes the two sheets on the way."""
    known = {row["base"] for row in emoji.captions("train")}
    train, held_out = _items("train", known), _items("val", known)
    rng = np.random.default_rng(ITEM_SEED)
    val = _one_each(held_out, rng)[: 16 if chosen.quick else None]
    items = {"train": _one_of_a_base(train, rng, len(val)), "val": val}
    options = _options(pipe, chosen)
    started = time.monotonic()
    samples = {
        split: _draw(pipe, own, chosen.seed + 100_000 * i, options, split)
        for i, (split, own) in enumerate(items.items())
    }
    seconds = (time.monotonic() - started) / sum(map(len, samples.values()))
    steps = 8 if chosen.quick else CLASSIFIER_STEPS
    judge = _Judge(train, steps=steps)
    new = [item for item in items["val"] if not item.known]
    of_new = [s for s, item in zip(samples["val"], items["val"], strict=True) if not item.known]
    sets = {
        "samples_train": (items["train"], samples["train"]),
        "samples_val": (items["val"], samples["val"]),
        "real_val": (items["val"], [item.picture for item in items["val"]]),
    }
    if new:
        sets["samples_val_base_new"] = (new, of_new)
        sets["real_val_base_new"] = (new, [item.picture for item in new])
    pixels, nearest = _neighbour_scores(_small, train, sets)
    features, _ = _neighbour_scores(judge.features, train, sets)
    real = {split: [item.picture for item in own] for split, own in items.items()}
    found = {s: [train[j].picture for j in nearest[f"samples_{s}"].tolist()] for s in items}
    _sheet(paths[0], items, real, samples)
    _sheet(paths[1], items, samples, found)
    scores = {
        "group": _group_scores(judge, items["val"], samples["val"]),
        "group_of_samples_of_train_captions": _filed(items["train"], judge.group(samples["train"])),
        "nearest": {"pixels": pixels, "features": features},
        "seconds_per_image": round(seconds, 4),
    }
    words = {
        w
        for row in emoji.captions("train")
        for t in (row["name"], *row["keywords"])
        for w in words_of(t)
    }
    unknown = [i for i in items["val"] if not words.issuperset(words_of(i.row["name"]))]
    settings = {
        "captions": {split: len(own) for split, own in items.items()},
        "captions_val_base_new": len(new),
        "captions_val_with_words_never_seen": len(unknown),
        "training_images": len(train),
        "classifier_steps": steps,
        "options": {o.name: o.default for o in pipe.options()} | options,
    }
    return settings, scores


def main(given: Sequence[str] | None = None, *, pipe: Pipeline | None = None) -> Path:
    """Run the task and write its result.

    Args:
        given: Arguments of the command line; those of this process if None.
        pipe: What to measure in place of what --pipeline names.

    Returns:
        The JSON file.
    """
    chosen = _arguments(given)
    pipe = pipe or Pipeline.from_pretrained(chosen.pipeline, device=chosen.device)
    chosen.output.mkdir(parents=True, exist_ok=True)
    more = ["quick"] * chosen.quick
    stem = record_path(chosen, "emoji", more=more).with_suffix("")
    sheets = tuple(stem.with_name(f"{stem.name}_{kind}.png") for kind in ("samples", "nearest"))
    settings, scores = _measure(pipe, chosen, sheets)
    own = {
        "seed": chosen.seed,
        "item_seed": ITEM_SEED,
        "classifier_seed": CLASSIFIER_SEED,
    }
    return record_pipeline(
        chosen,
        "emoji",
        protocol=PROTOCOL,
        settings=own | settings,
        scores=scores,
        lines=[_table(scores)],
        more=more,
        sheets=sheets,
    )


if __name__ == "__main__":
    main()
