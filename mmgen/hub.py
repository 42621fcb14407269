"""Names to recipes, cards and files: the only registry.

A recipe is a file pipelines/<y>_to_<x>/<name>.py. `<y>-to-<x>:<name>` names it; `<y>-to-<x>` names
the default of its folder, which the folder's DEFAULT file holds; a recipe's DOORS are other names
of it, each with choices of its own. Cards are read as literals,
without running the recipe, so that listing them loads no library; for the same reason torch is
imported where tensors are read or written.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mmgen.core.card import Card
from mmgen.core.errors import LoadError, UnknownNameError, close_names
from mmgen.core.files import folder_beside, read_json, read_tensors, write_beside
from mmgen.version import __version__

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "Recipe",
    "Saved",
    "fill_parts",
    "find_recipe",
    "inner_folder",
    "list_pipelines",
    "read_folder",
    "read_shipped",
    "recipes",
    "write_folder",
    "write_foreign",
    "write_shipped",
]

_PACKAGE = "mmgen_pipelines"
_MANIFEST = "pipeline.json"
_RESULT = "pipeline"
_FOREIGN = ("model_index.json", "config.json")
_FOREIGN_CARD = "mmgen.json"
_PARTS = ("encoder", "model", "codec")
_WITH_ASSETS = ("encoder", "codec")

# Raised whenever an older mmgen could not read what a newer one writes.
FORMAT = 1


@dataclass(frozen=True)
class Recipe:
    """A shipped recipe.

    Args:
        name: `<y>-to-<x>:<recipe>`.
        path: Its Python file.
        default: Whether `<y>-to-<x>` alone means this one.
        choices: What to pass to its build(), where it was asked for by another name.
    """

    name: str
    path: Path
    default: bool
    choices: Mapping[str, Any] = field(default_factory=dict)

    @property
    def card(self) -> Card:
        """Its card, read without running it."""
        call = self._literal("CARD")
        if call is None:
            raise LoadError(f"The recipe {self.name} has no CARD.")
        return Card(**{k.arg: ast.literal_eval(k.value) for k in call.keywords})

    @property
    def doors(self) -> dict[str, dict[str, Any]]:
        """Other names it goes by, each with what it passes to build(). Read without running it."""
        found = self._literal("DOORS")
        return {} if found is None else ast.literal_eval(found)

    @property
    def y(self) -> str | None:
        """What the name that was asked for generates from; None if nothing need be given."""
        return self.choices.get("main", self.card.y)

    def _literal(self, name: str) -> Any:
        """What the recipe assigns to a name, not evaluated; None if it does not."""
        for node in ast.parse(self.path.read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
                return node.value
        return None

    @property
    def weights(self) -> Path:
        """Where its shipped weights are, or would be."""
        return self.path.with_suffix(".safetensors")

    def module(self) -> ModuleType:
        """The recipe itself: CARD, build(), pairs(), debug()."""
        return importlib.import_module(f"{_PACKAGE}.{self.path.parent.name}.{self.path.stem}")


def recipes() -> dict[str, Recipe]:
    """All shipped recipes by full name."""
    found = {}
    for file in sorted(_root().glob("*_to_*/*.py")):
        if file.stem == "__init__":
            continue
        task = file.parent.name.replace("_", "-")
        marker = file.parent / "DEFAULT"
        default = marker.is_file() and marker.read_text("utf-8").strip() == file.stem
        name = f"{task}:{file.stem}"
        found[name] = Recipe(name, file, default)
    return found


def list_pipelines() -> list[str]:
    """Names that `Pipeline.from_pretrained` takes without a network."""
    return list(recipes())


def find_recipe(name: str) -> Recipe:
    """The recipe of this name, or the default of its task.

    Raises:
        UnknownNameError: If there is none. The message lists the close ones.
    """
    known = recipes()
    by_task = {r.name.split(":")[0]: r for r in known.values() if r.default}
    if name in known:
        return known[name]
    if name in by_task:
        return by_task[name]
    doors = {door: (r, own) for r in known.values() for door, own in r.doors.items()}
    if name in doors:
        recipe, choices = doors[name]
        return replace(recipe, choices=choices)
    names = [*known, *by_task, *doors]
    raise UnknownNameError(f"No pipeline {name!r}. {close_names(name, names)}")


@dataclass(frozen=True)
class Saved:
    """What was read of a saved pipeline.

    Args:
        recipe: The recipe that builds its parts.
        choices: What to pass to that recipe's build().
        card: Its card, if it has one.
        tensors: Weights and statistics by part and name.
        assets: Other files by part and name.
    """

    recipe: str
    choices: dict[str, Any]
    card: Card | None
    tensors: dict[str, dict[str, Tensor]]
    assets: dict[str, dict[str, bytes]]


def write_folder(
    folder: Path,
    parts: Mapping[str, nn.Module],
    *,
    recipe: str,
    choices: Mapping[str, Any],
    card: Card | None,
) -> Path:
    """Write a pipeline: a manifest, one safetensors file per part, and the parts' other files.

    Raises:
        ValueError: If `folder` exists and holds something else than a saved pipeline.
        OSError: If it cannot be written; what was there before is still there.
    """
    from safetensors.torch import save

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not (folder / _MANIFEST).is_file():
            raise ValueError(
                f"{str(folder)!r} exists and is no saved pipeline. Name another folder."
            )
    with folder_beside(folder) as new:
        files = {}
        for name in _PARTS:
            state = {k: v.contiguous() for k, v in parts[name].state_dict().items()}
            files[f"{name}.safetensors"] = save(state)
        for name in _WITH_ASSETS:
            for asset, data in parts[name].assets().items():
                files[f"{name}.{asset}"] = data
        for name, data in files.items():
            write_beside(new / name, data)
        manifest = {
            "format": FORMAT,
            "mmgen_version": __version__,
            "recipe": recipe,
            "choices": dict(choices),
            "card": card and card.as_dict(),
            "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        }
        write_beside(new / _MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())
    return folder


def write_foreign(folder: Path, save: Callable[[Path], None], about: Mapping[str, Any]) -> Path:
    """Write the checkpoint of another library, and a card beside it. All of it appears, or nothing.

    Args:
        folder: Where. It is new, empty, or what this wrote before.
        save: Writes into an empty folder.
        about: What it is, for the card.

    Raises:
        ValueError: If `folder` exists and holds something.
        OSError: If it cannot be written.
    """
    filled = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if filled and not (folder / _FOREIGN_CARD).is_file():
        raise ValueError(f"{str(folder)!r} exists and is not empty. Name another folder.")
    with folder_beside(folder) as new:
        save(new)
        card = {**about, "mmgen_version": __version__}
        write_beside(new / _FOREIGN_CARD, json.dumps(card, indent=1).encode())
    return folder


def read_foreign_card(name: str | os.PathLike[str]) -> Card | None:
    """What `write_foreign` wrote of the run that made a checkpoint; None if it was none of mmgen.

    Raises:
        LoadError: If it is no card.
    """
    file = Path(name) / _FOREIGN_CARD
    card = read_json(file).get("card") if file.is_file() else None
    if card is None:
        return None
    try:
        return Card(**card)
    except TypeError as error:
        raise LoadError(f"{file} holds no card: {error}. Take its entry 'card' out.") from None


def inner_folder(name: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """The name, or the folder with the pipeline if it is that of a training run."""
    folder = Path(name)
    if any((folder / file).is_file() for file in (_MANIFEST, *_FOREIGN)):
        return name
    return folder / _RESULT if (folder / _RESULT).is_dir() else name


def read_folder(folder: Path) -> Saved:
    """Read what `write_folder` wrote.

    Raises:
        LoadError: If something is missing, cut short, altered or from a newer version.
    """
    if not (folder / _MANIFEST).is_file():
        raise LoadError(
            f"{str(folder)!r} holds no saved pipeline and no checkpoint: it has no {_MANIFEST} "
            "(of mmgen), model_index.json (of diffusers) or config.json (of transformers). Name a "
            "folder that save_pretrained wrote, or one of: " + ", ".join(recipes())
        )
    manifest = read_json(folder / _MANIFEST)
    sums = _checked_manifest(manifest, folder / _MANIFEST)
    assets: dict[str, dict[str, bytes]] = {name: {} for name in _PARTS}
    tensors = {}
    for part in _PARTS:
        own = {n for n in sums if n.startswith(f"{part}.")} | {f"{part}.safetensors"}
        for name in own:
            path = folder / name
            if name.endswith(".safetensors"):
                tensors[part] = dict(read_tensors(path))
            elif path.is_file():
                assets[part][name.removeprefix(f"{part}.")] = path.read_bytes()
            _check_sum(path, sums.get(name))
    card = manifest.get("card")
    try:
        return Saved(
            manifest["recipe"], manifest["choices"], card and Card(**card), tensors, assets
        )
    except (KeyError, TypeError) as error:
        raise LoadError(f"{folder / _MANIFEST} is not a manifest of a pipeline: {error}") from None


def write_shipped(recipe: Recipe, parts: Mapping[str, nn.Module]) -> Path:
    """Write a recipe's weights beside it: in half precision, statistics in full."""
    import torch
    from safetensors.torch import save

    parameters = {f"{p}.{n}" for p in _PARTS for n, _ in parts[p].named_parameters()}
    state = {f"{p}.{n}": t for p in _PARTS for n, t in parts[p].state_dict().items()}
    half = {n: t.to(torch.float16) if n in parameters else t for n, t in state.items()}
    files = {".safetensors": save({n: t.contiguous() for n, t in half.items()})}
    for part in _WITH_ASSETS:
        for asset, data in parts[part].assets().items():
            files[f".{part}.{asset}"] = data
    stem = recipe.path.with_suffix("")
    for suffix, data in files.items():
        write_beside(stem.with_name(stem.name + suffix), data)
    manifest = {
        "format": FORMAT,
        "mmgen_version": __version__,
        "recipe": recipe.name,
        "sha256": {s: hashlib.sha256(data).hexdigest() for s, data in files.items()},
    }
    write_beside(stem.with_suffix(".json"), json.dumps(manifest, indent=1).encode())
    return recipe.weights


def read_shipped(recipe: Recipe) -> Saved:
    """Read a recipe's shipped weights.

    Raises:
        LoadError: If there are none, or they are cut short or altered.
    """
    stem = recipe.path.with_suffix("")
    if not recipe.weights.is_file():
        raise LoadError(
            f"{recipe.name} ships no weights. Train them with: mmgen train {recipe.name}"
        )
    manifest = stem.with_suffix(".json")
    sums = _checked_manifest(read_json(manifest), manifest)
    tensors: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
    assets: dict[str, dict[str, bytes]] = {part: {} for part in _PARTS}
    for suffix, checksum in sums.items():
        path = stem.with_name(stem.name + suffix)
        if suffix == ".safetensors":
            for name, tensor in read_tensors(path).items():
                part, _, own = name.partition(".")
                tensors[part][own] = tensor
        elif path.is_file():
            part, _, asset = suffix.removeprefix(".").partition(".")
            assets[part][asset] = path.read_bytes()
        _check_sum(path, checksum)
    return Saved(recipe.name, dict(recipe.choices), recipe.card, tensors, assets)


def fill_parts(parts: Mapping[str, nn.Module], saved: Saved) -> None:
    """Put saved weights, statistics and files into freshly built parts.

    Raises:
        LoadError: If one is missing, left over, of another shape, or not a finite number.
    """
    for part in _PARTS:
        module, state = parts[part], saved.tensors[part]
        own = module.state_dict()
        missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or extra:
            raise LoadError(
                f"The weights of the {part} do not fit {saved.recipe}: missing "
                f"{missing[:3] or 'none'}, left over {extra[:3] or 'none'}. Weights are never "
                "loaded without their statistics; save the pipeline again where it was trained."
            )
        for name, tensor in state.items():
            if tensor.shape != own[name].shape:
                raise LoadError(
                    f"{part}.{name} has shape {tuple(tensor.shape)}, expected "
                    f"{tuple(own[name].shape)} for {saved.recipe}."
                )
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise LoadError(f"{part}.{name} holds values that are not finite numbers.")
        if part in _WITH_ASSETS:
            module.load_assets(saved.assets[part])
        module.load_state_dict(state)


def _checked_manifest(manifest: Mapping[str, Any], path: Path) -> dict[str, str]:
    version = manifest.get("format")
    if not isinstance(version, int):
        raise LoadError(f"{path} is not a manifest of a pipeline: it has no format number.")
    if version > FORMAT:
        raise LoadError(
            f"{path} has format {version}, written by mmgen {manifest.get('mmgen_version')}; this "
            f"is mmgen {__version__}, which reads up to {FORMAT}. Upgrade mmgen-sdk."
        )
    sums = manifest.get("sha256")
    if not isinstance(sums, dict) or any("/" in n or "\\" in n for n in sums):
        raise LoadError(
            f"{path} is not a manifest of a pipeline: its sha256 entry is no list of files."
        )
    return sums


def _check_sum(path: Path, expected: str | None) -> None:
    if not path.is_file():
        raise LoadError(f"There is no {path.name} in {path.parent}. The save is incomplete.")
    if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
        raise LoadError(
            f"{path} is not what was saved: its checksum differs. Get it again from where it came "
            "from, or save the pipeline again."
        )


def _root() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise LoadError("The shipped recipes are not installed. Install mmgen-sdk again.")
    return Path(next(iter(spec.submodule_search_locations)))
