"""What a value is to a model: its kind, shape, range, units and vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mmgen.core.errors import SpecError

__all__ = ["ConditionSpec", "Spec"]


@dataclass(frozen=True)
class Spec:
    """The type of a latent z: what a codec gives and a model generates.

    Args:
        modality: Name of its module in `mmgen.modalities`: "text", "image", "molecules", ...
        kind: "continuous" for real numbers, "tokens" for integers below `vocabulary`.
        shape: Event shape. An integer is fixed, a letter names a size that varies. Its rank tells
            the layout: continuous (K,) numbers, (T, F) a sequence of feature vectors, (C, H, W) an
            image, (T, C, H, W) a film; tokens (L,). What varies is the first axis.
        low: Least value of the decoded signal, if it has one.
        high: Greatest value of the decoded signal, if it has one.
        vocabulary: Number of tokens, for `kind="tokens"`.
        units: Unit of the values (Hz, frames/s, rad), if they have one.
        max_length: Greatest size of an axis that varies.
    """

    modality: str
    kind: str
    shape: tuple[int | str, ...]
    low: float | None = None
    high: float | None = None
    vocabulary: int | None = None
    units: str | None = None
    max_length: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("continuous", "tokens"):
            raise SpecError(f"kind is 'continuous' or 'tokens', not {self.kind!r}.")
        if (self.kind == "tokens") != (self.vocabulary is not None):
            raise SpecError("A vocabulary is given for tokens, and only for tokens.")
        if self.varies != (self.max_length is not None):
            raise SpecError("A greatest length is given for a size that varies, and only for one.")

    @property
    def varies(self) -> bool:
        """Whether events differ in length."""
        return any(isinstance(size, str) for size in self.shape)

    @property
    def event_dims(self) -> int:
        """Number of event axes."""
        return len(self.shape)

    def fits(self, shape: tuple[int | str, ...]) -> bool:
        """Whether an event of this shape is of this type."""
        return len(shape) == len(self.shape) and all(
            isinstance(want, str) or isinstance(have, str) or want == have
            for want, have in zip(self.shape, shape, strict=True)
        )

    def check(self, z: Tensor, *, what: str = "latents") -> None:
        """Raise SpecError unless the last axes of z (..., *event) are of this type."""
        event = tuple(z.shape[z.ndim - self.event_dims :]) if z.ndim >= self.event_dims else ()
        if z.ndim <= self.event_dims or not self.fits(event):
            raise SpecError(
                f"Expected {what} of shape (..., {_show(self.shape)}), got ({_show(z.shape)})."
            )

    def require(self, given: Spec, *, by: str, giver: str) -> None:
        """Raise SpecError unless what `giver` gives is what `by` expects (this spec)."""
        if given.kind != self.kind:
            raise SpecError(
                f"{by} works on {self.kind} values; {giver} gives {given.kind}. "
                f"Use a codec with {self.kind} latents, or a family for {given.kind}."
            )
        if not self.fits(given.shape):
            raise SpecError(
                f"{by} expects latents ({_show(self.shape)}); {giver} gives "
                f"({_show(given.shape)}). Build both with the same sizes."
            )
        if given.vocabulary != self.vocabulary:
            raise SpecError(
                f"{by} expects {self.vocabulary} tokens; {giver} has {given.vocabulary}. "
                "Build both with the same vocabulary."
            )


@dataclass(frozen=True)
class ConditionSpec:
    """The type of an encoded condition: widths of its tokens, its vector and its frames, or None.

    Frames are made by a model that wraps another one, or by an encoder that looks ahead.
    """

    token_dim: int | None = None
    vector_dim: int | None = None
    frame_dim: int | None = None

    def require(self, given: ConditionSpec, *, by: str, giver: str) -> None:
        """Raise SpecError unless what `giver` gives is what `by` expects (this spec)."""
        for name in ("token_dim", "vector_dim", "frame_dim"):
            want, have = getattr(self, name), getattr(given, name)
            if want != have:
                raise SpecError(
                    f"{by} expects a condition with {name} {want}; {giver} gives {name} {have}. "
                    f"Build the model with {name}={have}."
                )


def _show(shape: tuple[int | str, ...]) -> str:
    return ", ".join(str(size) for size in shape)
