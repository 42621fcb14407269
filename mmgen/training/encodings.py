"""What frozen encoders and codecs give for each pair, computed once and kept.

In memory up to a limit, beyond it in safetensors files in the folder of the run.
"""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmgen.core.composite import CompositeEncoder
from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.latent import Latent
from mmgen.encoded import Encoded
from mmgen.learner import Learner
from mmgen.training.moving import moved_to
from mmgen.training.pairs import Pairs

__all__ = ["Encodings", "Kept", "frozen_parts"]

_ROWS_OF_A_FILE = 256
_OPEN_FILES = 32
Row = dict[str, Tensor]


class Kept:
    """Rows of tensors by their number, in memory or in files.

    Several processes write files of their own and read those of all: row i is of process
    i modulo their number.

    Args:
        folder: Of the files. It is made when it is needed.
        limit: Bytes to hold in memory; one process of several holds none.
        process: Number of this process.
        world: Number of processes.
    """

    def __init__(self, folder: Path, *, limit: float, process: int = 0, world: int = 1) -> None:
        self.folder, self._limit = folder, limit if world == 1 else 0.0
        self._process, self._world = process, world
        self._rows: list[Row] = []
        self.num_bytes, self._files = 0, 0
        self._open: OrderedDict[Path, tuple[Any, dict[str, list[str]]]] = OrderedDict()

    @property
    def in_memory(self) -> bool:
        """Whether all that was put in is in memory."""
        return self._files == 0

    def put(self, row: Row) -> None:
        """Keep the next row of this process."""
        self._rows.append(row)
        self.num_bytes += sum(t.numel() * t.element_size() for t in row.values())
        while len(self._rows) >= _ROWS_OF_A_FILE and self._beyond:
            self._write(self._rows[:_ROWS_OF_A_FILE])
            self._rows = self._rows[_ROWS_OF_A_FILE:]

    def finish(self) -> None:
        """No more rows come: write what should not stay in memory."""
        if self._rows and self._beyond:
            for first in range(0, len(self._rows), _ROWS_OF_A_FILE):
                self._write(self._rows[first : first + _ROWS_OF_A_FILE])
            self._rows = []

    def row(self, index: int) -> Row:
        """What was kept of a pair."""
        place = index // self._world
        if self._rows:
            return self._rows[place]
        number, within = divmod(place, _ROWS_OF_A_FILE)
        file, names = self._file(self._path(index % self._world, number))
        return {name: file.get_tensor(f"{within}.{name}") for name in names[str(within)]}

    def has_room_for(self, times: float) -> bool:
        """Whether as many times what is kept so far would have room, and leave some on the disk."""
        if self.in_memory:
            return True
        more = self.num_bytes * (times - 1) * self._world
        return more < 0.8 * shutil.disk_usage(self.folder).free

    @property
    def _beyond(self) -> bool:
        return self._files > 0 or self.num_bytes > self._limit

    def _write(self, rows: Sequence[Row]) -> None:
        from safetensors.torch import save_file

        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"{i}.{k}": t.contiguous() for i, row in enumerate(rows) for k, t in row.items()}
        save_file(tensors, self._path(self._process, self._files))
        self._files += 1

    def _path(self, process: int, number: int) -> Path:
        return self.folder / f"{process:04d}-{number:06d}.safetensors"

    def _file(self, path: Path) -> tuple[Any, dict[str, list[str]]]:
        """An open file, and the names of each of its rows."""
        from safetensors import safe_open

        if path not in self._open:
            file, names = safe_open(path, "pt"), {}
            for key in file.keys():  # noqa: SIM118
                number, _, name = key.partition(".")
                names.setdefault(number, []).append(name)
            self._open[path] = (file, names)
            if len(self._open) > _OPEN_FILES:
                self._open.popitem(last=False)
        self._open.move_to_end(path)
        return self._open[path]


class Encodings:
    """The latents and conditions of pairs whose codec or encoder is frozen.

    Args:
        pipe: Whose parts they are.
        parts: Which of "x" (the codec) and "y" (the encoder).
        kept: Where they are kept.
        dropout: How often a condition is withheld.
    """

    def __init__(self, pipe: Learner, parts: Sequence[str], kept: Kept, *, dropout: float) -> None:
        self._pipe, self.parts, self._kept = pipe, tuple(parts), kept
        self._dropout = dropout
        self._null: Condition | None = None

    @torch.no_grad()
    def fill(
        self,
        pairs: Pairs,
        indices: Sequence[int],
        *,
        batch_size: int,
        autocast: Callable[[], AbstractContextManager[Any]],
        progress: Callable[[int], None],
    ) -> bool:
        """Encode pairs, in the order of their indices. A part that draws is left out from here on.

        Args:
            pairs: Where they come from.
            indices: Which of them.
            batch_size: How many to encode at a time.
            autocast: The precision in which the encoder is trained.
            progress: Called with the number of pairs encoded.

        Returns:
            Whether anything is kept: there is a part that does not draw, and room on the disk.
        """
        first = pairs.pair(0, np.random.default_rng([0, 0]))
        found = {part: self._encode(part, [first], autocast) for part in self.parts}
        self.parts = tuple(part for part, rows in found.items() if rows is not None)
        if not self.parts:
            return False
        for start in range(0, len(indices), batch_size):
            some = indices[start : start + batch_size]
            values = [pairs.pair(index, np.random.default_rng([0, index])) for index in some]
            try:
                parts = [self._encode(part, values, autocast) for part in self.parts]
            except (ValueError, TypeError) as error:
                raise self._located(pairs, some, values, error) from None
            if None in parts:
                return False
            for rows in zip(*parts, strict=True):
                self._kept.put({name: t for row in rows for name, t in row.items()})
            done = start + len(some)
            if not self._kept.has_room_for(len(indices) / done):
                return False
            progress(done)
        if "y" in self.parts and self._dropout:
            with autocast():
                null = self._pipe.encoder.encode(self._pipe.encoder.prepare([None]))
            self._null = null.to("cpu")
        self._kept.finish()
        return True

    def batch(self, indices: Sequence[int]) -> dict[str, Any]:
        """What stands for the prepared tensors "x" and "y" of these pairs, as far as it is kept."""
        rows = [self._kept.row(index) for index in indices]
        found: dict[str, Any] = {}
        if "x" in self.parts:
            own = _joined(_under(rows, "x."))
            if "z" in own:
                found["x"] = Latent(own["z"], own.get("lengths"))
            else:
                found["x"] = {k.removeprefix("embedded."): v for k, v in own.items()}
        if "y" in self.parts:
            own = _joined(_masked(_under(rows, "y.")))
            given = _nested({k: v for k, v in own.items() if k.split(".")[-1] == "given"})
            shown = [own.get(name) for name in ("tokens", "mask", "vector")]
            found["y"] = Encoded(Condition(len(rows), *shown), self._null, given)
        return found

    def _located(
        self,
        pairs: Pairs,
        indices: Sequence[int],
        values: Sequence[tuple[Any, Any]],
        error: Exception,
    ) -> Exception:
        """The error, with the place of the first pair that cannot be prepared."""
        for index, value in zip(indices, values, strict=True):
            try:
                self._pipe.prepare([value])
            except (ValueError, TypeError) as own:
                return type(own)(f"{pairs.where(index)}: {own}")
        return error

    def _encode(
        self,
        part: str,
        pairs: Sequence[tuple[Any, Any]],
        autocast: Callable[[], AbstractContextManager[Any]],
    ) -> list[Row] | None:
        """What a part gives for each pair; None if it draws, or gives more than can be kept."""
        pipe = self._pipe
        before = _random_state(pipe.device)
        if part == "x":
            tensors = moved_to(pipe.codec.prepare([x for _, x in pairs]), pipe.device)
            # As `Learner.loss` encodes them.
            with torch.autocast(pipe.device.type, enabled=False):
                rows = _rows_of_codec(pipe, tensors)
        else:
            prepared = pipe.encoder.prepare([y for y, _ in pairs])
            with autocast():
                rows = _rows_of_condition(
                    pipe.encoder.encode(moved_to(prepared, pipe.device)), prepared
                )
        same = zip(before, _random_state(pipe.device), strict=True)
        if rows is None or not all(torch.equal(a, b) for a, b in same):
            return None
        return [{f"{part}.{name}": t for name, t in row.items()} for row in rows]


def frozen_parts(pipe: Learner, *, dropout: float) -> list[str]:
    """The parts that give the same for a value each time: "x" for the codec, "y" for the encoder.

    A part is frozen if it has parameters, none of which learns, and takes no statistics of batches.
    The encoder must be told what is withheld by its `given` alone, and if something is withheld it
    must have one null.

    Args:
        pipe: Whose parts they are.
        dropout: How often a condition is withheld.
    """
    found = ["x"] if _frozen(pipe.codec) else []
    encoder = pipe.encoder
    if _frozen(encoder) and _drops_plainly(encoder):
        if not dropout or not isinstance(encoder, CompositeEncoder):
            found.append("y")
    return found


def _frozen(part: nn.Module) -> bool:
    learning = [p.requires_grad for p in part.parameters()]
    batches = any(isinstance(m, _BatchNorm) and m.training for m in part.modules())
    return bool(learning) and not any(learning) and not batches


def _drops_plainly(encoder: Encoder) -> bool:
    if isinstance(encoder, CompositeEncoder):
        return all(_drops_plainly(part) for part in encoder.parts.values())
    return type(encoder).drop is Encoder.drop


def _rows_of_codec(pipe: Learner, tensors: Mapping[str, Any]) -> list[Row] | None:
    """A row of what the codec gives for each value, without what it draws; None if it draws."""
    embedded = pipe.codec.embed(tensors)
    if embedded is not None:
        held = {f"embedded.{k}": v.cpu() for k, v in embedded.items()}
        return [{k: v[i].clone() for k, v in held.items()} for i in range(_batch(held))]
    generator = torch.Generator("cpu").manual_seed(0)
    before = generator.get_state()
    latent = pipe.codec.encode(tensors, generator=generator)
    if not torch.equal(before, generator.get_state()):
        return None
    z = latent.z.cpu()
    if latent.lengths is None:
        return [{"z": one.clone()} for one in z]
    lengths = latent.lengths.cpu()
    return [
        {"z": one[: max(1, int(length))].clone(), "lengths": length.clone()}
        for one, length in zip(z, lengths, strict=True)
    ]


def _rows_of_condition(c: Condition, prepared: Mapping[str, Any]) -> list[Row] | None:
    """A row of each condition; None if there is more to one than tokens and a vector."""
    plain = c.null is None and c.lengths is None and not c.weighted
    if type(c) is not Condition or not plain:
        return None
    c = c.to("cpu")
    flags = _flags(prepared)
    rows: list[Row] = []
    for i in range(c.batch):
        row = {name: flag[i].clone() for name, flag in flags.items()}
        if c.vector is not None:
            row["vector"] = c.vector[i].clone()
        if c.tokens is not None:
            length = c.tokens.shape[1]
            if c.mask is not None:
                there = c.mask[i].nonzero()
                length = int(there[-1]) + 1 if len(there) else 1
                row["mask"] = c.mask[i, :length].clone()
            row["tokens"] = c.tokens[i, :length].clone()
        rows.append(row)
    return rows


def _flags(prepared: Mapping[str, Any], path: str = "") -> dict[str, Tensor]:
    """The entries `given` of prepared tensors, by their paths."""
    found: dict[str, Tensor] = {}
    for name, value in prepared.items():
        if isinstance(value, Mapping):
            found |= _flags(value, f"{path}{name}.")
        elif name == "given":
            found[f"{path}{name}"] = value
    return found


def _nested(flags: Mapping[str, Tensor]) -> dict[str, Any]:
    """By paths to nested, as `_flags` found them."""
    found: dict[str, Any] = {}
    for path, value in flags.items():
        inner = found
        *folders, name = path.split(".")
        for folder in folders:
            inner = inner.setdefault(folder, {})
        inner[name] = value
    return found


def _under(rows: Sequence[Row], prefix: str) -> list[Row]:
    return [{k.removeprefix(prefix): v for k, v in r.items() if k.startswith(prefix)} for r in rows]


def _masked(rows: Sequence[Row]) -> Sequence[Row]:
    """Rows of conditions of which all have a mask, or none has."""
    if not any("mask" in row for row in rows):
        return rows
    return [{"mask": torch.ones(len(r["tokens"]), dtype=torch.bool), **r} for r in rows]


def _joined(rows: Sequence[Row]) -> Row:
    """Rows as a batch, zeros beyond the length of each."""
    found = {}
    for name in rows[0]:
        own = [row[name] for row in rows]
        if own[0].ndim:
            batch = own[0].new_zeros(len(own), max(map(len, own)), *own[0].shape[1:])
            for place, one in zip(batch, own, strict=True):
                place[: len(one)] = one
        else:
            batch = torch.stack(own)
        found[name] = batch
    return found


def _batch(tensors: Mapping[str, Tensor]) -> int:
    return len(next(iter(tensors.values())))


def _random_state(device: torch.device) -> list[Tensor]:
    """What any draw without a generator would change."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states
