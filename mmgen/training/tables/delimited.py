"""Tables of delimited cells: CSV, TSV, LJSpeech's metadata, SMILES files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmgen.training.tables.table import Row, Table

__all__ = ["Delimited", "LJSpeech", "SMILESLines", "is_ljspeech"]


class Delimited(Table):
    """Cells between commas, or tabs, below a row of their names; quoted as in spreadsheets.

    Args:
        path: The file.
        delimiter: Between cells; tab for a .tsv file and a comma for others if not given.

    Raises:
        ValueError: If it is not UTF-8, has no row of names, or one stands there twice.
    """

    typed = False

    def __init__(self, path: Path, delimiter: str | None = None) -> None:
        self.name, self.folder = path.name, path.parent
        if delimiter is None:
            delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
        rows = _rows_of(path, delimiter)
        _, self.columns = next(rows, (1, ()))
        if not self.columns or not all(self.columns):
            raise ValueError(f"{self.name}: expected the names of the columns in its first line.")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(f"{self.name}: two columns have one name: {', '.join(self.columns)}.")
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def where(self, index: int) -> str:
        return f"{self.name}, line {self._rows[index][0]}"

    def row(self, index: int) -> Row:
        where, cells = self.where(index), self._rows[index][1]
        if len(cells) != len(self.columns):
            raise ValueError(
                f"{where}: expected {len(self.columns)} cells ({', '.join(self.columns)}), got "
                f"{len(cells)}. Quote cells that hold the delimiter."
            )
        filled = [cell.strip() or None for cell in cells]
        return Row(dict(zip(self.columns, filled, strict=True)), where)


class LJSpeech(Table):
    """`id|text|normalised text` on each line, with the sounds in wavs/<id>.wav.

    Columns: audio, text (as normalised, if it is), and original.

    Args:
        path: Its metadata.csv.
    """

    typed = False
    columns = ("audio", "text", "original")

    def __init__(self, path: Path) -> None:
        self.name, self.folder = path.name, path.parent
        lines = enumerate(_text_of(path).splitlines(), start=1)
        self._rows = [(n, line.split("|")) for n, line in lines if line.strip()]

    def __len__(self) -> int:
        return len(self._rows)

    def where(self, index: int) -> str:
        return f"{self.name}, line {self._rows[index][0]}"

    def row(self, index: int) -> Row:
        where, cells = self.where(index), self._rows[index][1]
        if len(cells) not in (2, 3) or not cells[0].strip():
            raise ValueError(f"{where}: expected id|text or id|text|normalised text.")
        original = cells[1].strip() or None
        text = cells[-1].strip() or original
        audio = f"wavs/{cells[0].strip()}.wav"
        return Row({"audio": audio, "text": text, "original": original}, where)


def is_ljspeech(path: Path) -> bool:
    """Whether a metadata.csv is LJSpeech's: bars between cells and no row of names."""
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        first = file.readline(100_000)
    return first.count("|") in (1, 2) and "file_name" not in first


class SMILESLines(Table):
    """A molecule on each line (.smi, .smiles): SMILES, then further cells between blanks.

    If the first line begins with the word smiles, it names the columns; otherwise they are smiles
    and name.

    Args:
        path: The file.
    """

    typed = False

    def __init__(self, path: Path) -> None:
        self.name, self.folder = path.name, None
        lines = enumerate(_text_of(path).splitlines(), start=1)
        self._rows = [(number, line.split()) for number, line in lines if line.strip()]
        self.columns = ("smiles", "name")
        if self._rows and self._rows[0][1][0].lower() == "smiles":
            self.columns = ("smiles", *self._rows.pop(0)[1][1:])

    def __len__(self) -> int:
        return len(self._rows)

    def where(self, index: int) -> str:
        return f"{self.name}, line {self._rows[index][0]}"

    def row(self, index: int) -> Row:
        cells = self._rows[index][1]
        if self.columns == ("smiles", "name"):
            # A name may hold blanks, and need not be there.
            cells = [cells[0], " ".join(cells[1:])]
        if len(cells) != len(self.columns):
            raise ValueError(
                f"{self.where(index)}: expected {len(self.columns)} cells "
                f"({', '.join(self.columns)}), got {len(cells)}."
            )
        filled = [cell or None for cell in cells]
        return Row(dict(zip(self.columns, filled, strict=True)), self.where(index))


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8: {error}. Save it as UTF-8.") from None


def _rows_of(path: Path, delimiter: str) -> Iterator[tuple[int, Sequence[str]]]:
    """(line, cells) of each row that is not empty."""
    reader = csv.reader(io.StringIO(_text_of(path), newline=""), delimiter=delimiter)
    first = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield first, tuple(cell.strip() for cell in cells) if first == 1 else cells
            first = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path.name}, line {reader.line_num}: {error}.") from None
