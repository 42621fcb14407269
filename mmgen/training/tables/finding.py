"""Which table a file or a folder holds."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mmgen.core.errors import LoadError, MissingSplit
from mmgen.training.tables.archives import TarTable
from mmgen.training.tables.delimited import Delimited, LJSpeech, SMILESLines, is_ljspeech
from mmgen.training.tables.files import FilesTable, class_folders, files_with_texts
from mmgen.training.tables.lines import AlignedLines, JSONLines
from mmgen.training.tables.parquet import ParquetTable
from mmgen.training.tables.table import JoinedTable, SelectedTable, Table

__all__ = ["SPLITS", "of_split", "read_table"]

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""Splits, and what their files, folders and cells may be called."""

_FIRST = ("pairs", "metadata")
_READERS: dict[str, Callable[[Sequence[Path], Path], Table]] = {
    ".jsonl": lambda files, folder: _each(JSONLines, files),
    ".ndjson": lambda files, folder: _each(JSONLines, files),
    ".csv": lambda files, folder: _each(_delimited, files),
    ".tsv": lambda files, folder: _each(Delimited, files),
    ".smi": lambda files, folder: _each(SMILESLines, files),
    ".smiles": lambda files, folder: _each(SMILESLines, files),
    ".parquet": ParquetTable,
    ".tar": lambda files, folder: TarTable(files),
}
_SOURCES, _TARGETS = ("source", "src", "y"), ("target", "tgt", "x")


def read_table(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    split: str | None = None,
    suffixes: Sequence[str] = (),
) -> Table:
    """The table that a file, a folder, or several files whose lines are aligned hold.

    Args:
        source: A file (.jsonl, .csv, .tsv, .parquet, .smi, .tar); a folder that holds such files,
            files in a folder of each class, or files with a .txt of the same name each; or
            several text files, one for each column.
        split: "train", "validation" or "test". If not given, train where there are splits, and
            everything where there are none.
        suffixes: Endings of the files that may be values themselves.

    Raises:
        LoadError: If nothing is there, it could be read in several ways, or it lacks the split.
        ValueError: If a file is broken as a whole.
    """
    if split is not None and split not in SPLITS:
        raise LoadError(f"Expected the split {', '.join(SPLITS)}, got {split!r}.")
    if not isinstance(source, (str, os.PathLike)):
        return of_split(_aligned([Path(file) for file in source]), split)
    path = Path(source)
    if path.is_file():
        return of_split(_read_files([path], path.parent), split)
    if not path.is_dir():
        raise LoadError(f"There is no file or folder {str(path)!r}.")
    return _read_folder(path, split, suffixes)


def _read_folder(folder: Path, split: str | None, suffixes: Sequence[str]) -> Table:
    for alias in SPLITS[split or "train"]:
        if (folder / alias).is_dir():
            return _read_folder(folder / alias, None, suffixes)
    files = [f for place in (folder, folder / "data") for f in _tables_in(place)]
    own = [f for f in files if _split_of(f) == (split or "train")]
    if own:
        return _read_files(own, folder)
    files = [f for f in files if _split_of(f) is None]
    for stem in _FIRST:
        named = [f for f in files if f.stem == stem]
        files = named or files
    if files:
        return of_split(_read_files(files, folder), split)
    if split is not None:
        raise _no_split(str(folder), split)
    return _read_loose(folder, suffixes)


def _read_loose(folder: Path, suffixes: Sequence[str]) -> Table:
    """A folder without a table: aligned lines, or files that are values."""
    for found in (class_folders(folder, suffixes), files_with_texts(folder, suffixes)):
        if found is not None:
            return found
    pair = [
        f
        for f in _files_in(folder)
        if _split_of(f) in (None, "train") and f.stem.lower() != "readme"
    ]
    if len(pair) == 2 and _belong_together(*pair):  # noqa: PLR2004
        return _aligned(pair)
    alone = [f for f in _files_in(folder) if f.suffix.lower() in suffixes]
    if alone:
        return FilesTable(folder, alone)
    raise LoadError(
        f"Nothing in the folder {str(folder)!r} is known to hold pairs. Expected pairs.jsonl, "
        "metadata.jsonl or .csv, a .tsv, .parquet, .smi or .tar file, two text files of aligned "
        f"lines, or files that end in {', '.join(suffixes) or 'what the pipeline generates'}, "
        "in a folder for each class or with a .txt of the same name each."
    )


def _read_files(files: Sequence[Path], folder: Path) -> Table:
    kinds = sorted({f.suffix.lower() for f in files})
    if len(kinds) > 1:
        raise LoadError(
            f"Several tables lie in {str(folder)!r}: {', '.join(f.name for f in files)}. Name the "
            "one that is meant."
        )
    if kinds[0] not in _READERS:
        raise LoadError(
            f"{str(files[0])!r} is no table that is known. Expected one of {', '.join(_READERS)}."
        )
    return _READERS[kinds[0]](sorted(files), folder)


def _each(reader: Callable[[Path], Table], files: Sequence[Path]) -> Table:
    tables = [reader(file) for file in files]
    return tables[0] if len(tables) == 1 else JoinedTable(tables)


def _delimited(path: Path) -> Table:
    return LJSpeech(path) if is_ljspeech(path) else Delimited(path)


def _aligned(files: Sequence[Path]) -> Table:
    if len(files) < 2:
        raise LoadError("Expected at least two files whose lines belong together.")
    for file in files:
        if not file.is_file():
            raise LoadError(f"There is no file {str(file)!r}.")
    # zh and en of train.zh and train.en; source and target of source.txt and target.txt.
    suffixes = [f.suffix[1:] for f in files]
    names = suffixes if len(set(suffixes)) == len(files) else [f.stem for f in files]
    if len(set(names)) < len(files):
        names = [f"column {i + 1}" for i in range(len(files))]
    order = sorted(range(len(files)), key=lambda i: names[i].lower() in _TARGETS)
    if not {name.lower() for name in names} & {*_SOURCES, *_TARGETS}:
        order = list(range(len(files)))
    return AlignedLines([files[i] for i in order], [names[i] for i in order])


def _belong_together(one: Path, other: Path) -> bool:
    """Whether lines of these files are aligned: train.zh and train.en, source.txt, target.txt."""
    if one.stem == other.stem:
        return True
    stems = {one.stem.lower(), other.stem.lower()}
    return bool(stems & {*_SOURCES}) and bool(stems & {*_TARGETS})


def of_split(table: Table, split: str | None) -> Table:
    """The rows of a split, where a column says which row is of which.

    Raises:
        LoadError: If it lacks the split.
    """
    if "split" not in table.columns:
        if split in (None, "train"):
            return table
        raise _no_split(table.name, split)
    wanted = SPLITS[split or "train"]
    rows = [i for i in range(len(table)) if _split_cell(table, i) in wanted]
    if not rows and split is None:
        return table
    if not rows:
        raise _no_split(table.name, split)
    return SelectedTable(table, rows)


def _split_cell(table: Table, index: int) -> str:
    try:
        return str(table.row(index).cells.get("split")).lower()
    except ValueError:
        # A broken row is nobody's, so it is found where everybody looks.
        return "train"


def _split_of(file: Path) -> str | None:
    """The split that a file's name names: train.jsonl, train-00000-of-00002.parquet."""
    stem = re.split(r"[-_.]", file.name.lower())[0]
    return next((split for split, aliases in SPLITS.items() if stem in aliases), None)


def _tables_in(folder: Path) -> Iterator[Path]:
    yield from (f for f in _files_in(folder) if f.suffix.lower() in _READERS)


def _files_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))


def _no_split(name: str, split: str) -> MissingSplit:
    return MissingSplit(
        f"{name} has no split {split!r}. Expected a file or folder of that name, such as "
        f"{split}.jsonl, or a column 'split' that says it."
    )
