"""An encoder, a model and a codec in a row: P(X | Y)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen import hub
from mmgen.chain import Chain, Stage
from mmgen.compose import compose_parts
from mmgen.core.card import Card
from mmgen.core.codec import Codec, Lossless
from mmgen.core.condition import Condition
from mmgen.core.conditional import Conditional, LogProb, Progress, Tractable
from mmgen.core.encoder import Encoder
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.options import Option, resolve_options
from mmgen.core.rng import Generators, expand_seeds

__all__ = ["COMPOSED", "MAX_SAMPLES", "Distribution", "Pipeline"]

COMPOSED = "compose"
"""What a saved pipeline that was put together by `Pipeline.compose` calls its recipe."""

MAX_SAMPLES = 10_000
"""Most samples of one call, all conditions together."""


class Pipeline:
    """P(X | Y) between values that people hold.

    Args:
        encoder: Y to c.
        model: c to P(Z | c).
        codec: Z to X and back.
        condition_dropout: How often a condition is withheld in training, so that the model also
            knows P(X) and P(X | part of Y).
        recipe: Name of the recipe that builds the same parts, if there is one.
        choices: What to pass to that recipe's build().
        card: Its card.

    Raises:
        SpecError: If the parts do not fit together.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        model: Model,
        codec: Codec,
        condition_dropout: float = 0.1,
        recipe: str | None = None,
        choices: Mapping[str, Any] | None = None,
        card: Card | None = None,
    ) -> None:
        model.spec.require(codec.spec, by="The model", giver="the codec")
        model.condition.require(encoder.spec, by="The model", giver="the encoder")
        self.parts = nn.ModuleDict({"encoder": encoder, "model": model, "codec": codec}).eval()
        self.condition_dropout = condition_dropout
        self.recipe, self.choices, self.card = recipe, dict(choices or {}), card

    @property
    def encoder(self) -> Encoder:
        """Y to c."""
        return self.parts["encoder"]

    @property
    def model(self) -> Model:
        """c to P(Z | c)."""
        return self.parts["model"]

    @property
    def codec(self) -> Codec:
        """Z to X and back."""
        return self.parts["codec"]

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.model.parameters()).device

    def __repr__(self) -> str:
        count = sum(p.numel() for p in self.parts.parameters())
        name = self.recipe or "by hand"
        return f"Pipeline({name}, X={self.codec.spec.modality}, {count / 1e6:.2f} M parameters)"

    def __rshift__(self, then: Stage) -> Chain:
        """P(X' | Y) through this X: `then` conditioned on what this generates."""
        return Chain(self, then) if isinstance(then, Stage) else NotImplemented

    # The distribution ---------------------------------------------------------------------------

    def options(self) -> tuple[Option, ...]:
        """What `given` and a call take, with defaults and one line each."""
        options = (*self.encoder.options(), *self.model.options(), *self.codec.options())
        if self.model.uses_null:
            negative = Option(
                "negative_prompt",
                None,
                "What guidance leads away from.",
                optional=True,
                kind=object,
            )
            options = (*options, negative)
        return options

    def given(self, y: Any = None, **options: Any) -> Distribution:
        """P(X | y), or one for each y of a list.

        Args:
            y: A condition, a list of them, or None for none.
            options: Those that `options()` lists.

        Raises:
            OptionError: If an option is unknown.
            TypeError, ValueError: If a condition or an option cannot be read.
        """
        single = not isinstance(y, (list, tuple))
        conditions = [y] if single else list(y)
        if not conditions:
            raise ValueError("Expected at least one condition, got an empty list.")
        settings = resolve_options(self.options(), options)
        self.encoder.check(conditions, **{o.name: settings[o.name] for o in self.encoder.options()})
        negative = settings.get("negative_prompt")
        if negative is not None:
            own = {o.name: settings[o.name] for o in self.encoder.options()}
            self.encoder.check([negative], **own)
        with torch.no_grad():
            c = self._encode(conditions)
            if self.model.uses_null:
                c = c.with_null(self._encode([negative] * len(conditions)))
            own = {o.name: settings[o.name] for o in self.model.options()}
            conditional = self.model(c, **own)
        return Distribution(conditional, self.codec, single)

    def __call__(
        self,
        y: Any = None,
        *,
        num_samples: int | None = None,
        seed: int | Sequence[int] | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Any:
        """Sample: one value for one condition, a list for a list.

        Args:
            y: A condition, a list of them, or None for none.
            num_samples: If given, a list of so many for each condition.
            seed: s for s, s + 1, ... over all samples, conditions outermost; or a list of one each.
            progress: Called with (steps done, steps in all).
            options: Those that `options()` lists.

        Returns:
            A value of X; a list of them for several conditions; a list of num_samples of them in
            place of each if num_samples is given.
        """
        count = 1 if num_samples is None else num_samples
        samples = self.given(y, **options).sample(count, seed=seed, progress=progress)
        if num_samples is not None:
            return samples
        return samples[0] if not isinstance(y, (list, tuple)) else [s[0] for s in samples]

    # Training -----------------------------------------------------------------------------------

    def prepare(self, pairs: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
        """Pairs (y, x) to tensors on the CPU, for `loss`."""
        return {
            "y": self.encoder.prepare([y for y, _ in pairs]),
            "x": self.codec.prepare([x for _, x in pairs]),
        }

    @property
    def needs_statistics(self) -> bool:
        """Whether the encoder or the codec lacks vocabularies or statistics."""
        return not (self.encoder.fitted and self.codec.fitted)

    def fit_statistics(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        """Take from pairs (y, x) the vocabularies and statistics that are not there yet.

        What is there stays: a model that was trained with a vocabulary knows no other.
        """
        if not self.encoder.fitted:
            self.encoder.fit([y for y, _ in pairs])
        if not self.codec.fitted:
            self.codec.fit([x for _, x in pairs])

    def loss(
        self,
        tensors: Mapping[str, Any],
        *,
        generator: torch.Generator | None = None,
        condition_dropout: float | None = None,
        phase: str | None = None,
    ) -> Tensor:
        """Training loss of each pair (B,).

        Args:
            tensors: What `prepare` gave, on the pipeline's device.
            generator: For every draw.
            condition_dropout: In place of the pipeline's own; 0 for validation.
            phase: Which of the model's phases, if it has some; the first of them if None.
        """
        rate = self.condition_dropout if condition_dropout is None else condition_dropout
        y = self.encoder.drop(tensors["y"], rate=rate, generator=generator)
        with torch.no_grad():
            latent = self.codec.encode(tensors["x"], generator=generator)
        turn = {} if phase is None else {"phase": phase}
        return self.model.loss(latent, self.encoder.encode(y), generator=generator, **turn)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Pipeline:
        """Move to a device or a precision, in place. Statistics stay in float32."""
        self.parts.to(device)
        if dtype is not None:
            for parameter in self.parts.parameters():
                parameter.data = parameter.data.to(dtype)
        return self

    # Files --------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Pipeline:
        """Load a pipeline.

        Args:
            name: A folder that `save_pretrained` wrote, or a shipped recipe: `<y>-to-<x>` or
                `<y>-to-<x>:<recipe>`.
            device: Where it shall compute.
            dtype: In which precision.

        Raises:
            UnknownNameError: If there is no such pipeline. The message lists the close ones.
            LoadError: If its files are missing, cut short, altered or too new.
        """
        folder = Path(name)
        if folder.is_dir():
            saved = hub.read_folder(folder)
            recipe, card = saved.recipe, saved.card
        else:
            found = hub.find_recipe(str(name))
            saved = hub.read_shipped(found)
            recipe, card = found.name, found.card
        pipe = cls.build(recipe, **saved.choices)
        pipe.card = card
        hub.fill_parts(pipe.parts, saved)
        return pipe.to(device, dtype)

    @classmethod
    def build(cls, recipe: str, **choices: Any) -> Pipeline:
        """A recipe's pipeline with fresh weights."""
        if recipe == COMPOSED:
            return cls.compose(**choices)
        found = hub.find_recipe(recipe)
        pipe = found.module().build(**choices)
        pipe.recipe, pipe.choices, pipe.card = found.name, choices, found.card
        return pipe

    @classmethod
    def compose(cls, **choices: Any) -> Pipeline:
        """A pipeline by the names of its parts: x, y, family, size, labels.

        Args:
            choices: Arguments of `mmgen.compose.compose_parts`.

        Raises:
            UnknownNameError, SpecError: If a name is unknown, or the parts do not fit.
        """
        encoder, model, codec = compose_parts(**choices)
        return cls(encoder=encoder, model=model, codec=codec, recipe=COMPOSED, choices=choices)

    @classmethod
    def debug(cls, recipe: str) -> Pipeline:
        """A recipe's tiny pipeline with random weights, for tests."""
        found = hub.find_recipe(recipe)
        module = found.module()
        pipe = module.debug()
        pipe.recipe, pipe.choices, pipe.card = found.name, dict(module.DEBUG), found.card
        return pipe

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Write a folder that `from_pretrained` takes. It appears whole or not at all.

        Raises:
            SpecError: If the pipeline was built by hand, so that nothing could build it again.
            OSError: If it cannot be written; what was there before is still there.
        """
        if self.recipe is None:
            raise SpecError(
                "This pipeline was put together by hand, so a saved folder could not be built "
                "again. Build it with Pipeline.build(recipe) or Pipeline.compose(...)."
            )
        return hub.write_folder(
            Path(folder), self.parts, recipe=self.recipe, choices=self.choices, card=self.card
        )

    def _encode(self, conditions: Sequence[Any]) -> Condition:
        return self.encoder.encode(self.encoder.prepare(conditions)).to(
            self.device, next(self.model.parameters()).dtype
        )


@dataclass(frozen=True)
class Distribution:
    """P(X | y) for the conditions of one `given`.

    Args:
        conditional: The same in latents.
        codec: Latents to values.
        single: Whether there is one condition, not a list.
    """

    conditional: Conditional
    codec: Codec
    single: bool

    def sample(
        self,
        num_samples: int = 1,
        *,
        seed: int | Sequence[int] | None = None,
        progress: Progress | None = None,
    ) -> list[Any]:
        """A list of values for one condition, a list of such lists for several.

        Raises:
            ValueError: If num_samples is below 1 or beyond MAX_SAMPLES, or the seeds do not fit.
        """
        batch = self.conditional.batch
        if isinstance(num_samples, bool) or not isinstance(num_samples, int):
            raise TypeError(f"num_samples is an integer, got {num_samples!r}.")
        if not 1 <= num_samples * batch <= MAX_SAMPLES:
            raise ValueError(
                f"num_samples is at least 1 and at most {MAX_SAMPLES} over all conditions, got "
                f"{num_samples} for {batch}. Draw more in several calls with other seeds."
            )
        generators = Generators.from_seed(seed, num_samples=num_samples, batch=batch)
        with torch.no_grad():
            latent = self.conditional.sample(num_samples, generators, progress=progress)
            flat = self.codec.present(self.codec.decode(latent.flatten()))
        rows = [[flat[n * batch + b] for n in range(num_samples)] for b in range(batch)]
        return rows[0] if self.single else rows

    def log_prob(self, x: Any, *, seed: int | Sequence[int] = 0) -> LogProb:
        """log p(x | y) in nats.

        Args:
            x: A value for one condition, a list of one each for several.
            seed: For dequantisation and for estimates.

        Returns:
            A record with nats (B,). With a lossless codec it is the density of x; with any other,
            that of its latent, and `how` says so.

        Raises:
            SpecError: If the model's family has no density.
        """
        if not isinstance(self.conditional, Tractable):
            raise SpecError(f"{type(self.conditional).__name__} can be sampled but has no density.")
        values = [x] if self.single else list(x)
        batch = self.conditional.batch
        if len(values) != batch:
            raise ValueError(f"Expected {batch} values, one for each condition, got {len(values)}.")
        tensors = self.codec.prepare(values)
        seeds = expand_seeds(seed, batch)
        rows = [
            self.codec.encode(
                self.codec.prepare([v]), generator=torch.Generator("cpu").manual_seed(s)
            )
            for v, s in zip(values, seeds, strict=True)
        ]
        latent = Latent(torch.cat([r.z for r in rows]))
        found = self.conditional.log_prob(latent, Generators([seeds]))
        if not isinstance(self.codec, Lossless):
            return replace(found, how=f"{found.how}; density of the latent, the codec loses some")
        return replace(found, nats=found.nats + self.codec.log_volume(tensors).to(found.nats))
