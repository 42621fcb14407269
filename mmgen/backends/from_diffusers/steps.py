"""The steps that a call of a diffusers pipeline takes, seen from outside."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

import torch
from torch import Tensor

from mmgen.backends.called import OnCalledStep

__all__ = ["clean", "followed"]


@contextmanager
def followed(
    pipeline: Any, on_step: OnCalledStep, shown: Callable[[Tensor], Tensor] | None
) -> Iterator[None]:
    """Within it, a call of the pipeline reports each step that its scheduler takes.

    Args:
        pipeline: A loaded diffusers pipeline.
        on_step: Called with (steps done, steps in all, guess).
        shown: What the scheduler works on to latents of the model's type; None if that is not
            known, and there are no guesses.
    """
    scheduler = getattr(pipeline, "scheduler", None)
    if not hasattr(scheduler, "step"):
        yield
        on_step(1, 1)
        return
    own, done, total = type(scheduler), 0, 0
    names = list(inspect.signature(scheduler.step).parameters)[:3]

    def guess(told: tuple[Any, ...]) -> Tensor:
        return shown(clean(scheduler, *told))

    @wraps(own.step)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal done, total
        if self is not scheduler:
            return own.step(self, *args, **kwargs)
        told = tuple(args[i] if i < len(args) else kwargs[name] for i, name in enumerate(names))
        total = total or _left(scheduler, told[1])
        known = shown is not None and _knows(scheduler)
        result = own.step(self, *args, **kwargs)
        done = min(done + 1, total)
        on_step(done, total, partial(guess, told) if known else None)
        return result

    # Some pipelines copy their scheduler, so a method of this one alone would be a trap.
    scheduler.__class__ = type(own.__name__, (own,), {"step": step})
    try:
        yield
    except BaseException:
        # As at the end of a call: what was moved for it goes back to where it was.
        pipeline.maybe_free_model_hooks()
        raise
    finally:
        scheduler.__class__ = own
    if done == 0 or done < total:
        on_step(max(total, 1), max(total, 1))


def clean(scheduler: Any, output: Tensor, timestep: Any, sample: Tensor) -> Tensor:
    """E[x_0 | z_t], by what a scheduler is told in a step.

    Args:
        scheduler: Of diffusers, one that `_knows`, set to its timesteps.
        output: What the network predicts, guidance included.
        timestep: Where on the schedule it does.
        sample: z_t in the scheduler's own units.

    Source: conventions of diffusers 0.42 (Apache-2.0), `DDIMScheduler.step`,
    `EulerDiscreteScheduler.step` and `FlowMatchEulerDiscreteScheduler.step`.
    """
    output, sample = output.float(), sample.float()
    if output.shape != sample.shape:
        # The other half of the channels is a variance.
        output = output.chunk(2, dim=1)[0]
    kind = scheduler.config.get("prediction_type") or "epsilon"
    index = _index(scheduler, timestep)
    if _is_flow(scheduler):
        return sample - float(scheduler.sigmas[index]) * output
    if kind == "sample":
        return output
    if scheduler.init_noise_sigma > 1:
        # Such samples are x_0 + sigma eps.
        share = 1 / (1 + float(scheduler.sigmas[index]) ** 2)
        sample = sample * share**0.5
    else:
        share = float(scheduler.alphas_cumprod[int(_number(timestep))])
    alpha, sigma = share**0.5, (1 - share) ** 0.5
    if kind == "v_prediction":
        return alpha * sample - sigma * output
    return (sample - sigma * output) / alpha


def _knows(scheduler: Any) -> bool:
    """Whether `clean` does."""
    kind = scheduler.config.get("prediction_type") or "epsilon"
    discrete = hasattr(scheduler, "alphas_cumprod") and hasattr(scheduler, "init_noise_sigma")
    return _is_flow(scheduler) or (discrete and kind in ("epsilon", "sample", "v_prediction"))


def _is_flow(scheduler: Any) -> bool:
    flows = scheduler.config.get("prediction_type") == "flow_prediction"
    return hasattr(scheduler, "sigmas") and (flows or "FlowMatch" in type(scheduler).__name__)


def _number(timestep: Any) -> float:
    return float(torch.as_tensor(timestep).flatten()[0])


def _index(scheduler: Any, timestep: Any) -> int:
    """Which of the scheduler's timesteps this is, the first of several that are alike."""
    times = scheduler.timesteps.double().cpu()
    return int((times - _number(timestep)).abs().argmin())


def _left(scheduler: Any, timestep: Any) -> int:
    """Steps that are left from the first one on."""
    if not isinstance(scheduler.timesteps, Tensor):
        return 1
    return len(scheduler.timesteps) - _index(scheduler, timestep)
