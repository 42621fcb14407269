"""How a pipeline is loaded, as it is typed: where its weights go, and with which adapters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmgen.cli.device import find_device
from mmgen.cli.naming import Named, find_named
from mmgen.cli.options import split_pairs
from mmgen.core.typed import named_values

if TYPE_CHECKING:
    from mmgen.pipeline import Pipeline

__all__ = [
    "AdapterPaths",
    "BaseName",
    "CacheFolder",
    "ComputeType",
    "DeviceMap",
    "EngineName",
    "Loading",
    "LocalFilesOnly",
    "MaxMemory",
    "Offload",
    "OffloadFolder",
    "Precision",
    "Quantization",
    "Revision",
    "Writes",
]

Precision = Annotated[
    Literal["float32", "bfloat16", "float16"],
    typer.Option(help="Precision of the weights."),
]
AdapterPaths = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="PATH[=WEIGHT]",
        help="An adapter to add, and how much it counts, 1 if not given. Repeat it for several.",
    ),
]
BaseName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Where NAME is an adapter alone: the pipeline that it changes, if not the one that "
        "it names.",
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(help="Commit, tag or branch of a Hub id."),
]
CacheFolder = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="Cache of the Hub, if not the usual one."),
]
LocalFilesOnly = Annotated[
    bool,
    typer.Option("--local-files-only", help="Look for a Hub id in the cache alone."),
]
DeviceMap = Annotated[
    str | None,
    typer.Option(
        metavar="MAP",
        help="Where the weights of a checkpoint go: auto, balanced, a device, or a JSON object "
        '{"module": "device"}, "disk" among them.',
    ),
]
MaxMemory = Annotated[
    list[str] | None,
    typer.Option(
        metavar="DEVICE=BYTES",
        help="Most of the weights on a device: 0=20GB, cpu=8GB. Repeat it.",
    ),
]
OffloadFolder = Annotated[
    Path | None,
    typer.Option(
        help="For weights that stay on the disk and are in no file of the checkpoint.",
    ),
]
Offload = Annotated[
    str | None,
    typer.Option(
        help="What of a diffusers checkpoint is on the GPU at a time: model or sequential; with "
        "disk a layer is in memory at a time.",
    ),
]
Quantization = Annotated[
    str | None,
    typer.Option(help="Bits of a checkpoint's weights: int8 or int4."),
]
EngineName = Annotated[
    str | None,
    typer.Option(help="What runs a checkpoint: ctranslate2."),
]
ComputeType = Annotated[
    str | None,
    typer.Option(help="In which precision the engine computes, such as int8."),
]

Writes = Annotated[
    str | None,
    typer.Option(
        metavar="NOTATION",
        help="The texts of a checkpoint are molecules, written as smiles or selfies.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Loading:
    """What was typed of how a pipeline is loaded; None where nothing was.

    Args:
        device: Where it computes.
        dtype: Name of the precision of its weights.
        adapters: PATH[=WEIGHT] of each.
        base: What an adapter changes.
        revision: Of a Hub id.
        cache_dir: Cache of the Hub.
        local_files_only: Whether to look in the cache alone.
        device_map: Where weights go, by name or as JSON.
        max_memory: DEVICE=BYTES for each.
        offload_folder: For weights on the disk.
        offload: What of a diffusers pipeline is on an accelerator at a time.
        quantization: In how many bits.
        engine: What runs it.
        compute_type: In which precision the engine computes.
        writes: The notation of the molecules that its texts are.
    """

    device: str | None = None
    dtype: str = "float32"
    adapters: Sequence[str] = ()
    base: str | None = None
    revision: str | None = None
    cache_dir: Path | None = None
    local_files_only: bool = False
    device_map: str | None = None
    max_memory: Sequence[str] = ()
    offload_folder: Path | None = None
    offload: str | None = None
    quantization: str | None = None
    engine: str | None = None
    compute_type: str | None = None
    writes: str | None = None

    def find(self, name: str) -> Named:
        """What a name means, before anything is loaded.

        Raises:
            UnknownNameError, LoadError: If it means nothing, or what it means is broken.
        """
        found = find_named(name, base=self.base, **self._where)
        return found if self.writes is None else replace(found, x="molecules")

    def load(self, name: str) -> Pipeline:
        """The pipeline of this name, with its adapters.

        Raises:
            ValueError, TypeError: If what was typed does not go together.
            MMGenError: If it cannot be loaded so.
        """
        import torch

        from mmgen.pipeline import Pipeline

        adapters = list(map(_weighed, self.adapters))
        # A map says of each weight where it goes, so that there is no device to find.
        placed = self.device_map is not None and self.device is None
        pipe = Pipeline.from_pretrained(
            name,
            device=None if placed else find_device(self.device),
            dtype=getattr(torch, self.dtype),
            base=self.base,
            **self._engine(),
            **self._where,
            **self._placement(),
        )
        there = {k: v for k, v in self._where.items() if k != "revision"}
        for source, weight in adapters:
            pipe.adapters.load(source, weight=weight, **({} if Path(source).exists() else there))
        return pipe

    @property
    def _where(self) -> dict[str, Any]:
        named = ("revision", "cache_dir", "local_files_only")
        return {name: value for name in named if (value := getattr(self, name))}

    def _engine(self) -> dict[str, str]:
        if self.engine is None and self.compute_type is not None:
            raise ValueError(
                "--compute-type says how an engine computes. Give --engine, too, or --dtype for "
                "the precision of the library itself."
            )
        named = {"engine": self.engine, "compute_type": self.compute_type}
        return {name: value for name, value in named.items() if value is not None}

    def _placement(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            name: value
            for name in ("offload_folder", "offload", "quantization", "writes")
            if (value := getattr(self, name)) is not None
        }
        if self.device_map is not None:
            found["device_map"] = _map(self.device_map)
        if self.max_memory:
            typed = split_pairs(self.max_memory, flag="--max-memory")
            # Accelerators are numbers.
            found["max_memory"] = {int(k) if k.isdecimal() else k: v for k, v in typed.items()}
        return found


def _map(text: str) -> str | Mapping[str, Any]:
    if not text.lstrip().startswith("{"):
        return text
    example = '{"model.embed_tokens": "cpu", "model.layers": "disk"}'
    return named_values(text, what="a device map", example=example)


def _weighed(text: str) -> tuple[str, float]:
    """The path of an adapter, which may hold =, and its weight."""
    path, equals, weight = text.rpartition("=")
    if not equals or Path(text).exists():
        return text, 1.0
    try:
        return path, float(weight)
    except ValueError:
        raise typer.BadParameter(
            f"Expected PATH or PATH=WEIGHT with a number, got {text!r}.", param_hint="--adapter"
        ) from None
