"""Planners of diffusers that a value function guides: P(actions | observation).

Shape letters: N plans, T steps of a plan, A numbers of an action, O numbers of an observation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.called import CalledConditional, OnCalledStep
from mmgen.backends.foreign import Foreign, Place
from mmgen.backends.given import AsGiven, GivenCondition
from mmgen.backends.recognition import Recognised
from mmgen.backends.recognition.repository import first_file
from mmgen.backends.standardised import mean_and_std, numbers
from mmgen.core.condition import Condition
from mmgen.core.errors import LoadError, SpecError
from mmgen.core.files import read_json
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.options import Option
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.modalities.actions import ActionChunks

__all__ = ["PLANNERS", "GuidedPlanner", "load_planner", "planner_options"]

PLANNERS = ("ValueGuidedRLPipeline",)
"""Classes that are planners."""

_STATISTICS = "statistics.json"
_HORIZON, _LONGEST = 32, 4096


def planner_options() -> tuple[Option, ...]:
    """What planners take, with the defaults of the library's call."""
    return (
        Option("num_plans", 64, "Plans, of which the best counts.", minimum=1, maximum=65_536),
        Option("n_guide_steps", 2, "Steps uphill in value at each time.", minimum=1, maximum=1000),
        Option("scale", 0.1, "Length of such a step.", minimum=0.0, maximum=1000.0),
    )


class GuidedPlanner(Model):
    """Trajectories of a diffusion model, pushed towards value, of which the best is taken.

    A trajectory holds actions and observations, standardised, and begins where the agent is. It is
    what `ValueGuidedRLPipeline` of diffusers plans, by its networks and its scheduler, but that its
    noise is from a generator. That call gives the first action alone; here a plan is whole.

    Args:
        unet: Of trajectories (N, A + O, T) and times.
        value_function: Of the same, to values (N, 1).
        scheduler: A DDPMScheduler.
        spec: Of the actions, (T, A), standardised.

    Source: Planning with Diffusion for Flexible Behavior Synthesis (Janner et al., 2022), Alg. 1,
    arXiv:2205.09991; as in diffusers 0.42 (Apache-2.0), `ValueGuidedRLPipeline.run_diffusion`.
    """

    condition = ConditionSpec()

    def __init__(
        self, unet: nn.Module, value_function: nn.Module, scheduler: Any, *, spec: Spec
    ) -> None:
        super().__init__()
        self.unet, self.value_function = unet, value_function
        self.scheduler, self.spec = scheduler, spec
        self.requires_grad_(False)

    def options(self) -> tuple[Option, ...]:
        return planner_options()

    def forward(self, c: Condition, **options: Any) -> Planned:
        if not isinstance(c, GivenCondition):
            raise SpecError("A planner of diffusers takes conditions from AsGiven.")
        chosen = {o.name: options.get(o.name, o.default) for o in self.options()}
        return Planned(model=self, spec=self.spec, c=c, options=chosen, rows=1)

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        raise SpecError(
            "Planners of diffusers are only called, so they cannot learn here. Train one of mmgen's"
            ' own on your episodes: Pipeline.compose(x="actions", ...).'
        )

    def plan(
        self,
        observation_O: Tensor,
        generator: torch.Generator,
        on_step: OnCalledStep,
        *,
        num_plans: int,
        n_guide_steps: int,
        scale: float,
    ) -> Tensor:
        """Actions (T, A) of the best plan, standardised as the observation is."""
        place, (horizon, size) = next(self.parameters()), self.spec.shape
        own = {"device": place.device, "dtype": place.dtype}
        shape = (num_plans, horizon, size + len(observation_O))
        x = torch.randn(shape, generator=generator).to(**own)
        start = observation_O.to(**own)
        x[:, 0, size:] = start
        times = self.scheduler.timesteps
        for done, t in enumerate(times, start=1):
            now = torch.full((num_plans,), int(t), device=place.device)
            for _ in range(n_guide_steps):
                values, rise = self._rise(x, now)
                if int(t) > 1:
                    x = x + scale * torch.exp(0.5 * self.scheduler._get_variance(t)) * rise
                x[:, 0, size:] = start
            found = self.unet(x.mT, now).sample.mT
            x = self.scheduler.step(found, t, x, generator=generator).prev_sample
            x[:, 0, size:] = start
            on_step(done, len(times))
        return x[values[:, 0].argmax(), :, :size].float().cpu()

    def _rise(self, x_NTC: Tensor, now: Tensor) -> tuple[Tensor, Tensor]:
        """Values (N, 1) of plans, and their gradients."""
        with torch.enable_grad():
            x = x_NTC.detach().requires_grad_()
            values = self.value_function(x.mT, now).sample
            (rise,) = torch.autograd.grad(values.sum(), x)
        return values.detach(), rise


@dataclass(frozen=True, kw_only=True)
class Planned(CalledConditional):
    """P(actions | observation) by a planner.

    Args:
        model: The planner.
    """

    model: GuidedPlanner

    def _call(
        self,
        values: Mapping[str, Any],
        generators: Sequence[torch.Generator],
        on_step: OnCalledStep,
    ) -> list[Tensor]:
        if "observation" not in values:
            raise ValueError("A planner plans from where an agent is. Give an observation.")
        (generator,) = generators
        found = self.model.plan(values["observation"], generator, on_step, **self.options)
        if not found.isfinite().all():
            raise ValueError(
                "The planner gave NaN or infinity. Its weights may be broken, or scale is far from "
                "what it was made for."
            )
        return [found]


def load_planner(found: Recognised, place: Place, dtype: torch.dtype) -> Foreign:
    """The parts of a planner.

    Raises:
        LoadError: If it lacks the statistics that give its actions their units, or other files.
        SpecError: If its weights shall be spread.
    """
    if place.placement.given:
        raise SpecError("A planner is small, and lies in one place. Leave out where it goes.")
    stated = _statistics(found, place)
    observed, acted = (
        mean_and_std(stated.get(name, {}), of=name, file=_STATISTICS)
        for name in ("observations", "actions")
    )
    unet, value_function, scheduler = _networks(found, place, dtype)
    both = len(observed[0]) + len(acted[0])
    if unet.config.in_channels != both:
        raise LoadError(
            f"{_STATISTICS} of {found.source} is of {len(observed[0])} and {len(acted[0])} "
            f"numbers, its network of {unet.config.in_channels}. They do not belong together."
        )
    horizon = stated.get("horizon", _HORIZON)
    if type(horizon) is not int or not 1 <= horizon <= _LONGEST:
        raise LoadError(
            f"The horizon in {_STATISTICS} is a number of steps, 1 to {_LONGEST}; got "
            f"{horizon!r:.40}."
        )
    codec = ActionChunks(horizon, len(acted[0]), normalisation="mean-std")
    codec.shift.copy_(acted[0])
    codec.scale.copy_(acted[1])
    reader = partial(_observation, mean_O=observed[0], std_O=observed[1])
    encoder = AsGiven(("observation",), required=("observation",), readers={"observation": reader})
    model = GuidedPlanner(unet, value_function, scheduler, spec=codec.spec)

    def save(folder: Path) -> None:
        import diffusers

        parts = {"unet": unet, "value_function": value_function, "scheduler": scheduler}
        for name, part in parts.items():
            part.save_pretrained(folder / name)
        index = {name: ["diffusers", type(part).__name__] for name, part in parts.items()}
        said = {"_class_name": found.architecture, "_diffusers_version": diffusers.__version__}
        about = {**said, "env": [None, None], **index}
        (folder / "model_index.json").write_text(json.dumps(about, indent=2), "utf-8")
        (folder / _STATISTICS).write_text(json.dumps(stated), "utf-8")

    return Foreign(encoder, model, codec, found, save)


def _statistics(found: Recognised, place: Place) -> Mapping[str, Any]:
    """What a file beside the networks says of the dataset that they were trained on."""
    path: Path | None = Path(found.source) / _STATISTICS
    if found.revision is not None:
        asked = {**place.as_dict(), "revision": found.revision}
        path = first_file(found.source, (_STATISTICS,), **asked).path
    if path is None or not path.is_file():
        raise LoadError(
            f"{found.source} holds no statistics of the dataset that it was trained on, without "
            "which its actions have no units; diffusers takes them from a live environment. Put "
            f"{_STATISTICS} into its folder: "
            '{"observations": {"mean": [...], "std": [...]}, "actions": {"mean": [...], "std": '
            "[...]}}, a number for each of those of an observation and of an action."
        )
    return read_json(path)


def _networks(
    found: Recognised, place: Place, dtype: torch.dtype
) -> tuple[nn.Module, nn.Module, Any]:
    """The networks of trajectories and of values, and the scheduler."""
    import diffusers

    where = {**place.as_dict(), "revision": found.revision or place.revision}
    try:
        unet, value_function = (
            diffusers.UNet1DModel.from_pretrained(
                found.source, subfolder=name, use_safetensors=True, dtype=dtype, **where
            ).eval()
            for name in ("unet", "value_function")
        )
        scheduler = diffusers.DDPMScheduler.from_pretrained(
            found.source, subfolder="scheduler", **where
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise LoadError(
            f"Could not load {found.architecture} with safetensors weights from {found.source}: "
            f"{str(error).strip().splitlines()[0]}"
        ) from error
    return unet, value_function, scheduler


def _observation(value: Any, *, mean_O: Tensor, std_O: Tensor) -> Tensor:
    """Where an agent is (O,), standardised."""
    return (numbers(value, size=len(mean_O), what="an observation") - mean_O) / std_O
