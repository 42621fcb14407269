"""Which families find posteriors of simulators that are known?

On each task a family is trained on pairs of parameters and simulations, within a budget of
simulations and of seconds, and then asked for the posterior of each observation that comes with
reference samples. A classifier tries to tell the two apart: an accuracy (C2ST) of 0.5 is best.
Positive parameters are learnt by their logarithms; samples outside the prior are drawn again.

    python -m benchmarks.tasks.posteriors --families normalizing_flow --seconds 240

Reads the set `sbi_reference_posteriors` below the folder that MMGEN_DATA names.

Source of the protocol: Benchmarking Simulation-Based Inference (Lueckmann et al., 2021),
arXiv:2101.04653. With 100,000 simulations, its best methods reach a C2ST of about 0.5 to 0.6 on
Gaussian Linear, Gaussian Mixture and Two Moons, and 0.8 on SLCP.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.simulators import TASKS
from benchmarks.simulators import Task as Simulator
from mmgen.core.condition import Condition
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.evaluation.calibration import tarp
from mmgen.evaluation.record import write_result
from mmgen.evaluation.task import Task
from mmgen.evaluation.two_sample import c2st
from mmgen.families import diffusion, normalizing_flow

__all__ = ["TASK", "main"]

TASK = Task(
    summary="Which families find posteriors of simulators that are known?",
    protocol=2,
    minutes=75,
    quick=(
        "--tasks=gaussian_linear",
        "--families=normalizing_flow",
        "--seconds=5",
        "--simulations=5000",
        "--count=200",
    ),
    quick_minutes=1,
    quick_note="one simulator, five seconds of training",
    data=("sbi_reference_posteriors",),
    shown=(
        (
            "C2ST of the flow, Gaussian Linear",
            "normalizing_flow/gaussian_linear/c2st_mean",
            "lower",
            "0.5 is best; 0.5 to 0.6 published (arXiv:2101.04653)",
        ),
        (
            "C2ST of the flow, Gaussian Mixture",
            "normalizing_flow/gaussian_mixture/c2st_mean",
            "lower",
            "0.5 to 0.6 published",
        ),
        (
            "C2ST of the flow, Two Moons",
            "normalizing_flow/two_moons/c2st_mean",
            "lower",
            "0.5 to 0.6 published",
        ),
        ("C2ST of the flow, SLCP", "normalizing_flow/slcp/c2st_mean", "lower", "0.8 published"),
        ("C2ST of the flow, SIR", "normalizing_flow/sir/c2st_mean", "lower", "0.5 is best"),
        (
            "C2ST of the flow, Lotka-Volterra",
            "normalizing_flow/lotka_volterra/c2st_mean",
            "lower",
            "0.5 is best",
        ),
    ),
)
PROTOCOL = TASK.protocol
FAMILIES = {"normalizing_flow": normalizing_flow.model, "diffusion": diffusion.model}
BATCH = 256
LEARNING_RATE = 1e-3
CALIBRATION = (200, 50)
ROUNDS = 20


class _Posterior:
    """A model of P(theta | x), on standardised numbers.

    Args:
        task: Where theta lies, and how x is read.
        theta: Parameters (count, K) to train on.
        x: Simulations (count, D).
        family: Name of the family.
        size: Of the family.
        seconds: Longest training.
        seed: Of weights and batches.
    """

    def __init__(
        self,
        task: Simulator,
        theta: Tensor,
        x: Tensor,
        *,
        family: str,
        size: str,
        seconds: float,
        seed: int,
    ) -> None:
        self.task = task
        free, x = theta.log() if task.positive else theta, task.read(x)
        self.centre, self.scale = free.mean(0), free.std(0)
        # A number that never varies tells nothing.
        self.x_centre, self.x_scale = x.mean(0), x.std(0).clamp(min=1e-6)
        z, c = (free - self.centre) / self.scale, (x - self.x_centre) / self.x_scale
        spec = Spec("properties", "continuous", (theta.shape[1],))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = FAMILIES[family](spec, ConditionSpec(vector_dim=x.shape[1]), size)
        self.options = {"num_inference_steps": 50} if family == "diffusion" else {}
        self.model, self.num_steps = _fitted(model, z, c, seconds=seconds, seed=seed)

    def sample(self, x: Tensor, count: int, seed: int) -> Tensor:
        """(count, B, K) for observations x (B, D)."""
        c = Condition(len(x), vector=(self.task.read(x) - self.x_centre) / self.x_scale)
        conditional = dataclasses.replace(self.model(c, **self.options), rows=2000)
        drawn = torch.zeros(0, len(x), len(self.centre))
        for round_ in range(ROUNDS):
            generators = Generators.from_seed(
                seed * ROUNDS + round_, num_samples=count, batch=len(x)
            )
            free = conditional.sample(count, generators).z * self.scale + self.centre
            drawn = torch.cat((drawn, free.exp() if self.task.positive else free))
            if self.task.reach is None:
                return drawn
            inside = (drawn.abs() <= self.task.reach).all(-1)
            if int(inside.sum(0).min()) >= count:
                # In each column those inside, in the order in which they were drawn.
                first = (~inside).int().argsort(dim=0, stable=True)[:count]
                return drawn.gather(0, first[..., None].expand(-1, -1, drawn.shape[-1]))
        raise RuntimeError(
            f"After {ROUNDS} rounds fewer than {count} samples lie within the prior: the model "
            "has not learnt where parameters lie. Train for longer."
        )


def _fitted(model: Model, z: Tensor, c: Tensor, *, seconds: float, seed: int) -> tuple[Model, int]:
    """The average of the weights along the training, and the number of steps."""
    g = torch.Generator().manual_seed(seed)
    averaged = copy.deepcopy(model).requires_grad_(False).eval()
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, betas=(0.9, 0.99))
    begin, step, done = time.perf_counter(), 0, 0.0
    while done < 1:
        rows = torch.randint(len(z), (BATCH,), generator=g)
        loss = model.loss(Latent(z[rows]), Condition(BATCH, vector=c[rows]), generator=g).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        done = (time.perf_counter() - begin) / seconds
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * max(0.0, 1 - done) * min(1.0, step / 200)
        with torch.no_grad():
            share = 1 - min(0.999, (1 + step) / (10 + step))
            torch._foreach_lerp_(
                list(averaged.parameters()), [p.detach() for p in model.parameters()], share
            )
    return averaged, step


def _measure(
    name: str, family: str, folder: Path, settings: argparse.Namespace
) -> dict[str, object]:
    """C2ST at each observation of a task, and calibration over fresh ones."""
    task, g = TASKS[name], torch.Generator().manual_seed(settings.seed)
    theta = task.prior(settings.simulations, g)
    found = _Posterior(
        task,
        theta,
        task.simulate(theta, g),
        family=family,
        size=settings.size,
        seconds=settings.seconds,
        seed=settings.seed,
    )
    scores: dict[str, float] = {}
    with np.load(folder / f"{name}.npz", allow_pickle=False) as data:
        for k in sorted(key.removesuffix("_x") for key in data.files if key.endswith("_x")):
            reference = torch.as_tensor(data[f"{k}_posterior"][: settings.count]).float()
            x = torch.as_tensor(data[f"{k}_x"]).float().reshape(1, -1)
            drawn = found.sample(x, len(reference), settings.seed)[:, 0]
            scores[k] = round(c2st(drawn, reference, seed=settings.seed), 4)
            print(f"{family} {name} {k}: C2ST {scores[k]:.3f}", file=sys.stderr)
    batch, count = CALIBRATION
    truths = task.prior(batch, g)
    covered = tarp(truths, found.sample(task.simulate(truths, g), count, settings.seed))
    return {
        "c2st": scores,
        "c2st_mean": round(sum(scores.values()) / len(scores), 4),
        "tarp_p_value": round(covered.p_value, 4),
        "tarp_spread": round(covered.spread, 4),
        "steps": found.num_steps,
    }


def main(arguments: list[str] | None = None) -> Path:
    """Measure what the arguments ask for, and write benchmarks/results/posteriors.json."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.tasks.posteriors",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--size", default="small", help="of the family")
    parser.add_argument("--simulations", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=240.0, help="of training, for each task")
    parser.add_argument("--count", type=int, default=1000, help="samples that are compared")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    settings = parser.parse_args(arguments)
    if "MMGEN_DATA" not in os.environ:
        parser.error("MMGEN_DATA names no folder of data sets.")
    folder = Path(os.environ["MMGEN_DATA"]) / "sbi_reference_posteriors"
    scores = {
        family: {name: _measure(name, family, folder, settings) for name in settings.tasks}
        for family in settings.families
    }
    for family, tasks in scores.items():
        for name, found in tasks.items():
            print(
                f"{family:18} {name:18} C2ST {found['c2st_mean']:.3f}  "
                f"TARP p {found['tarp_p_value']:.3f}"
            )
    chosen = {k: v for k, v in vars(settings).items() if k != "output"}
    return write_result(
        settings.output / "posteriors.json",
        task="posteriors",
        protocol=PROTOCOL,
        settings=chosen,
        scores=scores,
    )


if __name__ == "__main__":
    main()
