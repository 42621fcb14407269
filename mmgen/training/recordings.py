"""Pairs (observation, chunk) in folders of recorded episodes, for a pipeline of actions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mmgen.core.errors import LoadError, MissingSplit
from mmgen.core.files import read_json
from mmgen.modalities.actions.lerobot import LeRobotFolder
from mmgen.modalities.actions.minari_folder import is_minari, read_minari
from mmgen.modalities.actions.windows import Windows
from mmgen.pipeline import Pipeline
from mmgen.training.pairs import IndexedPairs, Pairs, SelectedPairs
from mmgen.training.tables import SPLITS

__all__ = ["is_recording", "read_recording"]

_RANGE = re.compile(r"(\d{1,12}):(\d{1,12})")


def is_recording(folder: Path) -> bool:
    """Whether a folder is a LeRobotDataset or a Minari dataset."""
    return _is_lerobot(folder) or is_minari(folder)


def read_recording(
    folder: Path,
    pipe: Pipeline,
    *,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Pairs:
    """Windows as long as the pipeline's horizon and history.

    Args:
        folder: A LeRobotDataset v3, or a Minari dataset in HDF5.
        pipe: What shall learn from them.
        split: One of `SPLITS`, as the info.json of a LeRobotDataset shares out its episodes. If not
            given, train where it has one, and everything where it says nothing. Minari has none.
        columns: Not for these: names of features are the pipeline's.

    Raises:
        LoadError: If the pipeline generates no actions, there is no such split, or columns are
            given.
    """
    encoder, spec = pipe.encoder, pipe.codec.spec
    kind = "LeRobot" if _is_lerobot(folder) else "Minari"
    if spec.modality != "actions":
        raise LoadError(
            f"{str(folder)!r} is a {kind} dataset, which holds actions; this pipeline generates "
            f"{spec.modality}."
        )
    if columns:
        how = "LeRobotFolder(folder, horizon=..., observations=..., actions=...)"
        if kind == "Minari":
            how = "Windows(read_minari(folder, observations=...), history=..., horizon=...)"
        raise LoadError(
            f"{str(folder)!r} is a {kind} dataset, in which no columns are chosen: x is its "
            "actions, and y are the observations that the pipeline names. Leave them out; for "
            f"others, pass {how} of mmgen.modalities.actions as the pairs."
        )
    if split is not None and split not in SPLITS:
        raise LoadError(f"Expected the split {', '.join(SPLITS)}, got {split!r}.")
    history = max((shape[0] for shape in getattr(encoder, "shapes", {}).values()), default=1)
    names, horizon = list(encoder.columns) or None, int(spec.shape[0])
    if kind == "Minari":
        if split not in (None, "train"):
            raise MissingSplit(
                f"{str(folder)!r} has no split {split!r}: Minari datasets have none. Give another "
                "dataset, or leave split out."
            )
        found = read_minari(folder, observations=names)
        return IndexedPairs(Windows(found, history=history, horizon=horizon))
    data = LeRobotFolder(folder, history=history, horizon=horizon, observations=names)
    return _of_split(IndexedPairs(data), data, split)


def _is_lerobot(folder: Path) -> bool:
    return (folder / "meta" / "info.json").is_file()


def _of_split(pairs: Pairs, data: LeRobotFolder, split: str | None) -> Pairs:
    """The pairs of the episodes of a split."""
    chosen = _episodes(data.folder, split)
    if chosen is None:
        return pairs
    kept = [i for i in range(len(data)) if data.episode(i) in chosen]
    if not kept:
        raise LoadError(f"{str(data.folder)!r} has no episode in its split {split or 'train'!r}.")
    return SelectedPairs(pairs, kept)


def _episodes(folder: Path, split: str | None) -> range | None:
    """The episodes of a split; None for all of them."""
    path = folder / "meta" / "info.json"
    told = read_json(path).get("splits") or {}
    if not isinstance(told, Mapping):
        raise LoadError(f"{path} does not say its splits as name: 'first:last'.")
    found = [told[alias] for alias in SPLITS[split or "train"] if alias in told]
    if not found:
        if split in (None, "train"):
            return None
        raise MissingSplit(
            f"{str(folder)!r} has no split {split!r}: its info.json names "
            f"{', '.join(map(str, told)) or 'none'}. Give pairs of another folder, or leave split "
            "out."
        )
    parsed = _RANGE.fullmatch(str(found[0]))
    if parsed is None:
        raise LoadError(
            f"{path} gives the split {split or 'train'!r} as {found[0]!r:.40}; expected episodes "
            "as 'first:end', such as '0:50'."
        )
    return range(int(parsed[1]), int(parsed[2]))
