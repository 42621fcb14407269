"""What else is known of X: a part of it, or a measurement of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmgen.core.codec import Codec, spread
from mmgen.core.conditional import Completable, Conditional
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.distribution import Known
from mmgen.families.diffusion.conditional import DiffusionConditional
from mmgen.guidance.posterior import Posterior, find_posterior, mmps
from mmgen.operators.adapted import as_operator
from mmgen.operators.mask import Mask
from mmgen.operators.measurement import Measurement
from mmgen.operators.operator import check_adjoint

__all__ = ["complete", "measure", "require_one"]

# What an autoencoder loses of an image in [-1, 1], about.
LOST_STD = 0.05


def require_one(
    part: Mapping[str, Any], measured: Mapping[str, Any], posterior: str | Posterior | None
) -> None:
    """Refuse what is known of X in half, or in two ways at once.

    Args:
        part: The arguments that tell a known part, None where not given.
        measured: Those that tell a measurement.
        posterior: How a measurement is used.

    Raises:
        ValueError: If some of either are given without the others, some of both, or `posterior`
            without a measurement.
    """
    given = [_together(part), _together(measured)]
    if posterior is not None and not given[1]:
        raise ValueError("posterior says how a measurement is used; give operator, too.")
    if all(given):
        raise ValueError(
            "Give known and mask, or operator and measurement, not both. A Mask operator "
            "measures a part of a value."
        )


def complete(
    conditional: Conditional, codec: Codec, values: Sequence[Any], masks: Sequence[Any]
) -> tuple[Conditional, Known]:
    """P(Z | c, the known part of X).

    Args:
        conditional: P(Z | c) for B conditions.
        codec: Of X.
        values: B values. What they hold where their mask is false has no influence.
        masks: B boolean arrays, true where a value is known, of the shape of the value as the codec
            prepares it or of its last axes: (H, W) for an image, (T, A) for actions. For text also
            spans of characters, "0:12,30:40".

    Raises:
        TypeError: If a mask is not boolean.
        ValueError: If there is not one value and one mask for each condition, or a value cannot be
            read.
        SpecError: If the family or the codec cannot hold what is known.
    """
    for what, given in (("known values", values), ("masks", masks)):
        if len(given) != conditional.batch:
            raise ValueError(
                f"Expected {conditional.batch} {what}, one for each condition, got {len(given)}."
            )
    if not isinstance(conditional, Completable):
        raise SpecError(
            f"{type(conditional).__name__} can be sampled but not completed. Use a family that "
            "can: diffusion for continuous values, masked for tokens."
        )
    tensors = codec.prepare(values)
    with torch.no_grad():
        latent = codec.encode(tensors)
    masks = [
        _spans(m, v, codec) if isinstance(m, str) else _mask(m)
        for m, v in zip(masks, values, strict=True)
    ]
    values = None if codec.elementwise else codec.seen(tensors)
    if values is not None and isinstance(conditional, DiffusionConditional):
        return _seen_in_part(conditional, codec, values, masks), Known(
            tensors, latent, spread(masks, values.shape)
        )
    mask = codec.latent_mask(latent, masks)
    z = latent.z.masked_fill(~mask.to(latent.z.device), 0)
    completed = conditional.completing(Latent(z, latent.lengths), mask)
    return completed, Known(tensors, latent, mask)


def _seen_in_part(
    conditional: DiffusionConditional, codec: Codec, values: Tensor, masks: Sequence[Tensor]
) -> Conditional:
    """P(Z | c, the known part of X) where each latent is of many entries of X.

    The known entries are taken as measured, to what such codecs lose; they are put in exactly where
    values are made.
    """
    mask = spread(masks, values.shape)
    known = torch.where(mask, values.cpu(), 0.0)
    if not known.isfinite().all():
        raise ValueError(
            "What is known is finite; there is NaN or infinity where the mask is true."
        )

    def signal(z: Tensor) -> Tensor:
        return codec.signal(Latent(z))

    return mmps(conditional, Measurement(Mask(mask, rows=True), known, LOST_STD, signal))


def measure(
    conditional: Conditional,
    codec: Codec,
    *,
    operator: Any,
    values: Sequence[Any],
    noise: float,
    posterior: str | Posterior,
) -> Conditional:
    """P(Z | c, b) for b = A x + s n, x being decoded values before rounding.

    Args:
        conditional: P(Z | c) for B conditions.
        codec: Of X. Its `signal` is what the operator is applied to.
        operator: A, an Operator or an object with `A` and `A_adjoint`.
        values: b of each of B conditions.
        noise: s, in the units of b.
        posterior: Name of the method, or a function from P(Z | c) and a measurement to P(Z | c, b).

    Raises:
        TypeError: If the operator is none, or a measurement is not of numbers.
        ValueError: If there is not one measurement for each condition, it is not finite, or the
            noise is below 0.
        SpecError: If operator, measurement and values do not fit together, or the family has no
            posterior sampler.
        UnknownNameError: If no method has this name.
    """
    operator = as_operator(operator)
    method = find_posterior(posterior) if isinstance(posterior, str) else posterior
    if len(values) != conditional.batch:
        raise ValueError(
            f"Expected {conditional.batch} measurements, one for each condition, got {len(values)}."
        )
    if codec.spec.varies:
        raise SpecError(
            "A measurement is one of values of a fixed shape; these vary in length. Use a codec "
            "of fixed length."
        )
    rows = [_numbers(v) for v in values]
    if any(row.shape != rows[0].shape for row in rows):
        raise SpecError(f"Measurements have one shape, got {[tuple(r.shape) for r in rows]}.")

    def signal(z: Tensor) -> Tensor:
        return codec.signal(Latent(z))

    device = next((b.device for b in (*codec.parameters(), *codec.buffers())), torch.device("cpu"))
    with torch.no_grad():
        shape = signal(torch.zeros(1, *codec.spec.shape, device=device)).shape
    measured = check_adjoint(operator, shape, device=device)[1:]
    if measured != tuple(rows[0].shape):
        raise SpecError(
            f"This operator measures {measured} of a value {tuple(shape[1:])}; the "
            f"measurement is {tuple(rows[0].shape)}. Give what operator.apply would give, without "
            "its batch axis."
        )
    return method(conditional, Measurement(operator, torch.stack(rows), noise, signal))


def _mask(mask: Any) -> Tensor:
    array = mask if isinstance(mask, Tensor) else torch.as_tensor(np.array(mask))
    if array.dtype != torch.bool:
        raise TypeError(
            f"A mask is boolean, true where the value is known; got {array.dtype}. Compare it "
            "first: mask > 0.5, say."
        )
    return array.cpu()


def _spans(spans: str, value: Any, codec: Codec) -> Tensor:
    """Which tokens (L,) of a text lie, with all their characters, within spans of them."""
    if not isinstance(value, str):
        raise SpecError(
            f"Spans such as {spans!r:.40} are of the characters of a text, and this value is none. "
            "Give a boolean array."
        )
    known = torch.zeros(len(value), dtype=torch.bool)
    for span in spans.split(","):
        start, colon, stop = (part.strip() for part in span.partition(":"))
        try:
            first, last = int(start or 0), int(stop or len(value))
        except ValueError:
            first, last = 0, -1
        if not colon or not 0 <= first < last <= len(value):
            raise ValueError(
                f"A span is start:stop, counted in characters from 0, with start below stop and "
                f"stop at most {len(value)}, the length of this text; got {span!r:.40}."
            )
        known[first:last] = True
    reach = _reach(value, codec)
    return torch.stack([known[first:last].all() for first, last in reach])


def _reach(text: str, codec: Codec) -> list[tuple[int, int]]:
    """Characters, from and up to, that each token of a text has a part in."""
    latent = codec.encode(codec.prepare([text]))
    beginnings = latent.z.expand(latent.z.shape[1], -1), torch.arange(1, latent.z.shape[1] + 1)
    shown = codec.present(codec.decode(Latent(*beginnings)))
    found, before = [], ""
    for now in shown:
        # A character that is not whole yet is shown as another one, and may be so for long.
        first = len(before) if text.startswith(before) else len(before) - 1
        found.append((first, len(now)))
        before = now
    if before != text or any(not 0 <= first < last for first, last in found):
        raise SpecError(
            f"{type(codec).__name__} does not cut a text from its front, so that spans of "
            "characters mean no tokens. Give a boolean array, one entry for each token."
        )
    return found


def _numbers(value: Any) -> Tensor:
    array = value if isinstance(value, Tensor) else np.asarray(value)
    if not isinstance(array, Tensor):
        if array.dtype.kind not in "fiu":
            raise TypeError(f"A measurement is an array of numbers, got {array.dtype}.")
        array = torch.as_tensor(array)
    return array.detach().float().cpu()


def _together(arguments: Mapping[str, Any]) -> bool:
    """Whether these are given, all or none of them."""
    missing = [name for name, value in arguments.items() if value is None]
    if missing and len(missing) < len(arguments):
        there = [name for name in arguments if name not in missing]
        raise ValueError(
            f"{' and '.join(there)} came without {' and '.join(missing)}. Give "
            f"{', '.join(arguments)} together, or none of them."
        )
    return not missing
