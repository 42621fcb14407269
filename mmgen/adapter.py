"""Low-rank adapters as files: a few megabytes beside the name of the pipeline that they change."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.foreign import Place
from mmgen.backends.peft_files import CONFIGURATION, is_peft, peft_factors
from mmgen.backends.peft_files import WEIGHTS as PEFT_WEIGHTS
from mmgen.backends.recognition.repository import download_error
from mmgen.core.card import Card
from mmgen.core.errors import LoadError
from mmgen.core.files import folder_beside, read_json, read_tensors, write_beside
from mmgen.version import __version__

__all__ = ["Adapter", "find_adapter", "is_adapter", "read_adapter"]

_MANIFEST, _WEIGHTS = "adapter.json", "adapter.safetensors"
_RESULT = "adapter"
_FORMAT = 1


@dataclass(frozen=True)
class Adapter:
    """Changes W' = W + B A of some matrices W of a pipeline.

    Attributes:
        base: What the pipeline was loaded by; None if it was not.
        factors: (A (rank, in), B (out, rank)) by the name of W within the parts.
        assets: Files of the encoder, with the words that were learnt.
        card: Of the pipeline with the changes, if it has one.

    Source: LoRA: Low-Rank Adaptation of Large Language Models (Hu et al., 2021), Eq. 3,
    arXiv:2106.09685
    """

    base: str | None
    factors: Mapping[str, tuple[Tensor, Tensor]]
    assets: Mapping[str, bytes]
    card: Card | None

    @torch.no_grad()
    def add_to(self, parts: nn.ModuleDict) -> None:
        """Change the weights of a pipeline like the one that was adapted.

        Raises:
            LoadError: If they do not fit. Nothing is changed then.
        """
        weights = dict(parts.named_parameters())
        self.check(weights)
        for name, (a, b) in self.factors.items():
            change = b.float() @ a.float()
            weights[name].add_(change.to(weights[name].device, weights[name].dtype))
        parts["encoder"].extend_by(self.assets)

    def check(self, weights: Mapping[str, Tensor]) -> None:
        """Refuse weights of other names or shapes.

        Raises:
            LoadError: If one that is to be changed is not among them, or of another shape.
        """
        for name, (a, b) in self.factors.items():
            whole = (b.shape[0], a.shape[1])
            if name not in weights or tuple(weights[name].shape) != whole:
                there = tuple(weights[name].shape) if name in weights else "nothing"
                raise LoadError(
                    f"The adapter changes {name} of shape {whole}, the pipeline has {there} there. "
                    f"It was made for {self.base!r}."
                )

    def save(self, folder: Path) -> Path:
        """Write a folder that `Pipeline.from_pretrained` takes. It appears whole or not at all.

        Raises:
            ValueError: If the folder exists and holds something else.
        """
        from safetensors.torch import save

        if folder.exists() and any(folder.iterdir()) and not is_adapter(folder):
            raise ValueError(f"{str(folder)!r} exists and is no adapter. Name another folder.")
        tensors = {}
        for name, (a, b) in self.factors.items():
            tensors |= {f"{name}.lora_A": a.contiguous(), f"{name}.lora_B": b.contiguous()}
        files = {_WEIGHTS: save(tensors)}
        files |= {f"encoder.{name}": data for name, data in self.assets.items()}
        manifest = {
            "format": _FORMAT,
            "mmgen_version": __version__,
            "base": self.base,
            "card": self.card and self.card.as_dict(),
            "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        }
        with folder_beside(folder) as new:
            for name, data in files.items():
                write_beside(new / name, data)
            write_beside(new / _MANIFEST, json.dumps(manifest, indent=1).encode())
        return folder

    @classmethod
    def load(cls, folder: Path) -> Adapter:
        """Read what `save` wrote.

        Raises:
            LoadError: If something is missing, altered, or from a newer version.
        """
        manifest = read_json(folder / _MANIFEST)
        sums, base = manifest.get("sha256"), manifest.get("base")
        if manifest.get("format") != _FORMAT or not isinstance(sums, dict):
            raise LoadError(
                f"{folder / _MANIFEST} is of format {manifest.get('format')!r:.20}, expected "
                f"{_FORMAT}. Install a newer mmgen, or save the adapter again."
            )
        if base is not None and not isinstance(base, str):
            raise LoadError(f"{folder / _MANIFEST} names no base that is a text.")
        assets = {}
        for name, expected in sums.items():
            # No path, whatever the manifest says.
            path = folder / Path(name).name
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
                raise LoadError(f"{path} is missing or not what was saved. Get the adapter again.")
            if path.name.startswith("encoder."):
                assets[path.name.removeprefix("encoder.")] = path.read_bytes()
        card: Any = manifest.get("card")
        try:
            card = card and Card(**card)
        except TypeError as error:
            raise LoadError(f"{folder / _MANIFEST} holds no card: {error}") from None
        return cls(base, _factors(read_tensors(folder / _WEIGHTS), folder), assets, card)


def read_adapter(folder: Path, weights: Mapping[str, Tensor]) -> Adapter:
    """What is in the folder of an adapter, and fits weights.

    Args:
        folder: From `find_adapter`.
        weights: Of a pipeline, by their names within its parts.

    Raises:
        LoadError: If it is broken, from a newer version, or does not fit them.
    """
    if is_adapter(folder):
        found = Adapter.load(folder)
    else:
        found = Adapter(None, peft_factors(folder, weights), {}, None)
    found.check(weights)
    return found


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter alone."""
    return (folder / _MANIFEST).is_file()


def find_adapter(source: str | os.PathLike[str], **where: Any) -> Path:
    """The folder of an adapter, in the form of this file or in that of peft.

    Args:
        source: That folder, that of the run which made it, or a Hub id.
        where: Of a Hub id: revision, cache_dir, token, local_files_only.

    Raises:
        LoadError: If there is none.
    """
    folder, place = Path(source), Place(**where)
    for there in (folder, folder / _RESULT):
        if is_adapter(there) or is_peft(there):
            return there
    if folder.exists():
        raise LoadError(
            f"There is no {_MANIFEST} in {os.fspath(source)!r}, nor an {CONFIGURATION} of peft, so "
            f"it is no adapter of this pipeline. fit(..., lora_rank=...) writes one into "
            f"{_RESULT!r} of its output."
        )
    return _downloaded(os.fspath(source), place)


def _downloaded(repository: str, place: Place) -> Path:
    from huggingface_hub import snapshot_download

    wanted = [_MANIFEST, _WEIGHTS, "encoder.*", CONFIGURATION, PEFT_WEIGHTS]
    try:
        folder = Path(snapshot_download(repository, allow_patterns=wanted, **place.as_dict()))
    except Exception as error:
        broken = download_error(error, repository, place.revision)
        if broken is None and not isinstance(error, OSError):
            raise
        raise broken or LoadError(
            f"{repository!r} is no folder, and no adapter could be had from a repository of that "
            f"name: {str(error).strip().splitlines()[0]}"
        ) from None
    if not (is_adapter(folder) or is_peft(folder)):
        raise LoadError(f"There is no {_MANIFEST} and no {CONFIGURATION} in {repository!r}.")
    return folder


def _factors(tensors: Mapping[str, Tensor], folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    found = {}
    for name in sorted({key.rpartition(".")[0] for key in tensors}):
        a, b = tensors.get(f"{name}.lora_A"), tensors.get(f"{name}.lora_B")
        fits = a is not None and b is not None and a.ndim == b.ndim == 2  # noqa: PLR2004
        if not fits or b.shape[1] != a.shape[0] or not (a.isfinite().all() and b.isfinite().all()):
            raise LoadError(f"{folder / _WEIGHTS} holds no adapter of {name}.")
        found[name] = (a, b)
    return found
