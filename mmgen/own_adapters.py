"""Adapters that `fit` wrote, on a loaded pipeline: weighed, added up and taken off again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.adapter import Adapter, find_adapter, is_adapter, read_adapter
from mmgen.core.adapters import Adapters
from mmgen.core.errors import SpecError

__all__ = ["BothAdapters", "OwnAdapters"]

# What a library puts between a layer and its weights while it adapts them itself.
_WRAPPED = ".base_layer"
# What `fit` calls the folder of every adapter, so that it tells none from another.
_USUAL = "adapter"


class OwnAdapters(Adapters):
    """Adapters of the form that `fit` writes, and of that in which peft saves them.

    They are in the weights themselves, so they cost nothing at a step, and what is saved or trained
    has them. The former weights of the layers that they change are kept on the CPU.

    Args:
        parts: Of a pipeline.
        changed: Called whenever the weights have become others.
    """

    def __init__(self, parts: nn.ModuleDict, *, changed: Callable[[], None] = lambda: None) -> None:
        super().__init__(changed=changed)
        self._parts = parts
        self._loaded: dict[str, Adapter] = {}
        self._plain: dict[str, Tensor] = {}
        self._versions: dict[str, int] = {}
        self._assets: dict[str, bytes] | None = None

    def load(
        self,
        source: str | os.PathLike[str],
        *,
        name: str | None = None,
        weight: float = 1.0,
        **where: Any,
    ) -> str:
        """Add an adapter; the words that it has learnt are known from then on.

        Args:
            source: The folder of an adapter, that of the run which made it, or a Hub id. For
                weights of transformers also what peft saved.
            name: To call it by; that of the folder if None.
            weight: How much it counts.
            where: Of a Hub id: revision, cache_dir, token, local_files_only.

        Raises:
            LoadError: If there is none, it is broken, or it was made for other weights.
            SpecError: If the weights have been changed meanwhile by something else.
            ValueError: If the name is taken or is none, or the weight is not finite.
        """
        folder = find_adapter(source, **where)
        named = Path(source).resolve()
        stem = named.parent.name if named.name == _USUAL else named.name
        name, weight = self._named(name, stem, weight)
        weights = self._parameters()
        adapter = read_adapter(folder, weights)
        self._check_untouched()
        if self._assets is None:
            self._assets = self._parts["encoder"].assets()
        self._parts["encoder"].extend_by(adapter.assets)
        for key in adapter.factors.keys() - self._plain.keys():
            self._plain[key] = weights[key].detach().to("cpu", copy=True)
        self._loaded[name], self._weights[name] = adapter, weight
        self._apply()
        return name

    def fuse(self) -> None:
        self._check_some()
        self._fused, self._weights = self._fused | self._weights, {}

    def unload(self, name: str | None = None) -> None:
        if name is not None:
            self._check_loaded(name)
        self._check_untouched()
        if name is None:
            self._weights, self._fused, self._loaded = {}, {}, {}
        else:
            del self._weights[name], self._loaded[name]
        if self._assets:
            self._parts["encoder"].load_assets(self._assets)
            for adapter in self._loaded.values():
                self._parts["encoder"].extend_by(adapter.assets)
        self._apply()
        if not self._loaded:
            self._plain, self._versions, self._assets = {}, {}, None

    @torch.no_grad()
    def _apply(self) -> None:
        self._check_untouched()
        weights, counts = self._parameters(), self._fused | self._weights
        for key, plain in self._plain.items():
            own = weights[key]
            wide = torch.promote_types(plain.dtype, torch.float32)
            found = plain.to(own.device, wide)
            for name, adapter in self._loaded.items():
                if key in adapter.factors:
                    a, b = (x.to(own.device, wide) for x in adapter.factors[key])
                    found = found + counts[name] * (b @ a)
            # Without a sum it is the former weight itself, in any precision.
            own.copy_(found)
            self._versions[key] = own._version
        self.changed()

    def _parameters(self) -> dict[str, nn.Parameter]:
        """The weights by the names that they have where no library adapts them."""
        return {n.replace(_WRAPPED, ""): p for n, p in self._parts.named_parameters()}

    def _check_untouched(self) -> None:
        """Refuse weights that something else has written over: their former ones are gone."""
        weights = self._parameters()
        if any(weights[key]._version != seen for key, seen in self._versions.items()):
            raise SpecError(
                "The weights were changed since adapters were added to them, by training say, so "
                "the adapters cannot be weighed or taken off any more. Load the pipeline again."
            )


class BothAdapters(Adapters):
    """Adapters of the form that `fit` writes, and those of the library that made a checkpoint.

    Args:
        own: The former.
        library: The latter.
    """

    def __init__(self, own: OwnAdapters, library: Adapters) -> None:
        super().__init__()
        self._own, self._library = own, library

    @property
    def weights(self) -> Mapping[str, float]:
        return {**self._library.weights, **self._own.weights}

    @property
    def fused(self) -> tuple[str, ...]:
        return (*self._library.fused, *self._own.fused)

    def load(
        self,
        source: str | os.PathLike[str],
        *,
        name: str | None = None,
        weight: float = 1.0,
        **where: Any,
    ) -> str:
        """Add an adapter of either kind: what `fit` wrote, or else what the library reads.

        Arguments and other errors are those of `Adapters.load`.

        Raises:
            SpecError: If one of the library is fused, whose former weights would then be wrong.
        """
        own = any(is_adapter(Path(source) / inner) for inner in ("", _USUAL))
        kind, other = (self._own, self._library) if own else (self._library, self._own)
        if own:
            _check_none(self._library.fused, "Load this one before they are fused")
        found = kind.load(source, name=name, weight=weight, **where)
        if found in (*other.weights, *other.fused):
            kind.unload(found)
            raise ValueError(f"The name {found!r} is taken. Give another: name=...")
        return found

    def weigh(self, weights: Mapping[str, float]) -> None:
        # The first of the two refuses what neither has, before anything is changed.
        ours = {n: w for n, w in weights.items() if n in (*self._own.weights, *self._own.fused)}
        theirs = {n: w for n, w in weights.items() if n not in ours}
        if theirs:
            self._library.weigh(theirs)
        if ours:
            self._own.weigh(ours)

    def fuse(self) -> None:
        if self._library.weights:
            own = (*self._own.weights, *self._own.fused)
            _check_none(own, "The library keeps the former weights of what it fuses")
            self._library.fuse()
        else:
            self._own.fuse()

    def unload(self, name: str | None = None) -> None:
        if name is None:
            self._own.unload()
            self._library.unload()
        else:
            ours = name in (*self._own.weights, *self._own.fused)
            (self._own if ours else self._library).unload(name)

    def _apply(self) -> None:
        self._library._apply()
        self._own._apply()


def _check_none(names: tuple[str, ...], why: str) -> None:
    if names:
        raise SpecError(
            f"Adapters of both kinds do not mix in the weights themselves: {', '.join(names)} is "
            f"there. {why}; or unload them, or merge them by loading the pipeline from the folder "
            "that fit wrote."
        )
