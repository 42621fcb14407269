"""Tables in tar files, a file a cell (WebDataset)."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmgen.core.errors import LoadError
from mmgen.training.tables.table import Row, Table

__all__ = ["TarTable"]

_AS_TEXT = {"txt", "text", "caption", "cls"}
_MAX_BYTES = 2**30


class TarTable(Table):
    """The samples of tar shards: files of one stem are the cells of a row, named by their endings.

    Texts (.txt, .cls) are read as text, .json as what it holds, its entries being columns, too,
    anything else as bytes. Nothing is unpacked; of a shard only an index is held.

    Args:
        shards: The tar files, one after another.

    Raises:
        LoadError: If one is no tar file, or is cut short.

    Source: WebDataset's format, github.com/webdataset/webdataset (README)
    """

    typed = True
    folder = None

    def __init__(self, shards: Sequence[Path]) -> None:
        self.name = shards[0].name if len(shards) == 1 else f"{len(shards)} shards"
        self._samples: list[tuple[Path, str, dict[str, tuple[int, int]]]] = []
        self._twice: dict[tuple[Path, str], str] = {}
        for shard in shards:
            self._index(shard)
        names: dict[str, None] = {}
        for index in range(min(len(self), 100)):
            if self._samples[index][:2] not in self._twice:
                names |= dict.fromkeys(self.row(index).cells)
        self.columns = tuple(names)

    def __len__(self) -> int:
        return len(self._samples)

    def where(self, index: int) -> str:
        shard, stem, _ = self._samples[index]
        return f"{shard.name}, {stem}"

    def row(self, index: int) -> Row:
        shard, stem, places = self._samples[index]
        if (shard, stem) in self._twice:
            raise ValueError(
                f"{self.where(index)}: there are two files {self._twice[shard, stem]!r} in the "
                "shard. Name each sample otherwise."
            )
        cells: dict[str, Any] = {}
        with open(shard, "rb") as file:
            for ending, (offset, size) in places.items():
                if size > _MAX_BYTES:
                    raise ValueError(f"{self.where(index)}.{ending} has {size} bytes: too large.")
                file.seek(offset)
                cells |= self._cell(index, ending, file.read(size))
        return Row(cells, self.where(index))

    def _cell(self, index: int, ending: str, data: bytes) -> dict[str, Any]:
        if ending not in _AS_TEXT and ending != "json":
            return {ending: data}
        try:
            text = data.decode()
            if ending != "json":
                return {ending: text.strip()}
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self.where(index)}.{ending}: {error}") from None
        return found if isinstance(found, dict) else {ending: found}

    def _index(self, shard: Path) -> None:
        samples: dict[str, dict[str, tuple[int, int]]] = {}
        try:
            with tarfile.open(shard, "r:") as archive:
                for member in archive:
                    if not member.isfile():
                        continue
                    folder, _, file = member.name.rpartition("/")
                    stem, _, ending = file.partition(".")
                    if stem and ending:
                        cells = samples.setdefault(f"{folder}/{stem}".lstrip("/"), {})
                        if ending.lower() in cells:
                            self._twice[shard, f"{folder}/{stem}".lstrip("/")] = member.name
                        cells[ending.lower()] = (member.offset_data, member.size)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise LoadError(
                f"{shard} cannot be read as an uncompressed tar file: {error}"
            ) from None
        self._samples += [(shard, stem, cells) for stem, cells in samples.items()]
