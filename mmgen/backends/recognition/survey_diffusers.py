"""What each pipeline class of the installed diffusers generates, and from what.

diffusers has no table of that which is whole. Its auto-pipelines know the task of some 130 classes;
of the others the call tells: what its result is called, which values it takes, and whether the name
of the class says how it is used. The source is parsed, nothing of it is imported: 300 imports take
minutes and fail where an optional library is missing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mmgen.core.errors import MissingDependency

__all__ = ["Call", "folders_of_pipelines", "survey"]

_RESULTS = {
    "images": "image",
    "image": "image",
    "frames": "video",
    "video": "video",
    "audios": "audio",
    "texts": "text",
    "text": "text",
}
_ARGUMENTS = {
    "text": {"prompt", "task_prompt", "content_prompt"},
    "image": {
        "cond_image",
        "conditions",
        "condtioning_image",
        "control_image",
        "example_image",
        "gligen_images",
        "image",
        "image_reference",
        "images",
        "input_images",
        "ref_image",
        "reference_image",
        "reference_images",
    },
    "video": {
        "conditioning_frames",
        "control_video",
        "controls",
        "face_video",
        "pose_video",
        "reference_conditions",
        "video",
    },
    "audio": {"audio", "initial_audio_waveforms", "reference_audio", "src_audio"},
    "label": {"class_labels"},
}
_MASKS = {"control_mask", "mask", "mask_image"}
# Values that only another model gives.
_INNER = {"image_embeddings", "image_embeds", "input_tokens", "latents"}

# The first that fits the class's name says how it is used, where its X is the one named.
_NAMES = (
    ("image", "inpainting", r"Inpaint|Fill|RePaint|PaintByExample"),
    (
        "image",
        "image-to-image",
        r"Img2Img|ToImg|I2I|Edit|Pix2Pix|SuperRes|Upscale|Refiner|Variation|CycleDiffusion",
    ),
    ("video", "video-to-video", r"VideoToVideo|VideoToWorld|Inpaint|Upsample|Refine|HDR"),
    ("video", "image-to-video", r"I[mage]*(2|To)V"),
    ("audio", "audio-to-audio", r"AudioToAudio|Inpaint"),
)
_GIVEN = {"image-to-image": "image", "inpainting": "image", "audio-to-audio": "audio"}

# What is no pipeline among the others, and where it is.
_PLANNER = ("ValueGuidedRLPipeline", "experimental/rl/value_guided_sampling.py")

# Pictures of a shape in space, which is no modality here, and films from another model's latents.
_OTHER_THINGS = {"LTX2DFRTemporalRefinePipeline", "ShapEImg2ImgPipeline", "ShapEPipeline"}


@dataclass(frozen=True)
class Call:
    """What the source of a pipeline class says of its `__call__`.

    Args:
        name: Of the class.
        arguments: All of them.
        required: Those without a default.
        results: Names of the fields of its result, in order.
        result: Name of the class of its result; empty if another pipeline makes it.
    """

    name: str
    arguments: frozenset[str]
    required: frozenset[str]
    results: tuple[str, ...]
    result: str


def survey() -> dict[tuple[str, str, tuple[str, ...]], list[str]]:
    """Classes by (task, X, Y).

    Raises:
        MissingDependency: If diffusers is not installed.
    """
    root = _root()
    auto = _auto_tasks(root)
    found: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for call in _calls(root):
        what = _decide(call, auto.get(call.name))
        if what is not None:
            found.setdefault(what, []).append(call.name)
    name, file = _PLANNER
    if (root / file).is_file():
        found[("planning", "actions", ("observation",))] = [name]
    return found


def folders_of_pipelines() -> list[str]:
    """Packages of pipelines, which a pipeline may name as the library of a part."""
    root = _root() / "pipelines"
    return sorted({f.parent.name for f in root.rglob("__init__.py")} - {"pipelines", "deprecated"})


def _root() -> Path:
    spec = find_spec("diffusers")
    if spec is None or spec.origin is None:
        raise MissingDependency("diffusers", extra="all", purpose="The table of diffusers")
    return Path(spec.origin).parent


def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


def _auto_tasks(root: Path) -> dict[str, str]:
    """The task by which diffusers' own auto-pipelines know a class: the first that lists it."""
    tasks: dict[str, str] = {}
    for node in ast.walk(_parse(root / "pipelines" / "auto_pipeline.py")):
        if not isinstance(node, (ast.Assign, ast.AnnAssign)):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        where = re.match(r"_?AUTO_(\w+?)(_DECODER)?_PIPELINES_MAPPING", ast.unparse(targets[0]))
        if where is None or node.value is None:
            continue
        task = where[1].lower().replace("2", "-to-").replace("inpaint", "inpainting")
        if task.startswith("condition"):
            continue  # No task of the field: the call tells more.
        for name in ast.walk(node.value):
            if isinstance(name, ast.Name) and name.id.endswith("Pipeline"):
                tasks.setdefault(name.id, task)
    return tasks


def _calls(root: Path) -> Iterator[Call]:
    """Every public pipeline class of PyTorch that can be called."""
    offered = {
        node.value
        for node in ast.walk(_parse(root / "__init__.py"))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    for file in sorted((root / "pipelines").rglob("*.py")):
        for node in _parse(file).body:
            if not isinstance(node, ast.ClassDef) or node.name not in offered:
                continue
            if "Pipeline" not in node.name or node.name.startswith("Onnx"):
                continue
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and member.name == "__call__":
                    yield _call(node.name, member)


def _call(name: str, function: ast.FunctionDef) -> Call:
    positional = [a.arg for a in function.args.args][1:]
    required = positional[: len(positional) - len(function.args.defaults)]
    arguments = (*positional, *(a.arg for a in function.args.kwonlyargs))
    result, results = "", ()
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Call):
            made = ast.unparse(node.value.func)
            if made.endswith("Output"):
                result, results = made, tuple(k.arg or "" for k in node.value.keywords)
    return Call(name, frozenset(arguments), frozenset(required), results, result)


def _decide(call: Call, auto: str | None) -> tuple[str, str, tuple[str, ...]] | None:
    """(task, X, Y) of a class, or None if no value of a modality comes out or goes in."""
    x = _x(call, auto)
    inner = call.required & _INNER and auto is None
    if x is None or inner or call.name in _OTHER_THINGS:
        return None
    y = {kind for kind, names in _ARGUMENTS.items() if names & call.arguments}
    if auto is not None and call.required & _INNER:
        y.add("text")  # An auto-pipeline joins it with the model that gives these from words.
    if not y and any("prompt" in name for name in call.arguments):
        return None  # Its words go elsewhere: an inversion has to come first.
    task = _task(call, auto, x, y)
    given = _GIVEN.get(task, task.partition("-to-")[0])
    if given in _ARGUMENTS:
        y.add(given)
    return task, x, tuple(kind for kind in _ARGUMENTS if kind in y)


def _x(call: Call, auto: str | None) -> str | None:
    if not call.result:
        return auto.rpartition("-")[2] if auto and "-to-" in auto else auto and "image"
    if "Video" in call.result:
        return "video"
    found = [_RESULTS[name] for name in call.results if name in _RESULTS]
    if not call.results and call.result == "ImagePipelineOutput":
        return "image"
    # Pictures and words at once are a distribution of pairs.
    return None if not found or {"image", "text"} <= set(found) else found[0]


def _task(call: Call, auto: str | None, x: str, y: set[str]) -> str:
    if auto is not None and (auto.endswith(f"-to-{x}") or (auto, x) == ("inpainting", "image")):
        return auto
    pictures = "image" in y or call.arguments & (_MASKS | {"image_latents"})
    for kind, task, pattern in _NAMES:
        if kind == x and re.search(pattern, call.name) and (kind != "image" or pictures):
            return task
    return _task_of_values(call, x, y)


def _task_of_values(call: Call, x: str, y: set[str]) -> str:
    """The task by what has to be given, or what can be."""
    if x == "text":
        return "image-text-to-text" if "image" in y else "text-generation"
    needed = {kind for kind, names in _ARGUMENTS.items() if names & call.required}
    guided = re.search("Control|Adapter", call.name)
    if x == "image" and "image" in y and "strength" in call.arguments:
        return "inpainting" if call.arguments & _MASKS else "image-to-image"
    for kind in ("video", "audio", "image"):
        alone = kind in y and "text" not in y
        # Without a mark in the name, an optional film beside words is there to be changed.
        changed = kind == x == "video" and y - {"text"} == {"video"} and not guided
        if kind in needed or alone or changed:
            return f"{kind}-to-{x}"
    if "text" in y:
        return f"text-to-{x}"
    return f"class-conditional-{x}-generation" if y else f"unconditional-{x}-generation"
