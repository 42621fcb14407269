"""The one training loop."""

from __future__ import annotations

import json
import math
import os
import resource
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader

from mmgen.adapter import Adapter
from mmgen.core.errors import MissingDependency
from mmgen.modalities import modality
from mmgen.pipeline import Pipeline
from mmgen.training.adapters import adapted
from mmgen.training.batches import Batches, moved_to
from mmgen.training.checkpoint import load_assets, load_checkpoint, save_checkpoint
from mmgen.training.describing import described
from mmgen.training.ema import WeightAverage
from mmgen.training.locking import locked
from mmgen.training.losses import Losses
from mmgen.training.optimizers import optimizers_of
from mmgen.training.pairs import ListedPairs, Pairs, batch_at
from mmgen.training.reading import Source, read_pairs
from mmgen.training.selecting import only_training
from mmgen.training.settings import TrainSettings
from mmgen.training.trainable import Trainable
from mmgen.training.validation import Validation

__all__ = ["fit"]

Trained = TypeVar("Trained", bound=Trainable)


def fit(
    pipe: Trained,
    pairs: Source,
    *,
    output: str | os.PathLike[str],
    validation: Source | None = None,
    preview: Sequence[Any] = (),
    progress: bool = True,
    **settings: Any,
) -> Trained:
    """Train a pipeline on pairs (y, x). The same call goes on where a run stopped.

    Args:
        pipe: What to train, in place; also an `Autoencoding`, for a codec of latents, or a
            `Vocoding`. If it has no vocabularies and statistics yet, they are taken from the first
            pairs.
        pairs: What to learn: `Pairs`, a sequence of (y, x), or for a pipeline also whatever
            `read_pairs` reads, such as a folder.
        output: Folder of checkpoints, log and overviews of samples.
        validation: Pairs to measure the loss on and never to learn from. The result is then of the
            step at which it was least, and `patience` can end the run early. Pipelines only.
        preview: Conditions to draw samples for at intervals, if it is a pipeline.
        progress: Show a progress bar.
        settings: Fields of `TrainSettings`.

    Returns:
        The pipeline, with the averaged weights. It is also written to the folder "pipeline" in
        `output`, and `Pipeline.from_pretrained(output)` loads it, unless it was put together by
        hand.

    Raises:
        LoadError: If the output folder holds a run with other settings, or is in use by one.
        FloatingPointError: If the loss is not a finite number. The last checkpoint stays.
    """
    settings = TrainSettings(**settings)
    if not isinstance(pairs, Pairs):
        pairs = read_pairs(pairs, pipe) if isinstance(pipe, Pipeline) else ListedPairs(pairs)
    if validation is not None:
        if not isinstance(pipe, Pipeline):
            raise TypeError(f"Validation is for a pipeline, got {type(pipe).__name__}.")
        validation = read_pairs(validation, pipe)
    for each, what in ((pairs, "to train on"), (validation, "to validate on")):
        if each is not None and len(each) == 0:
            raise ValueError(f"Expected at least one pair {what}, got none.")
    if isinstance(pipe, Pipeline) and pipe.origin:
        pipe.forget_ranking()
    output = Path(output)
    with locked(output):
        with only_training(pipe.parts, settings.only), adapted(pipe, settings) as adapters:
            run = _Run(pipe, pairs, output, settings, preview, validation)
            run.run(progress)
            factors = None if adapters is None else adapters.factors()
        if isinstance(pipe, Pipeline):
            run.save(factors)
            # No process says that it is done before the one that writes is.
            run.accelerator.wait_for_everyone()
    return pipe


class _Step(nn.Module):
    """The whole loss as one module's forward, which is what data-parallel wrappers hook."""

    def __init__(self, pipe: Trainable) -> None:
        super().__init__()
        self.parts = pipe.parts
        self._pipe = pipe

    def forward(self, tensors: Mapping[str, Any], seed: int, phase: str | None) -> Tensor:
        generator = torch.Generator("cpu").manual_seed(seed)
        turn = {} if phase is None else {"phase": phase}
        return self._pipe.loss(tensors, generator=generator, **turn).mean()


class _Run:
    def __init__(
        self,
        pipe: Trainable,
        pairs: Pairs,
        output: Path,
        settings: TrainSettings,
        preview: Sequence[Any],
        validation: Pairs | None,
    ) -> None:
        self.pipe, self.pairs, self.output, self.settings = pipe, pairs, output, settings
        self.preview = list(preview)
        self.phases: tuple[str | None, ...] = pipe.phases or (None,)
        output.mkdir(parents=True, exist_ok=True)
        # Accelerate keeps the precision of the first run of a process; this may be another.
        AcceleratorState._reset_state()
        self.accelerator = Accelerator(
            mixed_precision=_precision(settings.precision),
            gradient_accumulation_steps=settings.accumulation,
            log_with="tensorboard" if settings.tensorboard else None,
            project_dir=output,
            # In one phase the parameters of the others are not used.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)]
            if len(self.phases) > 1
            else None,
        )
        if settings.tensorboard:
            _start_tensorboard(self.accelerator)
        self._fit_statistics()
        step = _Step(pipe)
        self.step, *self.optimizers = self.accelerator.prepare(
            step,
            *optimizers_of(pipe, step, settings, precision=self.accelerator.mixed_precision),
        )
        self.bare = self.accelerator.unwrap_model(self.step)
        self.average = WeightAverage(self.bare, decay=settings.ema)
        self.validation = None
        if validation is not None:
            own = {"average": self.average, "folder": output / "best", "settings": settings}
            self.validation = Validation(pipe, validation, **own)
        if settings.compile:
            _compile(pipe.parts)

    def _fit_statistics(self) -> None:
        if not (self.pipe.needs_statistics or isinstance(self.pipe, Pipeline)):
            return
        if load_assets(self.output / "checkpoint", self.pipe.parts):
            # The pairs may be others by now, the vocabulary must not.
            return
        count = min(self.settings.statistics_from, max(len(self.pairs), 256))
        # Far from where training starts, so that simulated pairs are other ones.
        self.pipe.fit_statistics(batch_at(self.pairs, 2**40, count, seed=self.settings.seed))

    def save(self, factors: Mapping[str, tuple[Tensor, Tensor]] | None) -> None:
        """Write the pipeline, and the adapters alone; with what its card says of this run."""
        pipe = self.pipe
        if pipe.card is not None:
            world = self.accelerator.num_processes
            found = {"settings": self.settings, "world": world, "validation": self.validation}
            pipe.card = described(pipe.card, base=pipe.origin, pairs=self.pairs, **found)
        # Under torchrun or accelerate launch, one process of several writes.
        if not self.accelerator.is_main_process:
            return
        if pipe.can_be_saved:
            pipe.save_pretrained(self.output / "pipeline")
        if factors is not None:
            own = Adapter(pipe.origin, factors, pipe.encoder.assets(), pipe.card)
            own.save(self.output / "adapter")

    def run(self, show: bool) -> None:
        done = self._resume()
        if done == 0:
            self._validate(0)
        self.pipe.parts.train()
        bar = _progress_bar(disable=not show or not self.accelerator.is_main_process)
        with bar, _attention(self.accelerator.device):
            task = bar.add_task("training", total=self.settings.steps, completed=done, note="")
            for step, note in self._steps(done):
                bar.update(task, completed=step, note=note)
        if self.validation is not None:
            self.accelerator.wait_for_everyone()
            self.validation.restore_best()
        self.average.copy_to_module()
        self.pipe.parts.eval()
        # Not `end_training`, which would leave a second run of this process without its group.
        for tracker in self.accelerator.trackers:
            tracker.finish()

    def _steps(self, done: int) -> Iterator[tuple[int, str]]:
        settings = self.settings
        first = done * settings.accumulation
        share = {"process": self.accelerator.process_index, "world": self.accelerator.num_processes}
        batches = Batches(self.pipe, self.pairs, settings, first=first, **share)
        losses = Losses(self.phases)
        started = time.monotonic()
        loader = DataLoader(batches, batch_size=None, num_workers=settings.workers)
        for number, tensors in enumerate(loader, start=first):
            turn = done % len(self.phases)
            phase, optimizer = self.phases[turn], self.optimizers[turn]
            with self.accelerator.accumulate(self.step):
                seed = settings.seed * 1_000_003 + batches.part(number)
                torch.manual_seed(seed)
                loss = self.step(moved_to(tensors, self.accelerator.device), seed, phase)
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self._moved_by(optimizer), settings.clip)
                self._set_learning_rate(optimizer, done)
                optimizer.step()
                # Gradients also reach what this phase leaves as it is.
                for each in self.optimizers:
                    each.zero_grad()
            losses.take(number, phase, loss)
            if not self.accelerator.sync_gradients:
                continue
            done += 1
            self.average.update(done)
            note = ""
            if self._due(done, settings.log_every) or self._due(done, settings.checkpoint_every):
                # Before what came of them is written.
                losses.check(done, batches.where, self.output)
            if self._due(done, settings.log_every):
                note = self._log(done, losses, time.monotonic() - started)
                started = time.monotonic()
                losses.clear()
            stop = self._validate(done)
            self._at_intervals(done)
            yield done, note
            if stop:
                return

    def _validate(self, done: int) -> bool:
        """Measure if it is time to.

        Returns:
            Whether the run should end.
        """
        validation = self.validation
        if validation is None or not self._due(done, self.settings.validate_every):
            return False
        # Every process measures the same, so that all of them stop together.
        loss = validation.measure()
        validation.take(done, loss, write=self.accelerator.is_main_process)
        self._write({"step": done, "validation_loss": round(loss, 6)})
        return validation.stalled

    def _due(self, done: int, every: int) -> bool:
        """Whether a step is one of every so many, or the last; never if every is 0."""
        return every > 0 and (done % every == 0 or done == self.settings.steps)

    def _at_intervals(self, done: int) -> None:
        if not self.accelerator.is_main_process:
            return
        if self._due(done, self.settings.checkpoint_every):
            self._save(done)
        if self.preview and self._due(done, self.settings.sample_every):
            self._draw(done)

    def _log(self, done: int, losses: Losses, seconds: float) -> str:
        loss = losses.mean()
        rate = len(losses) * self.settings.batch_size * self.accelerator.num_processes / seconds
        row = {
            "step": done,
            "loss": round(loss, 6),
            **losses.means(),
            "learning_rate": self.optimizers[(done - 1) % len(self.phases)].param_groups[0]["lr"],
            "pairs_per_second": round(rate, 2),
            "memory_gb": round(_memory_gb(), 3),
        }
        self._write(row)
        return f"loss {loss:.4f}  {rate:.0f} pairs/s  {row['memory_gb']:.1f} GB"

    def _write(self, row: Mapping[str, Any]) -> None:
        """A line of the log."""
        if self.accelerator.is_main_process:
            with open(self.output / "log.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            numbers = {k: v for k, v in row.items() if k != "step"}
            self.accelerator.log(numbers, step=row["step"])

    def _draw(self, done: int) -> None:
        self.pipe.parts.eval()
        # Compiling once more for the few shapes of an overview would cost more than it saves.
        with self.average.applied(), torch.compiler.set_stance("force_eager"):
            values = self.pipe(self.preview, seed=0)
        self.pipe.parts.train()
        kind = modality(self.pipe.codec.spec.modality)
        titles = [
            ", ".join(map(str, y.values())) if isinstance(y, Mapping) else str(y)
            for y in self.preview
        ]
        kind.save_many(values, self.output / f"samples_{done:07d}{kind.PREVIEW_SUFFIX}", titles)

    def _moved_by(self, optimizer: torch.optim.Optimizer) -> Iterable[nn.Parameter]:
        if len(self.phases) == 1:
            return self.step.parameters()
        return [p for group in optimizer.param_groups for p in group["params"]]

    def _set_learning_rate(self, optimizer: torch.optim.Optimizer, done: int) -> None:
        s = self.settings
        if done < s.warmup:
            share = (done + 1) / s.warmup
        else:
            share = 0.5 + 0.5 * math.cos(math.pi * (done - s.warmup) / max(1, s.steps - s.warmup))
        for group in optimizer.param_groups:
            group["lr"] = s.learning_rate * share

    def _save(self, done: int) -> None:
        save_checkpoint(
            self.output / "checkpoint",
            step=done,
            module=self.bare,
            parts=self.pipe.parts,
            optimizers=self.optimizers,
            average=self.average,
            settings=self.settings,
            validation=self.validation,
        )

    def _resume(self) -> int:
        folder = self.output / "checkpoint"
        if not folder.is_dir():
            return 0
        return load_checkpoint(
            folder,
            module=self.bare,
            optimizers=self.optimizers,
            average=self.average,
            settings=self.settings,
            validation=self.validation,
        )


def _compile(part: nn.Module) -> None:
    # The largest pieces that are called as modules: networks, not the parts that hold them.
    inside: set[nn.Module] = set()
    for module in part.modules():
        if module not in inside and type(module).__module__.startswith("mmgen.nn."):
            module.compile(dynamic=False)
            inside |= set(module.modules())


def _attention(device: torch.device) -> AbstractContextManager[None]:
    # On CPUs the fused kernel's backward took a third of a step, plain products a tenth.
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def _precision(choice: str) -> str:
    if choice != "auto":
        return choice
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return "bf16" if torch.cpu._is_amx_tile_supported() else "no"


def _memory_gb() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _start_tensorboard(accelerator: Accelerator) -> None:
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise MissingDependency(
            "tensorboard", extra="train", purpose="Writing logs for TensorBoard"
        ) from None
    accelerator.init_trackers("tensorboard")


def _progress_bar(*, disable: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        disable=disable,
    )
