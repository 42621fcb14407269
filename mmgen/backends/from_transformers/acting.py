"""Pretrained policies that see and are told what to do: P(actions | pictures, a text, a state).

Shape letters: T steps of a chunk, A numbers of an action, S numbers of a state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.called import CalledConditional, OnCalledStep
from mmgen.backends.foreign import Foreign, Place
from mmgen.backends.from_transformers.files import load_files, load_model, load_reader, load_words
from mmgen.backends.from_transformers.picture_processors import PROCESSOR_FILES, KeptFiles
from mmgen.backends.given import AsGiven, GivenCondition
from mmgen.backends.recognition import Recognised
from mmgen.backends.standardised import mean_and_std, numbers
from mmgen.core.condition import Condition
from mmgen.core.errors import LoadError, SpecError
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.options import Option
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.modalities import image as images
from mmgen.modalities.actions import ActionChunks
from mmgen.modalities.image.files import to_pil

__all__ = ["ActingModel", "load_policy"]

_PARTS = ("text", "image", "state")
_STATISTICS = ("actions_mean", "actions_std", "state_mean", "state_std")
# What the library adds to a deviation before it divides by it.
_LEAST = 1e-8


class ActingModel(Model):
    """A transformers model that makes a chunk of actions, by the library's own call.

    Args:
        model: A `PI0ForConditionalGeneration`.
        processor: What it reads conditions with.
        spec: Of its chunks, standardised.
    """

    condition = ConditionSpec()

    def __init__(self, model: nn.Module, processor: Any, *, spec: Spec) -> None:
        super().__init__()
        self.model, self.processor, self.spec = model, processor, spec

    def options(self) -> tuple[Option, ...]:
        usual = self.model.config.num_inference_steps
        said = "Steps from noise to actions."
        return (Option("num_inference_steps", usual, said, minimum=1, maximum=1000),)

    def forward(self, c: Condition, **options: Any) -> ActingConditional:
        if not isinstance(c, GivenCondition):
            raise SpecError("A pretrained policy takes conditions from AsGiven.")
        chosen = {o.name: options.get(o.name, o.default) for o in self.options()}
        return ActingConditional(model=self, spec=self.spec, c=c, options=chosen)

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        raise SpecError(
            "Training of pretrained policies is not there yet. Train one of mmgen's own on your "
            'episodes: Pipeline.compose(x="actions", ...).'
        )

    def act(self, values: Mapping[str, Any], noise_TD: Tensor, steps: int) -> Tensor:
        """Standardised actions (T, A) of one condition, from noise (T, D)."""
        place = next(self.parameters())
        read = self.processor(images=values["image"], text=values["text"], state=values["state"])
        given = {name: value.to(place.device) for name, value in read.items()}
        for name in ("state", "pixel_values"):
            given[name] = given[name].to(place.dtype)
        noise = noise_TD[None].to(place.device, place.dtype)
        found = self.model.sample_actions(**given, noise=noise, num_steps=steps)
        return found[0, :, : self.spec.shape[1]].float().cpu()


@dataclass(frozen=True, kw_only=True)
class ActingConditional(CalledConditional):
    """P(actions | pictures, a text, a state) by the library's call.

    Args:
        model: The model.
    """

    model: ActingModel

    def _call(
        self,
        values: Mapping[str, Any],
        generators: Sequence[torch.Generator],
        on_step: OnCalledStep,
    ) -> list[Tensor]:
        config, steps = self.model.model.config, self.options["num_inference_steps"]
        shape = (config.chunk_size, config.max_action_dim)
        found = []
        for done, generator in enumerate(generators, start=1):
            found.append(self.model.act(values, torch.randn(shape, generator=generator), steps))
            on_step(done, len(generators))
        return found


def load_policy(found: Recognised, place: Place, dtype: torch.dtype) -> Foreign:
    """The parts of a policy.

    Raises:
        LoadError: If it lacks the statistics that give its actions their units, or files.
    """
    from transformers import PI0Processor

    files = load_files(found, place, PROCESSOR_FILES)
    stated = json.loads(files.get("processor_config.json", b"{}"))
    missing = [name for name in _STATISTICS if not stated.get(name)]
    if missing:
        raise LoadError(
            f"{found.source} lacks {', '.join(missing)}, without which its actions have no units. "
            "Put the statistics of the dataset that it was trained on into processor_config.json."
        )
    model = load_model(found.architecture, found, place, dtype)
    tokenizer = load_words(found, place)
    kept = {name: stated[name] for name in _STATISTICS}
    sizes = {"max_state_dim": model.config.max_state_dim, "chunk_size": model.config.chunk_size}
    processor = PI0Processor(_pictures(found, place), tokenizer, **kept, **sizes)
    codec = _actions(stated, model.config)
    encoder = AsGiven(
        _PARTS,
        required=_PARTS,
        readers={"image": _seen, "state": partial(_state, size=len(_of(stated, "state")[0]))},
    )
    family = ActingModel(model, processor, spec=codec.spec)

    def save(folder: Path) -> None:
        for part in (model, tokenizer, KeptFiles(files)):
            part.save_pretrained(folder)

    return Foreign(encoder, family, codec, found, save)


def _of(stated: Mapping[str, Any], name: str) -> tuple[Tensor, Tensor]:
    found = {k: stated[f"{name}_{k}"] for k in ("mean", "std")}
    return mean_and_std(found, of=name, file="processor_config.json", least=_LEAST)


def _actions(stated: Mapping[str, Any], config: Any) -> ActionChunks:
    mean, deviation = _of(stated, "actions")
    if len(mean) > config.max_action_dim:
        raise LoadError(
            f"The statistics of actions are of {len(mean)} numbers, the model makes at most "
            f"{config.max_action_dim}. They do not belong together."
        )
    codec = ActionChunks(config.chunk_size, len(mean), normalisation="mean-std")
    codec.shift.copy_(mean)
    codec.scale.copy_(deviation)
    return codec


def _pictures(found: Recognised, place: Place) -> Any:
    """The image processor; by Pillow where torchvision, which the library's wants, is not there."""
    from transformers.image_processing_backends import PilBackend
    from transformers.image_utils import (
        IMAGENET_STANDARD_MEAN,
        IMAGENET_STANDARD_STD,
        PILImageResampling,
    )
    from transformers.utils import is_torchvision_available

    if is_torchvision_available():
        return load_reader(found, place, "AutoImageProcessor")
    own = {
        "resample": PILImageResampling.BICUBIC,
        "image_mean": IMAGENET_STANDARD_MEAN,
        "image_std": IMAGENET_STANDARD_STD,
        "size": {"max_height": 224, "max_width": 224},
        "default_to_square": False,
        "image_seq_length": 256,
        "pad_size": {"height": 224, "width": 224},
        **dict.fromkeys(("do_resize", "do_rescale", "do_normalize", "do_convert_rgb"), True),
        "do_pad": True,
    }
    return load_reader(found, place, type("PI0ImageProcessor", (PilBackend,), own))


def _seen(value: Any) -> list[Any]:
    """A picture, or one of each camera."""
    several = list(value) if isinstance(value, (list, tuple)) else [value]
    if not several:
        raise ValueError("Expected a picture, or a list of one for each camera; got none.")
    return [to_pil(images.load(one)) for one in several]


def _state(value: Any, *, size: int) -> Tensor:
    """What a robot says of itself (1, S)."""
    return numbers(value, size=size, what="a state")[None]
