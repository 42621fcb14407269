"""What the call of a pipeline of diffusers takes, told by its class: nothing has to be loaded."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from mmgen.backends.from_diffusers.denoisers import DENOISERS
from mmgen.backends.from_diffusers.planning import PLANNERS, planner_options
from mmgen.backends.recognition import Recognised
from mmgen.core.errors import LoadError
from mmgen.core.options import Option
from mmgen.families.diffusion.model import likelihood_options

__all__ = ["RESIZING", "Call", "call_options", "options_of"]

# What the calls of pipelines name a part of Y, the likeliest first.
_ARGUMENTS = {
    "text": ("prompt",),
    "image": ("image",),
    "label": ("class_labels",),
    "video": ("video",),
}
_MASKS = ("mask_image", "mask")

# What mmgen says by other means, or what is not for users.
_NOT_OPTIONS = {
    "num_images_per_prompt",
    "num_videos_per_prompt",
    "num_waveforms_per_prompt",
    "batch_size",
    "output_type",
    "return_dict",
    "callback_steps",
    "prompt_2",
    "prompt_3",
}
RESIZING = ("use_resolution_binning",)
"""What would resize decoded values: latents are of the size that is asked for."""
_KINDS = (int, float, bool, str)
_HELP = {
    "num_inference_steps": "Steps of the sampler.",
    "guidance_scale": "How strongly to follow the condition.",
    "negative_prompt": "What guidance leads away from.",
    "strength": "How much of the image is made anew: 0 nothing, 1 all.",
    "height": "Of the image, in pixels.",
    "width": "Of the image, in pixels.",
    "num_frames": "Of the film.",
}
_RANGES = {
    "num_inference_steps": (1, 10_000),
    "guidance_scale": (0.0, 100.0),
    "strength": (0.0, 1.0),
    "height": (1, 16_384),
    "width": (1, 16_384),
    "num_frames": (1, 16_384),
}


_LATENTS = "Noise (N, ...) to start N samples of a condition from, in place of that of their seeds."


@dataclass(frozen=True)
class Call:
    """How the parts of Y go to the call of a pipeline.

    Args:
        arguments: What it names each of them.
        required: Those that no condition may lack.
        mask: What it names the mask, for a pipeline that paints into an image; the image itself is
            no part of Y then, but known in part.
        limit: Most tokens of a text that it reads, if it says so.
        single: Which of the arguments hold one value, and no list of them.
    """

    arguments: dict[str, str]
    required: tuple[str, ...]
    mask: str | None
    limit: int | None
    single: frozenset[str] = frozenset()

    @classmethod
    def of(cls, kind: type, found: Recognised) -> Call:
        """That of a class of pipelines."""
        takes = inspect.signature(kind.__call__).parameters
        arguments = {
            part: name for part in found.y for name in _ARGUMENTS.get(part, ()) if name in takes
        }
        mask = next((name for name in _MASKS if name in takes), None)
        painting = found.task == "inpainting" and mask is not None
        if painting:
            arguments = {k: v for k, v in arguments.items() if k != "image"}
        required = [
            part
            for part, name in arguments.items()
            if takes[name].default is inspect.Parameter.empty or part in ("image", "video")
        ]
        if found.task.startswith("text-to-"):
            required = [part for part in required if part == "text"]
        limit = takes.get("max_sequence_length")
        taken = {*arguments.values(), *({"image", mask} if painting else ())}
        return cls(
            arguments,
            tuple(required),
            mask if painting else None,
            None if limit is None else limit.default,
            frozenset(name for name in taken if _holds_one(takes[name], found.x)),
        )

    @property
    def taken(self) -> dict[str, str]:
        """All that values go to."""
        if self.mask is None:
            return self.arguments
        return {**self.arguments, "image": "image", "mask": self.mask}


def options_of(found: Recognised) -> tuple[Option, ...]:
    """The options of a checkpoint that is not loaded.

    Those of `log_prob` are among them if networks of its class can be asked by the family.

    Raises:
        LoadError: If the installed library has no such class.
    """
    import diffusers

    if found.architecture in PLANNERS:
        return planner_options()
    kind = getattr(diffusers, found.architecture, None)
    if kind is None:
        raise LoadError(
            f"diffusers {diffusers.__version__} has no {found.architecture}. Install the version "
            "that wrote the checkpoint."
        )
    known = found.architecture in DENOISERS
    latent = known and "vae" in found.parts
    called = call_options(
        kind,
        getattr(diffusers, found.parts.get("scheduler", ""), None),
        taken=Call.of(kind, found).taken.values(),
        output="latent" if latent else "np",
    )
    return (*called, *(likelihood_options() if known else ()))


def call_options(
    kind: type, scheduler: type | None, *, taken: Iterable[str], output: str
) -> tuple[Option, ...]:
    """An option for every plain number, text or flag that the call takes.

    Args:
        kind: The class of the pipeline.
        scheduler: That of its scheduler, if it has one.
        taken: Arguments that parts of Y go to.
        output: "np" or "latent", as of `LibraryPipeline`.
    """
    others = {*taken, *_NOT_OPTIONS, *(RESIZING if output == "latent" else ())}
    found = []
    for name, parameter in inspect.signature(kind.__call__).parameters.items():
        if name == "latents":
            found.append(Option(name, None, _LATENTS, optional=True, kind=Tensor))
        plain, optional = _kind(parameter)
        if plain is None or name in others:
            continue
        least, most = _RANGES.get(name, (None, None))
        default = parameter.default
        found.append(
            Option(
                name,
                float(default) if plain is float and default is not None else default,
                _HELP.get(name, f"As in {kind.__name__}."),
                minimum=least,
                maximum=most,
                optional=optional,
                kind=plain,
            )
        )
    if getattr(scheduler, "_compatibles", None):
        own = scheduler.__name__
        names = tuple(sorted({own, *(k.__name__ for k in scheduler._get_compatibles())}))
        found.append(Option("scheduler", own, "Which sampler.", choices=names))
    return tuple(found)


def _holds_one(parameter: inspect.Parameter, x: str) -> bool:
    """Whether an argument takes a single value.

    Pipelines that give films do so whatever they say of pictures, and a list of these is one film.
    """
    kind = parameter.annotation
    said = kind if isinstance(kind, str) else str(kind)
    pictures = "Image" in said or parameter.name == "video"
    return (pictures and x == "video") or ((pictures or kind is str) and "list" not in said.lower())


def _kind(parameter: inspect.Parameter) -> tuple[type | None, bool]:
    """The plain type that an argument takes, and whether it may be None; no type if it is none."""
    union = typing.get_origin(parameter.annotation) in (typing.Union, types.UnionType)
    kinds = typing.get_args(parameter.annotation) if union else (parameter.annotation,)
    plain = [k for k in kinds if k in _KINDS]
    if not plain or parameter.default is inspect.Parameter.empty:
        return None, False
    kind = float if float in plain else plain[0]
    return kind, type(None) in kinds or parameter.default is None
