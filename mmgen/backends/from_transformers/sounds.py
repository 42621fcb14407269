"""Sounds as what the encoders of pretrained speech recognition models make of them.

Shape letters: B batch, T frames, F features, M states, P tokens that every text begins with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from mmgen.backends.from_transformers.beginnings import UNTOLD, Beginnings
from mmgen.backends.from_transformers.decoders import follows
from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.spec import ConditionSpec
from mmgen.modalities.audio.files import load_batch

__all__ = ["Sounds"]

_VALUE_KEYS = {"audio", "language", "task"}
# Of a model that tells no limit: an hour, which is what memory holds.
_MOST_SECONDS = 3600


class Sounds(Encoder):
    """Sounds as the states of a pretrained encoder, and what its decoder begins with.

    A value is a sound, as the audio modality takes it, or {"audio": a sound, "language": ...,
    "task": ...} for a model that knows several. It has one channel and the model's own sampling
    rate; another is refused, never changed without being asked. So is one that is longer than the
    model reads, since nothing is cut. None is an error: such a model always hears something.

    Sounds of several lengths are read apart, because the convolutions of these encoders see the
    padding.

    Args:
        model: A transformers model of speech recognition.
        extractor: Its feature extractor.
        encoder: The part of it that hears.
        width: D, of the states that it gives.
        beginnings: What its decoder begins with; None if it has no decoder.
        least_samples: Of a sound that fills one frame.
    """

    modality = "audio"

    def __init__(
        self,
        model: nn.Module,
        extractor: Any,
        *,
        encoder: nn.Module,
        width: int,
        beginnings: Beginnings | None = None,
        least_samples: int = 1,
    ) -> None:
        super().__init__()
        # Not a part: the pipeline's model holds it, and the encoder is a part of it.
        self._whole = [model]
        self.encoder, self.extractor, self.width = encoder, extractor, width
        self.beginnings, self.least_samples = beginnings, least_samples
        self.name = extractor.model_input_names[0]
        self.most_frames = getattr(model.config, "max_source_positions", None)
        # Of a window that all sounds fill, if that is how the model hears.
        self.most_samples = getattr(extractor, "n_samples", None)

    @property
    def spec(self) -> ConditionSpec:
        begun = None if self.beginnings is None else self.beginnings.count
        return ConditionSpec(token_dim=self.width, vector_dim=begun)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        """Sounds to features (B, T, F), or (B, F, T) of one length, and more.

        Returns:
            `features`, how many rows of them each has `lengths` (B,), the ids that its text begins
            with `begin` (B, P), -1 for a language that is not told, and `given` (B,).
        """
        asked = [_parts(value) for value in values]
        rows = [self._features(parts["audio"]) for parts in asked]
        first = self.beginnings or Beginnings(())
        begins = [first.ids(p.get("language"), p.get("task")) for p in asked]
        return {
            "features": pad_sequence(rows, batch_first=True),
            "lengths": torch.tensor([len(row) for row in rows]),
            "begin": torch.tensor(begins, dtype=torch.long),
            "given": torch.ones(len(rows), dtype=torch.bool),
        }

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        weight = next(self.parameters())
        features, lengths = tensors["features"], tensors["lengths"]
        states: list[Tensor] = [weight] * len(features)
        for length in lengths.unique().tolist():
            alike = (lengths == length).nonzero()[:, 0].tolist()
            read = features[alike, :length].to(weight.device, weight.dtype)
            found = self.encoder(**{self.name: read}).last_hidden_state
            for i, row in zip(alike, found, strict=True):
                states[i] = row
        tokens = pad_sequence(states, batch_first=True)
        counts = torch.tensor([len(row) for row in states], device=weight.device)
        mask = torch.arange(tokens.shape[1], device=weight.device) < counts[:, None]
        if self.beginnings is None:
            return Condition(len(tokens), tokens, mask)
        begin = tensors["begin"].to(weight.device)
        c = Condition(len(tokens), tokens, mask, begin)
        if not (begin == UNTOLD).any():
            return c
        return Condition(c.batch, tokens, mask, self._heard(begin, c))

    def _heard(self, begin_BP: Tensor, c: Condition) -> Tensor:
        """The beginnings with the likeliest language of each sound in place of one not told.

        Source: Robust Speech Recognition via Large-Scale Weak Supervision (Radford et al., 2022),
        Sec. 2.3, arXiv:2212.04356
        """
        place = len(self.beginnings.start)
        logits, _ = follows(self._whole[0], begin_BP[:, :place], c, None)
        known = torch.tensor(sorted(set(self.beginnings.languages.values())), device=logits.device)
        likeliest = known[logits[:, -1, known].argmax(1)]
        begin_BP = begin_BP.clone()
        untold = begin_BP[:, place] == UNTOLD
        begin_BP[untold, place] = likeliest[untold]
        return begin_BP

    def _features(self, sound: Any) -> Tensor:
        """The features of one sound, time in rows unless its length is fixed."""
        rate, most = self.extractor.sampling_rate, self.most_samples
        samples, _ = load_batch([sound], sampling_rate=rate, max_samples=_MOST_SECONDS * rate)
        if most is not None and samples.shape[1] > most:
            raise self._too_long(samples.shape[1] / rate, f"{most / rate:g} s")
        if samples.shape[1] < self.least_samples:
            raise self._unheard(samples.shape[1])
        # Some divide by the spread of the features, which may be none.
        with np.errstate(divide="ignore", invalid="ignore"):
            read = self.extractor(samples[0].numpy(), sampling_rate=rate, return_tensors="pt")
        features = read[self.name][0]
        if not len(features) or not features.isfinite().all():
            raise self._unheard(samples.shape[1])
        if most is None and self.most_frames is not None and len(features) > self.most_frames:
            raise self._too_long(samples.shape[1] / rate, f"{self.most_frames} frames")
        return features

    def _unheard(self, count: int) -> ValueError:
        return ValueError(
            f"Nothing can be heard in this sound of {count} samples: it is silent, or too short "
            "for one frame. Give a longer one, or another."
        )

    def _too_long(self, seconds: float, most: str) -> ValueError:
        return ValueError(
            f"Expected a sound of at most {most}, got {seconds:g} s. The model hears no more at "
            "once, and nothing is cut. Give it in parts, a list of sounds, best cut where nobody "
            "speaks."
        )


def _parts(value: Any) -> Mapping[str, Any]:
    if value is None:
        raise ValueError("This model makes a text of a sound. Give one, not None.")
    if not isinstance(value, Mapping) or "audio" not in value:
        return {"audio": value}
    unknown = sorted(set(value) - _VALUE_KEYS)
    if unknown:
        raise TypeError(
            'Expected a sound, or {"audio": a sound, "language": ..., "task": ...}; '
            f"{unknown[0]!r} is none of these."
        )
    return value
