"""Pretrained speech and music models: P(sound | text) by the library's own call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.called import CalledConditional
from mmgen.backends.given import GivenCondition
from mmgen.core.condition import Condition
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.options import Option
from mmgen.core.spec import ConditionSpec, Spec

__all__ = ["OPTIONS", "SpeechModel"]

_VITS = (
    Option("speaking_rate", 1.0, "How fast is spoken.", minimum=0.1, maximum=10.0),
    Option("noise_scale", 0.667, "How much the voice varies.", minimum=0.0, maximum=10.0),
    Option("noise_scale_duration", 0.8, "How much the rhythm varies.", minimum=0.0, maximum=10.0),
    Option("speaker", None, "Number of the voice.", minimum=0, optional=True, kind=int),
)
_DRAWN = (
    Option("temperature", 1.0, "Below 1 likelier sounds.", minimum=0.01, maximum=100.0),
    Option("max_new_tokens", None, "Longest sound, in codes.", minimum=1, optional=True, kind=int),
)

OPTIONS: Mapping[str, tuple[Option, ...]] = {
    "VitsModel": _VITS,
    "MusicgenForConditionalGeneration": (
        *_DRAWN,
        Option("guidance_scale", 3.0, "How strongly to follow the text.", minimum=1.0),
    ),
}
"""What each class can be asked for."""


class SpeechModel(Model):
    """A transformers model that makes a sound of a text.

    Such models draw from torch's global generator; here it has the state of each sample's own for
    the time of a call, and its own back after it. Texts are spoken one at a time, since the
    padding of shorter ones is heard otherwise.

    Args:
        model: A model of one of the classes of `OPTIONS`.
        reader: Its tokenizer or processor.
        spec: Of its sounds.
    """

    condition = ConditionSpec()

    def __init__(self, model: nn.Module, reader: Any, *, spec: Spec) -> None:
        super().__init__()
        self.model, self.reader, self.spec = model, reader, spec

    def options(self) -> tuple[Option, ...]:
        listed = OPTIONS[type(self.model).__name__]
        return tuple(replace(o, default=getattr(self.model, o.name, o.default)) for o in listed)

    def forward(self, c: Condition, **options: Any) -> SpeechConditional:
        if not isinstance(c, GivenCondition):
            raise SpecError("A speech model takes conditions from AsGiven.")
        chosen = {o.name: options.get(o.name, o.default) for o in self.options()}
        return SpeechConditional(model=self, spec=self.spec, c=c, options=chosen)

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        raise SpecError("Training of pretrained speech models is not there yet.")

    def speak(self, text: str, options: Mapping[str, Any]) -> Tensor:
        """The sound of a text (N, channels)."""
        device = next(self.parameters()).device
        inputs = {k: v.to(device) for k, v in self.reader(text=text, return_tensors="pt").items()}
        if type(self.model).__name__ == "VitsModel":
            with self._set({k: v for k, v in options.items() if k != "speaker"}):
                found = self.model(**inputs, speaker_id=options["speaker"])
            return found.waveform[0, : int(found.sequence_lengths[0]), None]
        asked = {k: v for k, v in options.items() if v is not None}
        return self.model.generate(**inputs, do_sample=True, **asked)[0].mT

    @contextmanager
    def _set(self, named: Mapping[str, Any]) -> Iterator[None]:
        """The model with other values of its own attributes."""
        before = {name: getattr(self.model, name) for name in named}
        self.model.__dict__.update(named)
        try:
            yield
        finally:
            self.model.__dict__.update(before)


@dataclass(frozen=True, kw_only=True)
class SpeechConditional(CalledConditional):
    """P(sound | text) by the library's call.

    Args:
        model: The model.
    """

    model: SpeechModel

    def _call(
        self, values: Mapping[str, Any], generators: Sequence[torch.Generator]
    ) -> list[Tensor]:
        found = []
        for generator in generators:
            with _drawing_from(generator):
                found.append(self.model.speak(values["text"], self.options).float().cpu())
        return found


@contextmanager
def _drawing_from(generator: torch.Generator) -> Iterator[None]:
    """torch's global generator on the CPU in the state of another, and that one moved on."""
    with torch.random.fork_rng():
        torch.set_rng_state(generator.get_state())
        yield
        generator.set_state(torch.get_rng_state())
