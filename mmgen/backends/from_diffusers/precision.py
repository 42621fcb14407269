"""Parts in half precision that overflow are run again in float32."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["in_float32", "mended", "run"]

_HALF = (torch.float16, torch.bfloat16)


@contextmanager
def mended(pipeline: Any) -> Iterator[None]:
    """Within it, whatever network of the pipeline overflows is run again, see `run`."""
    replaced: list[tuple[nn.Module, str, Any]] = []
    for name, part in pipeline.components.items():
        if not isinstance(part, nn.Module):
            continue
        coder = hasattr(part, "decode") and hasattr(part, "encode")
        for method in ("encode", "decode") if coder else ("forward",):
            replaced.append((part, method, part.__dict__.get(method)))
            own = getattr(part, method)
            setattr(part, method, wraps(own)(partial(run, part, own, f"{name}.{method}")))
    try:
        yield
    finally:
        for part, method, before in reversed(replaced):
            delattr(part, method)
            if before is not None:
                setattr(part, method, before)


def run(part: nn.Module, call: Callable[..., Any], name: str, /, *args: Any, **kwargs: Any) -> Any:
    """call(*args, **kwargs) of a part; again in float32 if that gives NaN or infinity in half.

    The part itself stays in its precision.

    Args:
        part: Whose weights the call uses.
        call: One of its methods.
        name: Of both, for messages.
        args, kwargs: What goes to the call.

    Returns:
        What the call gives, tensors in the part's precision.

    Raises:
        ValueError: If there is NaN or infinity in float32, too, or what there is does not fit half
            precision; or the weights are not there to be made float32, because they are fetched
            during a call.
    """
    found = call(*args, **kwargs)
    dtype = next((p.dtype for p in part.parameters() if p.is_floating_point()), torch.float32)
    if dtype not in _HALF or _finite(found):
        return found
    kind = str(dtype).removeprefix("torch.")
    what = f"{name} gave NaN or infinity in {kind}."
    places: set[torch.device] = {x.device for x in _tensors((args, kwargs))}
    if any(p.device not in places for p in part.parameters()):
        raise ValueError(
            f"{what} Its weights are fetched during a call, so it cannot be run again in float32. "
            "Load the pipeline in another dtype, or without offload."
        )
    warnings.warn(
        f"{what} It is run again in float32, which takes longer. To be rid of this, load the "
        "pipeline with dtype=torch.float32, or in float16's place bfloat16.",
        stacklevel=2,
    )
    found = in_float32(part, call, *args, **kwargs)
    if not _finite(found):
        raise ValueError(
            f"{name} gives NaN or infinity in float32, too. Its weights may be broken, or an "
            "option (guidance_scale, say) is far from what it was made for."
        )
    half = _each(found, partial(_cast, kinds=(torch.float32,), dtype=dtype))
    if not _finite(half):
        raise ValueError(
            f"{what} In float32 it gives numbers beyond what {kind} holds. Load the pipeline with "
            "dtype=torch.bfloat16 or torch.float32."
        )
    return half


def in_float32(part: nn.Module, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """call(*args, **kwargs) of a part with its weights in float32, whatever they are in.

    Args:
        part: Whose weights the call uses.
        call: One of its methods.
        args, kwargs: What goes to the call.
    """
    whole = {
        f"part.{key}": value.float()
        for key, value in (*part.named_parameters(), *part.named_buffers())
        if value.dtype in _HALF
    }
    to_whole = partial(_cast, kinds=_HALF, dtype=torch.float32)
    return torch.func.functional_call(
        _Call(part, call), whole, _each(args, to_whole), _each(kwargs, to_whole)
    )


class _Call(nn.Module):
    """A method of a part as a module, for its weights to be replaced during one call."""

    def __init__(self, part: nn.Module, call: Callable[..., Any]) -> None:
        super().__init__()
        self.part, self.call = part, call

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the method gives."""
        return self.call(*args, **kwargs)


def _cast(x: Tensor, *, kinds: tuple[torch.dtype, ...], dtype: torch.dtype) -> Tensor:
    return x.to(dtype) if x.dtype in kinds else x


def _each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A structure of tensors, as libraries pass and return it, with all of them changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        changed = {k: _each(v, change) for k, v in value.items()}
        return changed if type(value) is dict else type(value)(**changed)
    if type(value) in (tuple, list):
        return type(value)(_each(v, change) for v in value)
    if isinstance(getattr(value, "parameters", None), Tensor):
        # The Gaussians that encoders give are made of their parameters.
        return type(value)(change(value.parameters))
    return value


def _finite(value: Any) -> bool:
    """Whether no tensor in a structure holds NaN or infinity."""
    return all(bool(x.isfinite().all()) for x in _tensors(value) if x.is_floating_point())


def _tensors(value: Any) -> list[Tensor]:
    """Those of a structure."""
    seen: list[Tensor] = []

    def see(x: Tensor) -> Tensor:
        seen.append(x)
        return x

    _each(value, see)
    return seen
