"""The parts of a pipeline by name: any codec, any encoder or several, any family that fits."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType

from mmgen import families
from mmgen.core.codec import Codec
from mmgen.core.composite import CompositeEncoder
from mmgen.core.encoder import Encoder
from mmgen.core.errors import SpecError, UnknownNameError, close_names
from mmgen.core.model import Model
from mmgen.core.nothing import Nothing
from mmgen.modalities import modality

__all__ = ["SIZES", "compose_parts"]

SIZES = ("debug", "small")


def compose_parts(
    *,
    x: str,
    y: str | Sequence[str] | None = None,
    family: str,
    size: str = "small",
    labels: Sequence[str] = (),
) -> tuple[Encoder, Model, Codec]:
    """An encoder, a model and a codec for P(X | Y), with fresh weights.

    Args:
        x: Modality to generate.
        y: Modality of the condition, a list of several, or None for none.
        family: Family of the model.
        size: "debug" for a tiny one, "small" for one that trains on two cores.
        labels: Class names, if a condition is a label.

    Raises:
        UnknownNameError: If there is no such modality, family or size.
        SpecError: If they do not fit together.
    """
    if size not in SIZES:
        raise UnknownNameError(f"No size {size!r}. {close_names(size, SIZES)}")
    kind = modality(x)
    if "codec" not in kind.__all__:
        raise SpecError(f"{x} can be a condition, but no codec of mmgen generates it yet.")
    codec = kind.codec(size)
    encoder = _encoder(y, size, tuple(labels))
    model = _family(family).model(codec.spec, encoder.spec, size)
    return encoder, model, codec


def _encoder(y: str | Sequence[str] | None, size: str, labels: tuple[str, ...]) -> Encoder:
    if y is None:
        return Nothing()
    if isinstance(y, str):
        return _part(y, size, labels)
    return CompositeEncoder(main=y[0], parts={name: _part(name, size, labels) for name in y})


def _part(name: str, size: str, labels: tuple[str, ...]) -> Encoder:
    kind = modality(name)
    if "encoder" not in kind.__all__:
        raise SpecError(f"{name} can be generated, but no encoder of mmgen conditions on it yet.")
    if name == "label" and not labels:
        raise SpecError("A label needs its class names. Give labels=[...].")
    return kind.encoder(size, labels)


def _family(name: str) -> ModuleType:
    names = [m.name for m in pkgutil.iter_modules(families.__path__)]
    if name not in names:
        raise UnknownNameError(f"No family {name!r}. {close_names(name, names)}")
    return importlib.import_module(f"{families.__name__}.{name}")
