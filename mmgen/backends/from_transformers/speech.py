"""Pretrained speech and music models: P(sound | text) by the library's own call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.called import CalledConditional, OnCalledStep
from mmgen.backends.from_transformers.vits import VitsLearning
from mmgen.backends.from_transformers.voice import Parts
from mmgen.backends.from_transformers.voices import VOICES
from mmgen.backends.given import GivenCondition
from mmgen.core.condition import Condition
from mmgen.core.conditional import Streaming
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.options import Option
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec

__all__ = ["SpeechModel"]


class SpeechModel(Model):
    """A transformers model that makes a sound of a text.

    Such models draw from torch's global generator; here it has the state of each sample's own for
    the time of a call, and its own back after it. Texts are spoken one at a time, since the
    padding of shorter ones is heard otherwise.

    Args:
        model: A model of one of the classes of `VOICES`.
        reader: Its tokenizer or processor.
        spec: Of its sounds.
        vocoder: What makes a sound of its spectrogram, if it does not do so itself.
        learning: What it learns by, if it can.
    """

    condition = ConditionSpec()

    def __init__(
        self,
        model: nn.Module,
        reader: Any,
        *,
        spec: Spec,
        vocoder: nn.Module | None = None,
        learning: VitsLearning | None = None,
    ) -> None:
        super().__init__()
        self.learning = learning
        self.model, self.reader, self.spec, self.vocoder = model, reader, spec, vocoder
        self._voice = VOICES[type(model).__name__]

    def options(self) -> tuple[Option, ...]:
        return self._voice.options(self.model, self.reader)

    def forward(self, c: Condition, **options: Any) -> SpeechConditional:
        if not isinstance(c, GivenCondition):
            raise SpecError("A speech model takes conditions from AsGiven.")
        chosen = {o.name: options.get(o.name, o.default) for o in self.options()}
        return SpeechConditional(model=self, spec=self.spec, c=c, options=chosen)

    @property
    def phases(self) -> tuple[str, ...]:
        """Those of what it learns by."""
        return () if self.learning is None else self.learning.phases

    def phase_parameters(self, phase: str) -> Iterable[nn.Parameter]:
        return self.learning.phase_parameters(phase)

    def loss(
        self,
        latent: Latent,
        c: Condition,
        *,
        generator: torch.Generator | None = None,
        phase: str | None = None,
    ) -> Tensor:
        """Loss of each example (B,) in a phase; None for what needs no discriminator.

        Raises:
            SpecError: If models of this class cannot be trained.
        """
        if self.learning is None:
            raise SpecError(
                f"Training of {type(self.model).__name__} is not there yet. Of pretrained speech "
                "models VitsModel can be trained."
            )
        texts = [values["text"] for values in c.values]
        if generator is None:
            return self.learning.loss(latent, texts, phase=phase)
        with _drawing_from(generator, latent.z.device):
            return self.learning.loss(latent, texts, phase=phase)

    def speak(self, values: Mapping[str, Any], options: Mapping[str, Any]) -> Tensor:
        """The sound (N, channels) of a text and what else is given."""
        device = next(self.parameters()).device
        return self._voice.speak(
            Parts(self.model, self.reader, self.vocoder, device), values, options
        )


@dataclass(frozen=True, kw_only=True)
class SpeechConditional(CalledConditional, Streaming):
    """P(sound | text) by the library's call.

    A sound comes at once, so that one of a text of several sentences grows by sentences.

    Args:
        model: The model.
    """

    model: SpeechModel

    def stream(self, generators: Generators | None = None) -> Iterator[Latent]:
        found = self.sample(1, generators)
        yield Latent(found.z[0], found.lengths[0])

    def _call(
        self,
        values: Mapping[str, Any],
        generators: Sequence[torch.Generator],
        on_step: OnCalledStep,
    ) -> list[Tensor]:
        found, device = [], next(self.model.parameters()).device
        for done, generator in enumerate(generators, start=1):
            with _drawing_from(generator, device):
                found.append(self.model.speak(values, self.options).float().cpu())
            on_step(done, len(generators))
        return found


@contextmanager
def _drawing_from(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """torch's global generators in the state of another on the CPU, and that one moved on."""
    with torch.random.fork_rng():
        torch.set_rng_state(generator.get_state())
        if device.type == "cuda":
            torch.cuda.manual_seed_all(generator.initial_seed())
        yield
        generator.set_state(torch.get_rng_state())
