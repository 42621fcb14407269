"""An encoder, a model and a codec in a row, as training sees them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.core.codec import Codec
from mmgen.core.encoder import Encoder
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.encoded import Encoded

__all__ = ["Learner"]


class Learner:
    """The parts of P(X | Y), and what learning from pairs (y, x) needs of them.

    Args:
        encoder: Y to c.
        model: c to P(Z | c).
        codec: Z to X and back.
        condition_dropout: How often a condition is withheld in training, so that the model also
            knows P(X) and P(X | part of Y).

    Raises:
        SpecError: If the parts do not fit together.
    """

    def __init__(
        self, *, encoder: Encoder, model: Model, codec: Codec, condition_dropout: float = 0.1
    ) -> None:
        model.spec.require(codec.spec, by="The model", giver="the codec")
        model.condition.require(encoder.spec, by="The model", giver="the encoder")
        self.parts = nn.ModuleDict({"encoder": encoder, "model": model, "codec": codec}).eval()
        self.condition_dropout = condition_dropout

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

        What is there stays: a model that was trained with a vocabulary knows no other. It only
        takes note of what it learns now, such as words of the same subwords.
        """
        if self.encoder.fitted:
            self.encoder.extend([y for y, _ in pairs])
        else:
            self.encoder.fit([y for y, _ in pairs])
        if not self.codec.fitted:
            self.codec.fit([x for _, x in pairs])

    def rescale(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        """Take from pairs (y, x) anew by what actions, mels, properties or pixels are scaled.

        Raises:
            SpecError: If nothing is.
        """
        ys, xs = [y for y, _ in pairs], [x for _, x in pairs]
        if not any([self.encoder.rescale(ys), self.codec.rescale(xs)]):
            raise SpecError(
                "This pipeline scales neither x nor y by statistics, so none can be taken anew. "
                'Leave out statistics="new".'
            )

    @property
    def phases(self) -> tuple[str, ...]:
        """What training alternates between: the phases of the model."""
        return self.model.phases

    def phase_parameters(self, phase: str) -> Iterable[nn.Parameter]:
        """The parameters of the model that a step of this phase changes."""
        return self.model.phase_parameters(phase)

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
            tensors: What `prepare` gave, on the pipeline's device; or in place of "x" its `Latent`,
                and in place of "y" what `Encoded` holds of it.
            generator: For every draw.
            condition_dropout: In place of the pipeline's own; 0 for validation.
            phase: Which of the model's phases, if it has some; None for what it takes itself then.

        Raises:
            SpecError: If its weights are spread over several places, or quantised.
        """
        self.require_movable("train it")
        rate = self.condition_dropout if condition_dropout is None else condition_dropout
        y, latent = tensors["y"], tensors["x"]
        given = dict(y.given) if isinstance(y, Encoded) else y
        given = self.encoder.drop(given, rate=rate, generator=generator)
        if not isinstance(latent, Latent):
            # In half precision a sixth of the tokens of an image were others than it has elsewhere.
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
                latent = self.codec.encode(latent, generator=generator)
        if not isinstance(y, Encoded):
            c = self.encoder.encode(given)
        else:
            c = y.where(given["given"]) if rate else y.condition
        turn = {} if phase is None else {"phase": phase}
        return self.model.loss(latent, c, generator=generator, **turn)

    def require_movable(self, what: str) -> None:
        """Refuse what needs all weights in one place, if they are not. Here they are.

        Args:
            what: What is to be done, for the message.

        Raises:
            SpecError: If they are spread over several places, or quantised.
        """
