"""Whole diffusers pipelines as models: P(X | Y) by the library's own call."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.backends.called import CalledConditional, OnCalledStep
from mmgen.backends.from_diffusers.autoencoder import decoded
from mmgen.backends.from_diffusers.calls import RESIZING, Call, call_options
from mmgen.backends.from_diffusers.denoiser import naming_missing
from mmgen.backends.from_diffusers.denoisers import DENOISERS, LEARNERS, Learning
from mmgen.backends.from_diffusers.precision import mended
from mmgen.backends.from_diffusers.steps import followed
from mmgen.backends.given import GivenCondition
from mmgen.core.condition import Condition
from mmgen.core.conditional import Completable, Conditional, Progress
from mmgen.core.errors import SpecError
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.options import Option
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec

__all__ = ["LibraryConditional", "LibraryPainting", "LibraryPipeline"]


class LibraryPipeline(Model):
    """A diffusers pipeline. Every sample has its own generator, so it is the same in any batch.

    Args:
        pipeline: A loaded diffusers pipeline.
        spec: Of what it gives: images, films or sounds.
        call: How the parts of the condition go to the call of the pipeline.
        output: "np" for values as they are shown, "latent" for what the network denoises.
        learning: How it learns from values as they are shown, or why it cannot.
    """

    condition = ConditionSpec()

    def __init__(
        self,
        pipeline: Any,
        *,
        spec: Spec,
        call: Call,
        output: str = "np",
        learning: Learning | str = "nothing says how",
    ) -> None:
        super().__init__()
        self.output, self.learning = output, learning
        # A part already, so not one of its own.
        self.__dict__["_learns"] = None
        self.pipeline, self.spec = pipeline, spec
        self.call = call
        self.networks = nn.ModuleDict(
            {k: v for k, v in pipeline.components.items() if isinstance(v, nn.Module)}
        )
        self._options = call_options(
            type(pipeline),
            type(getattr(pipeline, "scheduler", None)),
            taken=call.taken.values(),
            output=output,
        )
        if isinstance(learning, Learning):
            self.learn_only(learning.denoiser.network)

    def learn_only(self, network: nn.Module) -> None:
        """Let a network learn, and no other: the rest only reads and shows."""
        self.networks.requires_grad_(False)
        network.requires_grad_(True)
        self.__dict__["_learns"] = network

    def train(self, mode: bool = True) -> LibraryPipeline:
        super().train(mode)
        for part in self.networks.values():
            part.train(mode and self._learns in (None, part))
        return self

    def options(self) -> tuple[Option, ...]:
        return self._options

    def packed(self, z: Tensor) -> Tensor:
        """Noise that samples start from (N, ...), as the call takes it."""
        return z

    def shown(self, options: Mapping[str, Any]) -> Callable[[Tensor], Tensor] | None:
        """What the scheduler works on in a call to latents of the spec, if that is known.

        It is for a UNet on the latents of images, whatever else it is told.
        """
        unet, vae = (getattr(self.pipeline, name, None) for name in ("unet", "vae"))
        if self.spec.modality != "image" or unet is None or type(vae).__name__ != "AutoencoderKL":
            return None
        plain = unet.config.get("out_channels") == vae.config.latent_channels
        return partial(decoded, vae) if plain else None

    def forward(self, c: Condition, **options: Any) -> Conditional:
        if not isinstance(c, GivenCondition):
            raise SpecError("A diffusers pipeline takes conditions from AsGiven.")
        kind = LibraryPainting if self.call.mask else LibraryConditional
        chosen = {o.name: options.get(o.name, o.default) for o in self._options}
        _check_steps(chosen)
        given = {self.call.taken.get(part) for values in c.values for part in values}
        rows = {"rows": 1} if given & self.call.single or self.call.mask in self.call.single else {}
        return kind(model=self, spec=self.spec, c=c, options=chosen, **rows)

    def loss(
        self, latent: Latent, c: Condition, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Squared error (B,) of what the network was trained to predict.

        Raises:
            SpecError: If it cannot learn. The message says why, and which pipelines can.
        """
        if isinstance(self.learning, Learning):
            return self.learning.error(latent, c, generator=generator)
        raise SpecError(
            f"{type(self.pipeline).__name__} is only called, so it cannot learn here: "
            f"{self.learning}. Of diffusers these learn: {', '.join((*DENOISERS, *LEARNERS))}. For "
            "others use the library's training scripts, whose result can be loaded."
        )

    @contextmanager
    def scheduled(self, name: str | None) -> Iterator[None]:
        """The pipeline with another scheduler."""
        own = getattr(self.pipeline, "scheduler", None)
        if name is None or own is None or name == type(own).__name__:
            yield
            return
        kind = next(k for k in own.compatibles if k.__name__ == name)
        self.pipeline.scheduler = kind.from_config(own.config)
        try:
            yield
        finally:
            self.pipeline.scheduler = own


@dataclass(frozen=True, kw_only=True)
class LibraryConditional(CalledConditional):
    """P(X | y) by the call of a diffusers pipeline.

    Args:
        model: The pipeline.
    """

    model: LibraryPipeline

    def sample(
        self,
        num_samples: int = 1,
        generators: Generators | None = None,
        *,
        progress: Progress | None = None,
    ) -> Latent:
        latents = self.options.get("latents")
        if latents is not None and (latents.ndim < 2 or len(latents) != num_samples):
            raise ValueError(
                f"latents is noise (N, ...), one for each of {num_samples} samples of a condition; "
                f"got {tuple(latents.shape)}."
            )
        if latents is not None and not latents.isfinite().all():
            raise ValueError("latents holds NaN or infinity. Give noise of finite numbers.")
        return super().sample(num_samples, generators, progress=progress)

    def _from(self, start: int) -> LibraryConditional:
        latents = self.options.get("latents")
        if latents is None:
            return self
        own = {"latents": latents[start : start + self.rows]}
        return replace(self, options={**self.options, **own})

    def _call(
        self,
        values: Mapping[str, Any],
        generators: Sequence[torch.Generator],
        on_step: OnCalledStep,
    ) -> list[Tensor]:
        model, pipeline, count = self.model, self.model.pipeline, len(generators)
        settings = {k: v for k, v in self.options.items() if k != "scheduler"}
        if settings.get("negative_prompt") is None:
            settings.pop("negative_prompt", None)
        elif "text" in values:
            settings["negative_prompt"] = [settings["negative_prompt"]] * count
        if settings.get("latents") is None:
            settings.pop("latents", None)
        else:
            z = model.packed(settings["latents"])
            settings["latents"] = z.to(pipeline._execution_device, pipeline.dtype)
        values = {"text": "", **values} if "text" in model.call.arguments else values
        given = {model.call.taken[k]: v for k, v in values.items()}
        # Some take one picture and no list of one.
        bare = model.call.single | ({"image"} if count == 1 else set())
        given = {k: v if k in bare else [v] * count for k, v in given.items()}
        if not given:
            given = {"batch_size": count}
        known = inspect.signature(pipeline.__call__).parameters
        output = {"output_type": model.output} if "output_type" in known else {}
        if model.output == "latent":
            output.update({name: False for name in RESIZING if name in known})
        shown, own = model.shown(self.options), _Told(on_step)
        with (
            model.scheduled(self.options.get("scheduler")),
            mended(pipeline),
            followed(pipeline, own, shown),
        ):
            settings |= {**given, **output, "generator": list(generators)}
            found = _called(pipeline, settings, own)
        if model.output == "latent":
            made = list(shown(_first(found)).float().cpu())
        else:
            made = [_value(x, model.spec) for x in _first(found)]
        if not all(bool(z.isfinite().all()) for z in made):
            raise ValueError(
                f"{type(pipeline).__name__} gave NaN or infinity. Its weights may be broken, or an "
                "option (guidance_scale, say) is far from what it was made for."
            )
        _tell_size(pipeline, settings, made[0], latent=model.output == "latent")
        return made


@dataclass(frozen=True, kw_only=True)
class LibraryPainting(LibraryConditional, Completable):
    """P(X | y, known part of X), for a pipeline that paints into an image.

    Args:
        known: Images (B, 3, H, W) in [-1, 1], and which of their pixels are known.
    """

    known: tuple[Tensor, Tensor] | None = None

    def completing(self, known: Latent, mask: Tensor) -> LibraryPainting:
        """Samples hold the known pixels; a pixel of which some colours are open is made anew."""
        return replace(self, known=(known.z.cpu(), mask.all(1, keepdim=True).cpu()))

    def sample(
        self,
        num_samples: int = 1,
        generators: Generators | None = None,
        *,
        progress: Progress | None = None,
    ) -> Latent:
        if self.known is None:
            raise SpecError(
                "This pipeline paints into an image: pipe.given(y, known=image, mask=mask), the "
                "mask true where the image is known."
            )
        values = tuple(
            {**v, "image": _picture(z), "mask": _picture(~there * 2.0 - 1)}
            for v, z, there in zip(self.c.values, *self.known, strict=True)
        )
        held = replace(self, c=GivenCondition(self.batch, values=values))
        size = {"height": self.known[0].shape[2], "width": self.known[0].shape[3]}
        options = {k: size.get(k, v) if v is None else v for k, v in self.options.items()}
        return super(LibraryPainting, replace(held, options=options)).sample(
            num_samples, generators, progress=progress
        )


def _picture(x_CHW: Tensor) -> Any:
    from PIL import Image

    levels = ((x_CHW + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(levels.expand(3, -1, -1).movedim(0, -1).contiguous().numpy())


class _Told:
    """What is told of steps, and what it has raised."""

    def __init__(self, on_step: OnCalledStep) -> None:
        self.on_step = on_step
        self.raised: BaseException | None = None

    def __call__(self, *told: Any) -> None:
        try:
            self.on_step(*told)
        except BaseException as error:
            self.raised = error
            raise


def _called(pipeline: Any, arguments: Mapping[str, Any], own: _Told) -> Any:
    """What the call of a library gives; what goes wrong within it says whose it is."""
    kind = type(pipeline).__name__
    try:
        with naming_missing(pipeline):
            return pipeline(**arguments)
    except (AttributeError, TypeError, LookupError, RuntimeError) as error:
        if error is own.raised or isinstance(error, torch.OutOfMemoryError):
            raise
        lacking = [name for name, part in pipeline.components.items() if part is None]
        without = f" (it has no {', '.join(lacking)})" if lacking else ""
        raise SpecError(
            f"The call of {kind} failed: {str(error).strip().splitlines()[0]:.200}. Either its "
            f"parts do not belong together{without}, or an option is not for it."
        ) from error


def _tell_size(pipeline: Any, asked: Mapping[str, Any], made: Tensor, *, latent: bool) -> None:
    """Warn of an image of another size than was asked for."""
    factor = getattr(pipeline, "vae_scale_factor", None) if latent else 1
    if made.ndim < 3 or not isinstance(factor, int):
        return
    size = {"height": made.shape[-2] * factor, "width": made.shape[-1] * factor}
    other = [
        f"{k}={n}, not {asked[k]}" for k, n in size.items() if asked.get(k, n) not in (n, None)
    ]
    if other:
        warnings.warn(
            f"{type(pipeline).__name__} gives {' and '.join(other)}: its sizes go in steps. Ask "
            "for such a size, or scale the image.",
            stacklevel=2,
        )


def _check_steps(options: Mapping[str, Any]) -> None:
    """Refuse a share of the steps that is less than one."""
    steps, strength = options.get("num_inference_steps"), options.get("strength")
    if steps and strength is not None and int(steps * strength) < 1:
        more = f"Give {math.ceil(1 / strength)} steps or more, or" if strength else "Give"
        raise ValueError(
            f"strength={strength:g} of {steps} steps is less than one step, so nothing would be "
            f"made anew. {more} a greater strength."
        )


def _first(found: Any) -> Any:
    """What a pipeline's output holds: images, frames or audios, whichever it is called."""
    return next(iter(found.values()))


def _value(x: Any, spec: Spec) -> Tensor:
    """One value of a pipeline as a latent (*event) in [-1, 1]."""
    x = torch.as_tensor(x).float().cpu()
    if spec.modality == "audio":
        return (x if x.ndim == 2 else x[None]).mT
    return 2 * x.movedim(-1, -3) - 1
