"""Reading and writing files of molecules."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from mmgen.core.files import check_output, read_bytes, write_beside
from mmgen.modalities.molecules.structure import canonical, is_valid, rdkit_chem, to_mol

__all__ = [
    "MAX_BYTES",
    "PREVIEW_SUFFIX",
    "SUFFIXES",
    "load",
    "load_many",
    "measures",
    "save",
    "save_many",
]

SUFFIXES = (".png", ".smi", ".sdf")
PREVIEW_SUFFIX = SUFFIXES[0]
MAX_BYTES = 2**26
"""Largest file that is read."""

_READ = (".smi", ".sdf", ".mol")
_CELL = (300, 260)
_LINE = 40
_MOST_DRAWN = 400


def load(path: str | os.PathLike[str]) -> str:
    """Canonical SMILES of the one molecule in a file: .smi, .sdf or .mol.

    Raises:
        As `load_many`; also ValueError if the file holds several molecules.
    """
    found = load_many(path)
    if len(found) > 1:
        raise ValueError(
            f"Expected one molecule in {str(path)!r}, got {len(found)}. Use load_many for several."
        )
    return found[0]


def load_many(path: str | os.PathLike[str]) -> list[str]:
    """Canonical SMILES of the molecules in a file, in its order.

    Args:
        path: .smi, a line for each with the SMILES first; .sdf or .mol, whose coordinates are
            used for stereochemistry alone.

    Raises:
        TypeError: If this is no path.
        ValueError: If the file cannot be read, is larger than MAX_BYTES, or holds no molecule or
            something that is none; the message says which.
        MissingDependency: If RDKit is not installed.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"Expected the path of a file, got {type(path).__name__}.")
    suffix = Path(path).suffix.lower()
    if suffix not in _READ:
        raise ValueError(f"{str(path)!r} has an ending that is none of {', '.join(_READ)}.")
    data = read_bytes(path, MAX_BYTES)
    found = _from_smi(data, str(path)) if suffix == ".smi" else _from_sdf(data, str(path))
    if not found:
        raise ValueError(f"{str(path)!r} holds no molecule.")
    return found


def measures(value: Any) -> dict[str, float]:
    """Length of a SMILES, in characters."""
    return {"characters": len(value)} if isinstance(value, str) else {}


def save(value: str, path: str | os.PathLike[str]) -> Path:
    """Write one molecule: drawn, as SMILES, or as a molecule file with coordinates of a drawing."""
    return save_many([value], path)


def save_many(
    values: Sequence[str], path: str | os.PathLike[str], titles: Sequence[str] = ()
) -> Path:
    """Write several molecules.

    A .png is a grid of drawings, each above its SMILES; a string that is no molecule has a place
    that says so. A .smi has a line for each, molecule or not. An .sdf has a record for each,
    with flat coordinates of a drawing, which no model made.

    Args:
        values: SMILES.
        path: Where to; its ending is the format.
        titles: A name for each.

    Raises:
        ValueError: If the ending is none of SUFFIXES, there are too many for a grid, or an .sdf
            shall hold what is no molecule.
        MissingDependency: If RDKit is needed and not installed.
    """
    path = check_output(path, SUFFIXES, what="a molecule")
    titles = [" ".join(str(t).split()) for t in titles] or [""] * len(values)
    if len(titles) != len(values):
        raise ValueError(f"Expected {len(values)} titles, one each, got {len(titles)}.")
    write = {".png": _png, ".smi": _smi, ".sdf": _sdf}[path.suffix.lower()]
    write_beside(path, write(list(values), titles))
    return path


def _from_smi(data: bytes, name: str) -> list[str]:
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name!r} is no text at byte {error.start}.") from None
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(canonical(line.split()[0]))
        except ValueError as error:
            raise ValueError(f"Line {number} of {name!r}: {error}") from None
    return found


def _from_sdf(data: bytes, name: str) -> list[str]:
    chem = rdkit_chem("Reading an SDF")
    from rdkit import rdBase

    found = []
    with rdBase.BlockLogs():
        try:
            for number, mol in enumerate(chem.ForwardSDMolSupplier(io.BytesIO(data)), start=1):
                if mol is None:
                    raise ValueError(f"RDKit does not read molecule {number}")
                found.append(canonical(mol))
        except (ValueError, RuntimeError, OSError) as error:
            raise ValueError(
                f"{name!r} holds something that is no molecule: {_first_line(error)}"
            ) from None
    return found


def _smi(values: Sequence[str], titles: Sequence[str]) -> bytes:
    lines = [f"{v} {t}".rstrip() for v, t in zip(values, titles, strict=True)]
    return ("\n".join(lines) + "\n").encode()


def _sdf(values: Sequence[str], titles: Sequence[str]) -> bytes:
    chem = rdkit_chem("Writing an SDF")
    from rdkit.Chem import rdDepictor

    bad = [v for v in values if not is_valid(v)]
    if bad:
        raise ValueError(
            f"{len(bad)} of {len(values)} are no molecules ({bad[0]!r:.60} is one), and an SDF can "
            "hold nothing else. Write a .smi, or choose with is_valid."
        )
    text = io.StringIO()
    with chem.SDWriter(text) as writer:
        for value, title in zip(values, titles, strict=True):
            mol = to_mol(value)
            rdDepictor.Compute2DCoords(mol)
            mol.SetProp("_Name", title)
            mol.SetProp("SMILES", chem.MolToSmiles(mol))
            writer.write(mol)
    return text.getvalue().encode()


def _png(values: Sequence[str], titles: Sequence[str]) -> bytes:
    if len(values) > _MOST_DRAWN:
        raise ValueError(
            f"A grid holds at most {_MOST_DRAWN} molecules, got {len(values)}. Write a .smi."
        )
    chem = rdkit_chem("Drawing a molecule")
    from rdkit.Chem.Draw import rdMolDraw2D

    columns = 1
    while columns * columns < len(values):
        columns += 1
    rows = -(-len(values) // columns)
    mols = [to_mol(v) if is_valid(v) else _sign(chem, "no molecule") for v in values]
    legends = [f"{title}\n{_wrapped(v)}" for v, title in zip(values, titles, strict=True)]
    width, height = _CELL
    drawing = rdMolDraw2D.MolDraw2DCairo(columns * width, rows * height, width, height)
    options = drawing.drawOptions()
    options.legendFontSize, options.legendFraction = 14, 0.24
    options.maxFontSize = 20
    # What RDKit would add is a pickle.
    options.includeMetadata = False
    drawing.DrawMolecules(mols, legends=[legend.strip() for legend in legends])
    drawing.FinishDrawing()
    return drawing.GetDrawingText()


def _sign(chem: ModuleType, text: str) -> Any:
    """One place that shows a text: RDKit leaves out molecules without atoms, and their legends."""
    mol = chem.MolFromSmiles("*")
    mol.GetAtomWithIdx(0).SetProp("_displayLabel", text)
    return mol


def _wrapped(text: str) -> str:
    """A text in lines as wide as a drawing, as far as two of them go."""
    if len(text) > 2 * _LINE:
        text = text[: 2 * _LINE - 3] + "..."
    return "\n".join(text[i : i + _LINE] for i in range(0, len(text), _LINE))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
