"""Labels: one of a closed set of classes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.core.codec import Lossless
from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.errors import LoadError, SpecError, close_names
from mmgen.core.files import check_output, write_beside
from mmgen.core.latent import Latent
from mmgen.core.spec import ConditionSpec, Spec

__all__ = [
    "COLUMNS",
    "IN_FILES",
    "NAMES",
    "PREVIEW_SUFFIX",
    "SUFFIXES",
    "LabelCodec",
    "LabelEncoder",
    "codec",
    "encoder",
    "load",
    "measures",
    "save",
    "save_many",
]

NAMES = "class names"
"""What the names are that `codec` and `encoder` take."""

COLUMNS = ("label", "class", "category", "cls")
IN_FILES = False
SUFFIXES = (".txt", ".json")
PREVIEW_SUFFIX = SUFFIXES[0]


class LabelCodec(Lossless):
    """A class as one token; nothing is lost.

    Args:
        names: Class names; a label is a name or its index. Decoded labels are names.

    Raises:
        SpecError: If a name is given twice, is empty or is no text, or there is none.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = _checked_names(names)

    @classmethod
    def debug(cls) -> LabelCodec:
        """A tiny one."""
        return cls(("cat", "dog", "fox"))

    @property
    def spec(self) -> Spec:
        return Spec("label", "tokens", (1,), vocabulary=len(self.names))

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        return {"label": torch.tensor([_index(v, self.names) for v in values], dtype=torch.long)}

    def encode(
        self, tensors: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> Latent:
        return Latent(tensors["label"][:, None])

    def decode(self, latent: Latent) -> dict[str, Tensor]:
        return {"label": latent.z[:, 0]}

    def present(self, tensors: Mapping[str, Tensor]) -> list[str]:
        return [self.names[i] for i in tensors["label"].tolist()]

    def log_volume(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Zeros (B,): a token is the class."""
        return torch.zeros(len(tensors["label"]))


class LabelEncoder(Encoder):
    """A class as one condition token, or as a vector.

    Args:
        names: Class names; a label is a name or its index.
        dim: Width of the token or vector.
        vector: Give a vector, which modulates, and not a token, which is attended to.

    Raises:
        SpecError: If a name is given twice, is empty or is no text, or there is none.
    """

    modality = "label"

    def __init__(self, names: Sequence[str], *, dim: int, vector: bool = False) -> None:
        super().__init__()
        self.names = _checked_names(names)
        self.vector = vector
        # The last row is the label that is not given.
        self.embed = nn.Embedding(len(self.names) + 1, dim)

    @classmethod
    def debug(cls) -> LabelEncoder:
        """A tiny one."""
        return cls(("cat", "dog", "fox"), dim=32)

    @property
    def spec(self) -> ConditionSpec:
        dim = self.embed.embedding_dim
        return ConditionSpec(vector_dim=dim) if self.vector else ConditionSpec(token_dim=dim)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        index = torch.tensor(
            [-1 if v is None else _index(v, self.names) for v in values], dtype=torch.long
        )
        return {"label": index, "given": index >= 0}

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        device = self.embed.weight.device
        given = tensors["given"].to(device)
        label = torch.where(given, tensors["label"].to(device), len(self.names))
        x = self.embed(label)
        if self.vector:
            return Condition(len(x), vector=x)
        return Condition(len(x), x[:, None])


def codec(size: str, labels: tuple[str, ...]) -> LabelCodec:
    """The label codec for these classes; it is the same in every size."""
    return LabelCodec(labels)


def encoder(size: str, labels: tuple[str, ...]) -> LabelEncoder:
    """The label encoder of this size, giving one token."""
    return LabelEncoder(labels, dim={"debug": 32, "small": 128}[size])


def load(path: str | os.PathLike[str]) -> Any:
    """The class that a file names: what `save` was given. Which there are a codec knows.

    Raises:
        LoadError: If there is no such file, or it cannot be read.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8")
        return json.loads(text) if path.suffix.lower() == ".json" else text.removesuffix("\n")
    except (OSError, ValueError) as error:
        raise LoadError(f"Could not read {str(path)!r} as a label: {error}") from None


def measures(value: Any) -> dict[str, str]:
    """The class, to be counted."""
    return {"": str(value)}


def save(value: str, path: str | os.PathLike[str]) -> Path:
    """Write one class name, as text or JSON by the file's ending."""
    path = check_output(path, SUFFIXES, what="a label")
    if path.suffix.lower() == ".json":
        write_beside(path, (json.dumps(value, ensure_ascii=False) + "\n").encode())
        return path
    return save_many([value], path)


def save_many(
    values: Sequence[str], path: str | os.PathLike[str], titles: Sequence[str] = ()
) -> Path:
    """Write several class names: a line each after their titles, or a JSON list.

    With titles, the JSON list holds objects {"condition": title, "label": name}.
    """
    path = check_output(path, SUFFIXES, what="labels")
    if path.suffix.lower() == ".json":
        rows: list[Any] = list(values)
        if titles:
            pairs = zip(titles, values, strict=True)
            rows = [{"condition": t, "label": v} for t, v in pairs]
        text = json.dumps(rows, ensure_ascii=False, indent=1)
    else:
        lines = [f"{t}\t{v}" for t, v in zip(titles, values, strict=True)] if titles else values
        text = "\n".join(lines)
    write_beside(path, (text + "\n").encode())
    return path


def _checked_names(names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str) or not names:
        raise SpecError(f"A label needs its class names. Give a list of them, not {names!r}.")
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise SpecError(f"A class name is a text that is not empty, got {name!r:.60}.")
    twice = {n for n in names if list(names).count(n) > 1} if len(set(names)) < len(names) else ()
    if twice:
        raise SpecError(f"The class name {min(twice)!r} is given twice. Give each once.")
    return tuple(names)


def _index(value: Any, names: tuple[str, ...]) -> int:
    if isinstance(value, str):
        if value in names:
            return names.index(value)
        raise ValueError(f"No class {value!r:.60}. {close_names(value[:60], names)}")
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(
            f"Expected a class name or its index, got {type(value).__name__}: {value!r:.60}."
        )
    if not 0 <= value < len(names):
        raise ValueError(f"A class index lies in 0 to {len(names) - 1}, got {value!r:.30}.")
    return value
