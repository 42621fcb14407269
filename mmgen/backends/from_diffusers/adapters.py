"""LoRA adapters of diffusers pipelines, made by others."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.foreign import Place
from mmgen.backends.recognition.repository import download_error
from mmgen.core.adapters import Adapters
from mmgen.core.errors import LoadError, MissingDependency, SpecError

__all__ = ["LibraryAdapters"]

_FILE = "pytorch_lora_weights.safetensors"
# What a file may say of how its adapter was made. Of the rest peft imports some, or copies layers.
_SAID = {
    "alpha",
    "alpha_pattern",
    "base_model_name_or_path",
    "bias",
    "decompose_both",
    "decompose_factor",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "init_weights",
    "lora_alpha",
    "lora_bias",
    "lora_dropout",
    "module_dropout",
    "peft_type",
    "peft_version",
    "r",
    "rank_dropout",
    "rank_pattern",
    "target_modules",
    "task_type",
    "use_dora",
    "use_effective_conv2d",
    "use_rslora",
}
_FAILURES = (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError)


class LibraryAdapters(Adapters):
    """The adapters of one pipeline of diffusers.

    Args:
        pipeline: A loaded diffusers pipeline.
        changed: Called whenever the weights have become others.
    """

    def __init__(self, pipeline: Any, *, changed: Callable[[], None] = lambda: None) -> None:
        super().__init__(changed=changed)
        self._pipeline = pipeline
        self._plain: dict[str, Tensor] = {}
        self._learning: list[nn.Parameter] = []

    def load(
        self,
        source: str | os.PathLike[str],
        *,
        name: str | None = None,
        weight: float = 1.0,
        file: str = _FILE,
        **place: Any,
    ) -> str:
        """Add an adapter. If it cannot be loaded, the pipeline is as it was.

        Args:
            source: A safetensors file, a folder, or a Hub id.
            name: To call it by; that of the file if None.
            weight: How much it counts. 0 is not at all.
            file: Its name within the folder or repository.
            place: Of a Hub id: revision, cache_dir, token, local_files_only.

        Returns:
            Its name.

        Raises:
            MissingDependency: If peft is not installed.
            LoadError: If there is no safetensors file, it is broken, asks for more than an adapter
                may, or fits no layer.
            SpecError: If the pipeline takes no adapters.
            ValueError: If the name is taken or is none, or the weight is not finite.
        """
        _require_peft()
        if not hasattr(self._pipeline, "load_lora_weights"):
            raise SpecError(
                f"{type(self._pipeline).__name__} takes no LoRA adapters. diffusers has a loader "
                "of them for other pipelines, such as StableDiffusionPipeline or FluxPipeline."
            )
        path = _found(source, file, Place(**place))
        name, weight = self._named(name, path.stem, weight)
        given = _keys(path)
        if not self._weights:
            # peft freezes them for good.
            self._learning = [p for p in self._parameters() if p.requires_grad]
        try:
            with _quiet():
                self._pipeline.load_lora_weights(
                    str(path.parent), weight_name=path.name, adapter_name=name, use_safetensors=True
                )
            count = self._count(name)
        except _FAILURES as error:
            self._remove(name)
            # Cleaning up after the first error, diffusers may stumble over a second.
            first = error.__context__ or error
            raise _unfit(path, self._pipeline, str(first).strip().splitlines()[0]) from None
        if count == 0:
            self._remove(name)
            raise _unfit(path, self._pipeline, f"none of its weights, {given[0]!r} and so on")
        if count < len(given):
            warnings.warn(
                f"{len(given) - count} of the {len(given)} weights of {path.name} found no layer "
                f"of {type(self._pipeline).__name__} and are left out.",
                stacklevel=2,
            )
        self._weights[name] = weight
        self._apply()
        return name

    def fuse(self) -> None:
        """Add all loaded adapters, as they are weighed, to the weights of the pipeline.

        They cost nothing then, and `save_pretrained` saves them with the rest. The former weights
        of their layers are kept on the CPU, for `unload`.

        Raises:
            ValueError: If none is loaded.
        """
        self._check_some()
        for key, layer in self._layers():
            for own, parameter in layer.get_base_layer().named_parameters(recurse=False):
                self._plain.setdefault(f"{key}.{own}", parameter.detach().to("cpu", copy=True))
        components = list(self._pipeline.get_list_adapters())
        self._pipeline.fuse_lora(components=components)
        self._take_off()
        # They are no adapters to the library any more.
        self._pipeline.unfuse_lora(components=components)
        self._fused, self._weights = self._fused | self._weights, {}
        self.changed()

    def unload(self, name: str | None = None) -> None:
        """Take an adapter away, or all of them if None, so that the weights are the former ones.

        Raises:
            UnknownNameError: If it is not loaded, or is fused: those that are come off together.
        """
        if name is not None:
            self._check_loaded(name)
            del self._weights[name]
            self._remove(name)
            return
        if self._weights:
            self._take_off()
        with torch.no_grad():
            for key, value in self._plain.items():
                component, _, path = key.partition(".")
                getattr(self._pipeline, component).get_parameter(path).copy_(value)
        self._weights, self._fused, self._plain = {}, {}, {}
        self.changed()

    def _apply(self) -> None:
        """Let the pipeline use those that are loaded, with their weights."""
        if self._weights:
            self._pipeline.set_adapters(list(self._weights), list(self._weights.values()))
        for _, layer in self._layers():
            layer.requires_grad_(False)
        self.changed()

    def _remove(self, name: str) -> None:
        if not self._weights:
            self._take_off()
        else:
            self._pipeline.delete_adapters(name)
        self._apply()

    def _take_off(self) -> None:
        """Leave the layers as they were built."""
        self._pipeline.unload_lora_weights()
        for parameter in self._learning:
            parameter.requires_grad_(True)
        self._learning = []

    def _parameters(self) -> Iterator[nn.Parameter]:
        """Those of all parts that can have adapters."""
        for component in self._pipeline._lora_loadable_modules:
            part = getattr(self._pipeline, component, None)
            if part is not None:
                yield from part.parameters()

    def _count(self, name: str) -> int:
        """How many weights of an adapter there are in the pipeline."""
        return sum(
            f".{name}." in f"{key}."
            for _, layer in self._layers()
            for key, _ in layer.named_parameters()
        )

    def _layers(self) -> list[tuple[str, nn.Module]]:
        """The layers of the pipeline that have adapters, each with its place."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        return [
            (f"{component}.{key}", layer)
            for component in self._pipeline._lora_loadable_modules
            if (part := getattr(self._pipeline, component, None)) is not None
            for key, layer in part.named_modules()
            if isinstance(layer, BaseTunerLayer)
        ]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the libraries say of every adapter, right or wrong; what counts is checked."""
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="peft")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _require_peft() -> None:
    try:
        import peft  # noqa: F401
    except ImportError:
        raise MissingDependency("peft", extra="lora", purpose="A LoRA adapter") from None


def _found(source: str | os.PathLike[str], file: str, place: Place) -> Path:
    """The safetensors file of an adapter."""
    path = Path(source)
    named = path.name if path.is_file() else file
    if not named.endswith(".safetensors"):
        raise LoadError(
            f"{named} is no safetensors file. Others can run code when they are opened. Ask "
            "whoever made it for safetensors, or convert it where you trust it."
        )
    if path.is_file():
        return path
    if not path.is_dir():
        return _downloaded(os.fspath(source), file, place)
    if not (path / file).is_file():
        there = sorted(p.name for p in path.glob("*.safetensors"))
        raise LoadError(
            f"No {file} in {source}. There is: {', '.join(there) or 'no safetensors file'}. "
            "Name the file itself, or give file=..."
        )
    return path / file


def _downloaded(repository: str, file: str, place: Place) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, file, **place.as_dict()))
    except Exception as error:
        broken = download_error(error, repository, place.revision)
        if broken is None and not isinstance(error, OSError):
            raise
        raise broken or LoadError(
            f"{repository!r} is no file and no folder, and {file} could not be had from a "
            f"repository of that name: {str(error).strip().splitlines()[0]}"
        ) from None


def _keys(path: Path) -> list[str]:
    """Names of the weights in a file, scales left out."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as opened:
            keys = list(opened.keys())
            said = json.loads((opened.metadata() or {}).get("lora_adapter_metadata") or "{}")
    except (SafetensorError, OSError, ValueError) as error:
        raise LoadError(f"{path} is no whole safetensors file: {error}. Get it again.") from None
    if any("dora_scale" in key for key in keys):
        raise LoadError(
            f"{path.name} scales whole columns of weights (DoRA in the form of others), which "
            "diffusers leaves out. Ask for one without, or in the form of peft."
        )
    _check_said(path, said)
    keys = [key for key in keys if not key.endswith("alpha")]
    if not keys:
        raise LoadError(f"{path} holds no weights. Get it again.")
    return keys


def _check_said(path: Path, said: Any) -> None:
    """Refuse a file that asks for what peft would import, copy or look for."""
    from peft import LoraConfig

    if not isinstance(said, dict):
        raise LoadError(f"{path} says of itself no settings by name. Get it again.")
    usual = LoraConfig().to_dict()
    for key, value in said.items():
        setting = key.rpartition(".")[2]
        if value and setting not in _SAID and value != usual.get(setting):
            raise LoadError(
                f"{path.name} asks for {setting} = {ascii(value)[:40]}, which an adapter of a "
                "diffusers pipeline has no use for. Use one without, or load it with diffusers "
                "where you trust it."
            )


def _unfit(path: Path, pipeline: Any, why: str) -> LoadError:
    return LoadError(
        f"{path.name} is no adapter for {type(pipeline).__name__}: {why}. Give one that was made "
        "for the same architecture."
    )
