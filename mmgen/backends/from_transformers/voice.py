"""What makes a sound of a text: a model of transformers, and how its class is asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmgen.backends.foreign import Place
from mmgen.backends.from_transformers.vits import VitsLearning
from mmgen.backends.recognition import Recognised
from mmgen.core.npy import load_array
from mmgen.core.options import Option
from mmgen.modalities.audio.files import load_batch

__all__ = ["Counted", "Parts", "Voice", "given", "reference", "speaker", "with_transcript"]

# Of a sound whose voice is to be imitated.
_MOST_SECONDS = 60


@dataclass(frozen=True)
class Parts:
    """What makes a sound.

    Args:
        model: A model of one of the classes of `VOICES`.
        reader: Its tokenizer or processor.
        vocoder: What makes a sound of its spectrogram, if it does not do so itself.
        device: Where it computes.
    """

    model: nn.Module
    reader: Any
    vocoder: nn.Module | None
    device: torch.device

    def read(self, text: str, **how: Any) -> dict[str, Any]:
        """What the model takes for a text."""
        return self.on_device(self.reader(text=text, return_tensors="pt", **how))

    def on_device(self, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What a reader gives, where the model computes."""
        dtype = next(self.model.parameters()).dtype
        moved = {name: value.to(self.device) for name, value in found.items()}
        real = {n: x.to(dtype) for n, x in moved.items() if _is_real(x)}
        return moved | real


def _is_real(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


@dataclass(frozen=True)
class Counted:
    """A tokenizer as `AsGiven` takes one, that is to refuse what its model would cut.

    Args:
        tokenizer: The tokenizer.
        model_max_length: Most tokens that the model reads.
        add_special_tokens: Whether those that the tokenizer puts around a text are among them.
    """

    tokenizer: Any
    model_max_length: int
    add_special_tokens: bool = True

    def __call__(self, text: str, **how: Any) -> Any:
        return self.tokenizer(text, add_special_tokens=self.add_special_tokens, **how)


@dataclass(frozen=True)
class Voice:
    """How one class is asked.

    Args:
        speak: (parts, values of the condition, options) to a sound (N, channels).
        options: (model, reader) to what a call takes.
        rate: (model, vocoder) to samples per second, in Hz.
        counts: (model, reader) to what tells the length of a text, where there is a longest one.
        parts: Those of a condition, none of which it may lack.
        optional: Those that it may lack.
        together: What refuses conditions whose parts do not go together.
        reads: (model, reader) to what reads the parts that are no text.
        files: Names of the files that phonemes are read by, where no class of transformers does.
        vocoder: Name of the class that makes a sound of its spectrogram or codes, and the
            checkpoint of it that is taken if there is none beside the weights.
        reader: (what was recognised, its place, the vocoder) to its processor, where that needs
            more than its files.
        learning: (model, reader) to what it learns by, if it can be trained.
    """

    speak: Callable[[Parts, Mapping[str, Any], Mapping[str, Any]], Tensor]
    options: Callable[[nn.Module, Any], tuple[Option, ...]]
    rate: Callable[[nn.Module, nn.Module | None], int] = lambda model, _: model.config.sampling_rate
    counts: Callable[[nn.Module, Any], Counted] | None = None
    parts: tuple[str, ...] = ("text",)
    optional: tuple[str, ...] = ()
    together: Callable[[Mapping[str, Any]], None] | None = None
    reads: Callable[[nn.Module, Any], Mapping[str, Callable[[Any], Any]]] = lambda *_: {}
    files: tuple[str, ...] = ()
    vocoder: tuple[str, str] | None = None
    reader: Callable[[Recognised, Place, nn.Module | None], Any] | None = None
    learning: Callable[[nn.Module, Any], VitsLearning] | None = None


def speaker(value: Any, *, size: int) -> Tensor:
    """An embedding of a speaker (size,).

    Args:
        value: Array, tensor or list of numbers (size,) or (1, size), or the path of a .npy file.
        size: What the model takes.

    Raises:
        TypeError: If it is no array of numbers.
        ValueError: If it has another shape, is not finite, or is zero.
    """
    if isinstance(value, (str, os.PathLike)):
        value = load_array(value, what="a speaker embedding")
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(
            f"A speaker embedding is an array of {size} numbers, or the path of a .npy file; got "
            f"{value!r:.60}."
        )
    if array.shape not in ((size,), (1, size)):
        raise ValueError(
            f"Expected a speaker embedding of shape ({size},), got {array.shape}. Take it from the "
            "encoder of speakers that the model was trained with."
        )
    found = torch.from_numpy(array.astype(np.float32).reshape(size))
    if not found.isfinite().all() or not found.any():
        raise ValueError("A speaker embedding is made of finite numbers that are not all zero.")
    return found


def reference(value: Any, *, rate: int) -> np.ndarray:
    """A sound whose voice is to be imitated (N,).

    Args:
        value: A sound of one channel, as the audio modality takes it.
        rate: Its samples per second, in Hz.

    Raises:
        TypeError, ValueError: If it is none, has another rate or more channels, or is too long.
    """
    samples, _ = load_batch([value], sampling_rate=rate, max_samples=_MOST_SECONDS * rate)
    return samples[0].numpy()


def with_transcript(parts: Mapping[str, Any]) -> None:
    """Refuse a reference without what is said in it, and the other way round."""
    for one, other in (("reference", "reference_text"), ("reference_text", "reference")):
        if one in parts and other not in parts:
            raise ValueError(
                f"{one!r} is given without {other!r}. Give both: a sound of the voice, and what it "
                "says there."
            )


def given(**named: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in named.items() if value is not None}
