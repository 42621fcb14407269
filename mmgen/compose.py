"""The parts of a pipeline by name: any codec, any encoder or several, any family that fits."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from types import ModuleType

from mmgen import families, hub
from mmgen.core.codec import Codec
from mmgen.core.composite import CompositeEncoder
from mmgen.core.encoder import Encoder
from mmgen.core.errors import SpecError, UnknownNameError, close_names
from mmgen.core.model import Model
from mmgen.core.nothing import Nothing
from mmgen.core.spec import ConditionSpec
from mmgen.guidance import guided
from mmgen.guidance.lengths import LengthModel
from mmgen.modalities import modality

__all__ = ["SIZES", "codec_names", "compose_parts", "families_for", "family_names"]

SIZES = ("debug", "small")


def compose_parts(
    *,
    x: str,
    y: str | Sequence[str] | None = None,
    family: str,
    size: str = "small",
    labels: Sequence[str] | Mapping[str, Sequence[str]] = (),
    codec: str | None = None,
) -> tuple[Encoder, Model, Codec]:
    """An encoder, a model and a codec for P(X | Y), with fresh weights.

    Args:
        x: Modality to generate.
        y: Modality of the condition, a list of several, or None for none.
        family: Family of the model.
        size: "debug" for a tiny one, "small" for one that trains on two cores.
        labels: Names that a modality needs: classes of a label, properties ("mass [g/mol]"). A list
            is for the one modality that needs them; a dict {modality: names} is for several.
        codec: How X is seen, one of the CODECS of its modality ("codes", "mu_law", ...), or a
            shipped pipeline of the same X, whose codec is taken with what it has learnt (an
            autoencoder, a vocoder, a vocabulary); its statistics are those of your pairs. If None,
            what the modality takes.

    Raises:
        UnknownNameError: If there is no such modality, family, size or codec.
        SpecError: If they do not fit together.
        LoadError: If a codec is that of a pipeline whose weights are not there, or altered.
    """
    if size not in SIZES:
        raise UnknownNameError(f"No size {size!r}. {close_names(size, SIZES)}")
    parts = [] if y is None else [y] if isinstance(y, str) else list(y)
    names = _names([x, *parts], labels)
    seen = _codec(x, size, names, codec)
    encoder = _encoder(y, size, names)
    model = guided(_family(family).model(seen.spec, encoder.spec, size))
    if seen.spec.varies and seen.spec.kind == "continuous":
        # Families of tokens end by themselves; those of numbers must be told when.
        model = LengthModel(model)
    return encoder, model, seen


def family_names() -> list[str]:
    """Names of all families."""
    return sorted(m.name for m in pkgutil.iter_modules(families.__path__))


def codec_names(x: str) -> list[str]:
    """Names of the codecs of a modality that `compose_parts` takes; none if it has but one."""
    return list(getattr(modality(x), "CODECS", ()))


def families_for(
    x: str, labels: Sequence[str] = ("a", "b"), *, codec: str | None = None
) -> list[str]:
    """The families that can generate a modality as `compose_parts` encodes it.

    Args:
        x: Name of the modality.
        labels: Names of its classes or properties, if it needs some.
        codec: As of `compose_parts`.
    """
    kind = modality(x)
    names = {x: tuple(labels)} if "NAMES" in kind.__all__ else {}
    spec = _codec(x, "debug", names, codec).spec
    fitting = []
    for name in family_names():
        try:
            _family(name).model(spec, ConditionSpec(), "debug")
        except SpecError:
            continue
        fitting.append(name)
    return fitting


def _names(
    used: Sequence[str], labels: Sequence[str] | Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """The names of each modality in use that needs some: those that say in NAMES what they are."""
    needed = {name: kind.NAMES for name in used if "NAMES" in (kind := modality(name)).__all__}
    if not isinstance(labels, Mapping):
        if len(needed) > 1 and labels:
            raise SpecError(
                f"{' and '.join(needed)} both need names, so a list is not clear. Give "
                f"labels={{{', '.join(f'{n!r}: [...]' for n in needed)}}}."
            )
        labels = dict.fromkeys(needed, labels)
    for name in labels:
        if name not in needed:
            raise SpecError(
                f"labels names {name!r}, which takes no names here. Those that do: "
                f"{', '.join(needed) or 'none'}."
            )
    for name, what in needed.items():
        given = labels.get(name, ())
        if isinstance(given, str) or not given:
            raise SpecError(f"{name} needs its {what}. Give labels=[...].")
    return {name: tuple(given) for name, given in labels.items()}


def _codec(x: str, size: str, names: Mapping[str, tuple[str, ...]], chosen: str | None) -> Codec:
    kind = modality(x)
    if "codec" not in kind.__all__:
        raise SpecError(f"{x} can be a condition, but no codec of mmgen generates it yet.")
    if chosen is None and size != "debug":
        chosen = getattr(kind, "LEARNT", None)
    if chosen is None:
        return kind.codec(size, names[x]) if x in names else kind.codec(size)
    own = codec_names(x)
    if chosen in own:
        return kind.CODECS[chosen](size)
    shipped = [name for name, recipe in hub.recipes().items() if recipe.card.x == x]
    if chosen not in shipped:
        raise UnknownNameError(
            f"No codec {chosen!r} of {x}. {close_names(chosen, [*own, *shipped])}"
        )
    return _learnt(hub.find_recipe(chosen))


def _learnt(recipe: hub.Recipe) -> Codec:
    """The codec of a shipped pipeline, to take statistics anew."""
    saved = hub.read_shipped(recipe)
    parts = recipe.module().build(**saved.choices).parts
    hub.fill_parts(parts, saved)
    parts["codec"].forget()
    return parts["codec"]


def _encoder(
    y: str | Sequence[str] | None, size: str, names: Mapping[str, tuple[str, ...]]
) -> Encoder:
    if y is None:
        return Nothing()
    if isinstance(y, str):
        return _part(y, size, names)
    return CompositeEncoder(main=y[0], parts={name: _part(name, size, names) for name in y})


def _part(name: str, size: str, names: Mapping[str, tuple[str, ...]]) -> Encoder:
    kind = modality(name)
    if "encoder" not in kind.__all__:
        raise SpecError(f"{name} can be generated, but no encoder of mmgen conditions on it yet.")
    return kind.encoder(size, names.get(name, ()))


def _family(name: str) -> ModuleType:
    if name not in family_names():
        raise UnknownNameError(f"No family {name!r}. {close_names(name, family_names())}")
    return importlib.import_module(f"{families.__name__}.{name}")
