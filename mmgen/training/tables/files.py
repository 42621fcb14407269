"""Tables that are folders of files, each of which is a value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmgen.training.tables.table import Row, Table

__all__ = ["FilesTable", "class_folders", "files_with_texts"]

FILE = "file_name"
_MAX_CLASSES = 10_000


class FilesTable(Table):
    """A row for each file.

    Args:
        folder: Where they lie.
        files: The files.
        labels: The class of each, if they have one: column "label".
        texts: The text file of each, if they have one: column "text".
    """

    typed = False

    def __init__(
        self,
        folder: Path,
        files: Sequence[Path],
        *,
        labels: Sequence[str] | None = None,
        texts: Sequence[Path] | None = None,
    ) -> None:
        self.name, self.folder = folder.name, folder
        self._files, self._labels, self._texts = list(files), labels, texts
        more = (("label", labels), ("text", texts))
        self.columns = (FILE, *(name for name, column in more if column is not None))

    def __len__(self) -> int:
        return len(self._files)

    def where(self, index: int) -> str:
        return str(self._files[index].relative_to(self.folder))

    def row(self, index: int) -> Row:
        where = self.where(index)
        cells: dict[str, str | None] = {FILE: where}
        if self._labels is not None:
            cells["label"] = self._labels[index]
        if self._texts is not None:
            try:
                cells["text"] = self._texts[index].read_text("utf-8-sig").strip() or None
            except UnicodeDecodeError as error:
                raise ValueError(f"{self._texts[index].name} is not UTF-8: {error}") from None
        return Row(cells, where)


def class_folders(folder: Path, suffixes: Sequence[str]) -> FilesTable | None:
    """The files in folders that are named after their class, if that is what the folder holds."""
    files: list[Path] = []
    inner = sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
    for each in inner[:_MAX_CLASSES]:
        files += sorted(f for f in each.iterdir() if f.suffix.lower() in suffixes)
    return FilesTable(folder, files, labels=[f.parent.name for f in files]) if files else None


def files_with_texts(folder: Path, suffixes: Sequence[str]) -> FilesTable | None:
    """The files beside which there is a .txt of the same name, if there are such."""
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in suffixes)
    both = [f for f in files if f.with_suffix(".txt").is_file() and f.suffix.lower() != ".txt"]
    return FilesTable(folder, both, texts=[f.with_suffix(".txt") for f in both]) if both else None
