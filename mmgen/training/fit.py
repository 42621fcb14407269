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
from torch.utils.data import DataLoader, IterableDataset

from mmgen.core.errors import MissingDependency
from mmgen.modalities import modality
from mmgen.pipeline import Pipeline
from mmgen.training.checkpoint import load_checkpoint, save_checkpoint
from mmgen.training.ema import WeightAverage
from mmgen.training.muon import Muon, hidden_matrices
from mmgen.training.pairs import ListedPairs, Pairs, batch_at, index_at
from mmgen.training.reading import Source, read_pairs
from mmgen.training.settings import TrainSettings
from mmgen.training.trainable import Trainable

__all__ = ["fit"]

Trained = TypeVar("Trained", bound=Trainable)


def fit(
    pipe: Trained,
    pairs: Source,
    *,
    output: str | os.PathLike[str],
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
        preview: Conditions to draw samples for at intervals, if it is a pipeline.
        progress: Show a progress bar.
        settings: Fields of `TrainSettings`.

    Returns:
        The pipeline, with the averaged weights.

    Raises:
        LoadError: If the output folder holds a run with other settings.
        FloatingPointError: If the loss is not a finite number. The last checkpoint stays.
    """
    settings = TrainSettings(**settings)
    if not isinstance(pairs, Pairs):
        pairs = read_pairs(pairs, pipe) if isinstance(pipe, Pipeline) else ListedPairs(pairs)
    if len(pairs) == 0:
        raise ValueError("Expected at least one pair to train on, got none.")
    run = _Run(pipe, pairs, Path(output), settings, preview)
    return run.run(progress)


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


class _Batches(IterableDataset):
    """Prepared batches from a position on, this process's share of each."""

    def __init__(self, run: _Run, first_batch: int) -> None:
        self._run, self._first = run, first_batch

    def __iter__(self) -> Iterator[dict[str, Any]]:
        run = self._run
        worker = torch.utils.data.get_worker_info()
        offset, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        world, size = run.accelerator.num_processes, run.settings.batch_size
        batch = self._first + offset
        while batch < run.settings.steps * run.settings.accumulation:
            first = batch * size * world + run.accelerator.process_index
            rows = batch_at(run.pairs, first, size, seed=run.settings.seed, stride=world)
            try:
                tensors = run.pipe.prepare(rows)
            except (ValueError, TypeError) as error:
                raise self._located(rows, first, error) from None
            yield tensors
            batch += stride

    def _located(self, rows: Sequence[tuple[Any, Any]], first: int, error: Exception) -> Exception:
        """The error, with the place of the first pair of the batch that cannot be prepared."""
        run = self._run
        for number, row in enumerate(rows):
            try:
                run.pipe.prepare([row])
            except (ValueError, TypeError) as own:
                position = first + number * run.accelerator.num_processes
                index = index_at(run.pairs, position, seed=run.settings.seed)
                return type(own)(f"{run.pairs.where(index)}: {own}")
        return error


class _Run:
    def __init__(
        self,
        pipe: Trainable,
        pairs: Pairs,
        output: Path,
        settings: TrainSettings,
        preview: Sequence[Any],
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
            step, *_optimizers(pipe, step, settings, self.accelerator.mixed_precision)
        )
        self.bare = self.accelerator.unwrap_model(self.step)
        self.average = WeightAverage(self.bare, decay=settings.ema)
        if settings.compile:
            _compile(pipe.parts)

    def _fit_statistics(self) -> None:
        if not self.pipe.needs_statistics:
            return
        count = min(self.settings.statistics_from, max(len(self.pairs), 256))
        # Far from where training starts, so that simulated pairs are other ones.
        self.pipe.fit_statistics(batch_at(self.pairs, 2**40, count, seed=self.settings.seed))

    def run(self, show: bool) -> Trainable:
        done = self._resume()
        self.pipe.parts.train()
        bar = _progress_bar(disable=not show or not self.accelerator.is_main_process)
        with bar, _attention(self.accelerator.device):
            task = bar.add_task("training", total=self.settings.steps, completed=done, note="")
            for step, note in self._steps(done):
                bar.update(task, completed=step, note=note)
        self.average.copy_to_module()
        self.pipe.parts.eval()
        # Not `end_training`, which would leave a second run of this process without its group.
        for tracker in self.accelerator.trackers:
            tracker.finish()
        return self.pipe

    def _steps(self, done: int) -> Iterator[tuple[int, str]]:
        settings = self.settings
        first = done * settings.accumulation
        batches = DataLoader(_Batches(self, first), batch_size=None, num_workers=settings.workers)
        losses: dict[str | None, list[Tensor]] = {phase: [] for phase in self.phases}
        started = time.monotonic()
        for number, tensors in enumerate(batches, start=first):
            turn = done % len(self.phases)
            phase, optimizer = self.phases[turn], self.optimizers[turn]
            with self.accelerator.accumulate(self.step):
                seed = (settings.seed * 1_000_003 + number) * 64 + self.accelerator.process_index
                torch.manual_seed(seed)
                loss = self.step(_to(tensors, self.accelerator.device), seed, phase)
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self._moved_by(optimizer), settings.clip)
                self._set_learning_rate(optimizer, done)
                optimizer.step()
                # Gradients also reach what this phase leaves as it is.
                for each in self.optimizers:
                    each.zero_grad()
            losses[phase].append(loss.detach())
            if not self.accelerator.sync_gradients:
                continue
            done += 1
            self.average.update(done)
            note = ""
            if done % settings.log_every == 0 or done == settings.steps:
                note = self._log(done, losses, time.monotonic() - started)
                losses, started = {p: [] for p in self.phases}, time.monotonic()
            self._at_intervals(done)
            yield done, note

    def _at_intervals(self, done: int) -> None:
        settings, last = self.settings, done == self.settings.steps
        if not self.accelerator.is_main_process:
            return
        if done % settings.checkpoint_every == 0 or last:
            self._save(done)
        if self.preview and settings.sample_every and (done % settings.sample_every == 0 or last):
            self._draw(done)

    def _log(self, done: int, losses: dict[str | None, list[Tensor]], seconds: float) -> str:
        every = [loss for some in losses.values() for loss in some]
        loss = float(torch.stack(every).mean())
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"The loss is {loss} at step {done}. The last checkpoint in {self.output} is "
                "whole; go on from it with a lower learning rate."
            )
        rate = len(every) * self.settings.batch_size * self.accelerator.num_processes / seconds
        turns = {
            f"loss_{phase}": round(float(torch.stack(some).mean()), 6)
            for phase, some in losses.items()
            if phase is not None and some
        }
        row = {
            "step": done,
            "loss": round(loss, 6),
            **turns,
            "learning_rate": self.optimizers[(done - 1) % len(self.phases)].param_groups[0]["lr"],
            "pairs_per_second": round(rate, 2),
            "memory_gb": round(_memory_gb(), 3),
        }
        if self.accelerator.is_main_process:
            with open(self.output / "log.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            self.accelerator.log({k: v for k, v in row.items() if k != "step"}, step=done)
        return f"loss {loss:.4f}  {rate:.0f} pairs/s  {row['memory_gb']:.1f} GB"

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
            optimizers=self.optimizers,
            average=self.average,
            settings=self.settings,
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
        )


def _optimizers(
    pipe: Trainable, step: _Step, settings: TrainSettings, precision: str
) -> list[torch.optim.Optimizer]:
    if not pipe.phases:
        return [_optimizer(step, step.parameters(), settings, precision)]
    shares = [list(pipe.phase_parameters(phase)) for phase in pipe.phases]
    placed = {id(p) for share in shares for p in share}
    shares[-1] += [p for p in step.parameters() if id(p) not in placed]
    return [_optimizer(step, share, settings, precision, momentum=0.0) for share in shares]


def _optimizer(
    module: nn.Module,
    parameters: Iterable[nn.Parameter],
    settings: TrainSettings,
    precision: str,
    *,
    momentum: float = 0.9,
) -> torch.optim.Optimizer:
    parameters = [p for p in parameters if p.requires_grad]
    own = {id(p) for p in parameters}
    matrices = hidden_matrices(module) if settings.optimizer == "muon" else []
    matrices = [p for p in matrices if id(p) in own]
    hidden = {id(p) for p in matrices}
    rest = [p for p in parameters if id(p) not in hidden]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    rates = {"lr": settings.learning_rate, "betas": (momentum, settings.beta2)}
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, fused=True, **rates)
    groups = [{**group, "orthogonal": False} for group in groups]
    groups.append({"params": matrices, "weight_decay": settings.weight_decay, "orthogonal": True})
    brief = torch.bfloat16 if precision == "bf16" else torch.float32
    return Muon(groups, precision=brief, **rates)


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


def _to(tensors: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    return {
        k: _to(v, device) if isinstance(v, Mapping) else v.to(device, non_blocking=True)
        for k, v in tensors.items()
    }


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
