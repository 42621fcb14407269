"""An encoder, a model and a codec in a row: P(X | Y)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmgen import hub
from mmgen.adapter import Adapter
from mmgen.backends.foreign import Foreign, Place
from mmgen.backends.loading import load
from mmgen.backends.recognition import is_foreign
from mmgen.chain import Chain, Stage
from mmgen.codes import decode, encode
from mmgen.compose import compose_parts
from mmgen.conditioning import condition, guidance_options
from mmgen.core.adapters import Adapters
from mmgen.core.card import Card
from mmgen.core.codec import Codec
from mmgen.core.conditional import Conditional
from mmgen.core.encoder import Encoder
from mmgen.core.errors import SpecError
from mmgen.core.model import Model
from mmgen.core.options import Option, resolve_options
from mmgen.core.parted import Parted
from mmgen.distribution import MAX_SAMPLES, Distribution
from mmgen.door import Door
from mmgen.given import complete, measure, require_one
from mmgen.guidance.posterior import Posterior
from mmgen.learner import Learner
from mmgen.own_adapters import BothAdapters, OwnAdapters
from mmgen.parted import PartedDistribution
from mmgen.ranked import RankedDistribution, Ranking
from mmgen.source import Source, find_source

__all__ = ["COMPOSED", "MAX_SAMPLES", "Distribution", "Pipeline"]

COMPOSED = "compose"
"""What a saved pipeline that was put together by `Pipeline.compose` calls its recipe."""


class Pipeline(Learner, Door):
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
        foreign: The checkpoint of another library that its parts wrap, if they do.

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
        foreign: Foreign | None = None,
    ) -> None:
        super().__init__(
            encoder=encoder, model=model, codec=codec, condition_dropout=condition_dropout
        )
        self.recipe, self.choices, self.card = recipe, dict(choices or {}), card
        self.foreign = foreign
        self.origin: str | None = None
        self.ranking: Ranking | None = None
        """How samples are chosen from candidates; no part of it, so training leaves it alone."""
        self._aside: tuple[Ranking, dict[str, Any]] | None = None

    @property
    def can_be_saved(self) -> bool:
        """Whether `save_pretrained` knows how it would be built again."""
        return self.foreign is not None or self.recipe is not None

    @cached_property
    def adapters(self) -> Adapters:
        """Small changes of its weights, those that `fit` wrote and those of its own library.

        `load`, `weigh`, `fuse`, `unload` (`mmgen.core.adapters`).

        Raises:
            SpecError: If its weights are spread over several places, or quantised.
        """
        library = None if self.foreign is None else self.foreign.adapters
        if library is not None:
            own = OwnAdapters(self.parts, changed=library.changed)
            return BothAdapters(own, library)
        self.require_movable("change its weights")
        own = OwnAdapters(self.parts, changed=lambda: self._set_ranking_aside(own))
        return own

    def __repr__(self) -> str:
        count = sum(p.numel() for p in self.parts.parameters())
        name = self.recipe or (self.foreign.found.architecture if self.foreign else "by hand")
        return f"Pipeline({name}, X={self.codec.spec.modality}, {count / 1e6:.2f} M parameters)"

    def __rshift__(self, then: Stage) -> Chain:
        """P(X' | Y) through this X: `then` conditioned on what this generates."""
        return Chain(self, then) if isinstance(then, Stage) else NotImplemented

    # The distribution ---------------------------------------------------------------------------

    def options(self) -> tuple[Option, ...]:
        """What `given` and a call take, with defaults and one line each."""
        own = (*self.encoder.options(), *self.model.options(), *self.codec.options())
        if self.model.uses_null:
            own = (*own, *guidance_options(self.encoder))
        return own if self.ranking is None else (*own, self.ranking.option())

    def given(
        self,
        y: Any = None,
        *,
        known: Any = None,
        mask: Any = None,
        operator: Any = None,
        measurement: Any = None,
        noise: float | None = None,
        posterior: str | Posterior | None = None,
        **options: Any,
    ) -> Distribution | PartedDistribution | RankedDistribution:
        """P(X | y), or one for each y of a list; with more that is known of X, if it is given.

        Known entries of X are a value and a mask: samples hold them exactly. A measurement is
        b = A x + s n for a linear operator A and standard normal n, x being the value as its codec
        sees it, floats before rounding: images (3, H, W) in [-1, 1]. For a list of conditions,
        known, mask and measurement are lists of as many.

        Args:
            y: A condition, a list of them, or None for none.
            known: A value of X. What it holds where the mask is false has no influence.
            mask: Boolean array, true where it is known, of the shape of the value or of its last
                axes: (H, W) for an image. For text also spans of characters, "0:12,30:40".
            operator: A, one of `mmgen.operators` or any object with `A` and `A_adjoint`.
            measurement: b, of the shape that A gives, without a batch axis.
            noise: s, in the units of b; 0 if it is exact.
            posterior: "mmps" (if not given) or "split_gibbs", see `mmgen.guidance.posterior`; or a
                function from P(Z | c) and a Measurement to P(Z | c, b).
            options: Those that `options()` lists.

        Raises:
            OptionError: If an option is unknown.
            TypeError, ValueError: If a condition or an option cannot be read, or what is known is
                given in part, or is not finite.
            SpecError: If what is known does not fit X, or the family has no way to use it.
        """
        require_one(
            {"known": known, "mask": mask},
            {"operator": operator, "measurement": measurement, "noise": noise},
            posterior,
        )
        single = self.encoder.is_one(y)
        conditions = [y] if single else list(y)
        if not conditions:
            raise ValueError("Expected at least one condition, got an empty list.")
        settings = resolve_options(self.options(), options)
        own = {o.name: settings[o.name] for o in self.encoder.options()}
        conditions = [self.encoder.asked(one, **own) for one in conditions]
        parted = self._parted(conditions, own)
        if parted is not None:
            if known is not None or operator is not None:
                raise SpecError(
                    "A condition of several parts is answered one by one, so nothing is known of "
                    'the whole answer. Give the parts as a list, or split="never".'
                )

            def of_parts(values: list[Any]) -> Distribution:
                return Distribution(self._conditional(values, settings), self.codec, False)

            return PartedDistribution(of_parts, parted, single)
        conditional, part = self._conditional(conditions, settings), None
        if known is not None:
            values, masks = ([known], [mask]) if single else (list(known), list(mask))
            conditional, part = complete(conditional, self.codec, values, masks)
        if operator is not None:
            conditional = measure(
                conditional,
                self.codec,
                operator=operator,
                values=[measurement] if single else list(measurement),
                noise=noise,
                posterior=posterior or "mmps",
            )
        found = Distribution(conditional, self.codec, single, part)
        count = settings.get("num_candidates", 1)
        if count == 1 or all(one is None for one in conditions):
            return found
        plain = tuple(None if one is None else self.encoder.plain(one) for one in conditions)
        return RankedDistribution(found, self._channel(), plain, count)

    def forget_ranking(self) -> None:
        """Keep every sample from here on: what read the pairs it knew may not read others."""
        if self.ranking is not None:
            self.ranking = None
            self.choices["channel"] = None

    def _set_ranking_aside(self, adapters: Adapters) -> None:
        """Keep every sample while there are adapters, whose pairs its reader may not read."""
        there = bool(adapters.weights or adapters.fused)
        if there and self.ranking is not None:
            self._aside = (self.ranking, dict(self.choices))
            self.forget_ranking()
        elif not there and self._aside is not None:
            (self.ranking, self.choices), self._aside = self._aside, None

    def _channel(self) -> Stage:
        """The channel of its ranking, loaded when it is first needed."""
        channel = self.ranking.channel
        if isinstance(channel, str):
            # Found among the recipes and nowhere else, since a saved file may name it.
            name = hub.find_recipe(channel).name
            channel = type(self).from_pretrained(name, device=self.device)
            self.ranking = replace(self.ranking, channel=channel)
        return channel

    def _conditional(self, conditions: Sequence[Any], settings: Mapping[str, Any]) -> Conditional:
        """P(Z | c) of conditions that are answered whole."""
        with torch.no_grad():
            c = condition(self.encoder, self.model, conditions, settings)
            return self.model(c, **{o.name: settings[o.name] for o in self.model.options()})

    def _parted(
        self, conditions: Sequence[Any], own: Mapping[str, Any]
    ) -> tuple[Parted, ...] | None:
        """Conditions in their parts, by the encoder's own options, if any of them has some."""
        found = [self.encoder.parted(y, **own) for y in conditions]
        if not any(found):
            return None
        return tuple(p or Parted.of_one(y) for p, y in zip(found, conditions, strict=True))

    def encode(self, x: Any, y: Any = None, **options: Any) -> Tensor:
        """The code of a value, about standard normal, or of each of a list.

        Args:
            x: A value, or a list of them.
            y: The condition of all, or a list of one each, or None for none.
            options: Of `given`.

        Returns:
            (*code), or (B, *code) for a list.

        Raises:
            SpecError: If the family has no codes.
            ValueError: If there is not one condition for each value.
        """
        return encode(self, x, y, **options)

    def decode(self, code: Tensor, y: Any = None, **options: Any) -> list[Any]:
        """The values of codes (B, *code); arguments and errors as those of `encode`."""
        return decode(self, code, y, **options)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Pipeline:
        """Move to a device or a precision, in place. Statistics stay in float32.

        Raises:
            SpecError: If its weights are spread over several places, or quantised.
        """
        self.require_movable("move it")
        self.parts.to(device)
        if dtype is not None:
            for parameter in self.parts.parameters():
                parameter.data = parameter.data.to(dtype)
        return self

    def require_movable(self, what: str) -> None:
        if self.foreign is not None and self.foreign.fixed:
            raise SpecError(
                f"This pipeline stays where it was loaded: {self.foreign.fixed}. To {what}, load "
                "it again without device_map, offload and quantization, or with another device."
            )

    # Files --------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
        engine: str | None = None,
        compute_type: str = "float32",
        base: str | os.PathLike[str] | None = None,
        **place: Any,
    ) -> Pipeline:
        """Load a pipeline.

        Args:
            name: A folder that `save_pretrained` or `fit` wrote, or the Hub id `owner/name` that
                it was pushed to; a shipped recipe, `<y>-to-<x>` or `<y>-to-<x>:<recipe>`; or a
                checkpoint of another library, a folder or a Hub id (docs/checkpoints.md).
            device: Where it shall compute; the CPU if None, or where `device_map` says.
            dtype: In which precision.
            engine: "ctranslate2" to run a language or translation model of transformers in it.
            compute_type: In which precision an engine computes, such as "int8".
            base: Of an adapter alone: the pipeline to change, if not the one that it names.
            place: Of a Hub id: where it is (revision, cache_dir, token, local_files_only;
                `mmgen.backends.foreign.Place`). Of a checkpoint of another library also where its
                weights go, and in how many bits (device_map, max_memory, offload_folder, offload,
                quantization; `mmgen.backends.placement.Placement`).

        Raises:
            UnknownNameError: If there is no such pipeline. The message lists the close ones.
            LoadError: If its files are missing, cut short, altered or too new.
        """
        asked = str(hub.inner_folder(name))
        source = find_source(name, base=base, where=place)
        adapters = [Adapter.load(folder) for folder in source.adapters]
        own = {"engine": engine, "compute_type": compute_type}
        if not adapters:
            own |= {"dtype": dtype, "device": device}
        pipe = cls._of_source(source, **own)
        if not adapters:
            return pipe
        for adapter in reversed(adapters):
            adapter.add_to(pipe.parts)
            pipe.card = adapter.card or pipe.card
        pipe.forget_ranking()
        pipe.origin = asked
        return pipe.to(device or "cpu", dtype)

    @classmethod
    def _of_source(
        cls,
        source: Source,
        *,
        engine: str | None,
        compute_type: str,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Pipeline:
        """The pipeline without the adapters that change it."""
        name, place = source.name, source.where
        if source.folder is None and is_foreign(name):
            own = {"dtype": dtype, "engine": engine, "compute_type": compute_type}
            asked = Place.of(place, device)
            foreign = load(name, asked, **own)
            parts = {"encoder": foreign.encoder, "model": foreign.model, "codec": foreign.codec}
            # Their conditions have no null that could be learnt.
            pipe = cls(**parts, foreign=foreign, condition_dropout=0.0)
            pipe.card, pipe.origin = hub.read_foreign_card(name), name
            return pipe if asked.placement.given else pipe.to(device or "cpu", dtype)
        if engine is not None:
            raise TypeError(f"{name!r} is a pipeline of mmgen, which no engine runs.")
        if place:
            raise TypeError(
                f"{name!r} is a pipeline of mmgen; checkpoints of other libraries alone take "
                f"{', '.join(place)}."
            )
        folder = source.on_hub.fetch() if source.on_hub else source.folder or Path(name)
        if folder.is_dir():
            saved = hub.read_folder(folder)
            recipe, card = saved.recipe, saved.card
        else:
            found = hub.find_recipe(name)
            saved = hub.read_shipped(found)
            recipe, card = found.name, found.card
        pipe = cls.build(recipe, **saved.choices)
        pipe.card, pipe.origin = card, name
        hub.fill_parts(pipe.parts, saved)
        return pipe.to(device or "cpu", dtype)

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
        """A pipeline by the names of its parts: x, y, family, size, labels, codec.

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

        What was loaded from a checkpoint of another library is written as that library does.

        Raises:
            SpecError: If the pipeline was built by hand, so that nothing could build it again.
            OSError: If it cannot be written; what was there before is still there.
        """
        if self.foreign is not None:
            about = self.foreign.about()
            if self.card is not None:
                about["card"] = self.card.as_dict()
            return hub.write_foreign(Path(folder), self.foreign.save, about)
        if not self.can_be_saved:
            raise SpecError(
                "This pipeline was put together by hand, so a saved folder could not be built "
                "again. Build it with Pipeline.build(recipe) or Pipeline.compose(...)."
            )
        return hub.write_folder(
            Path(folder), self.parts, recipe=self.recipe, choices=self.choices, card=self.card
        )
