"""Does the diffusion family find posteriors of simulators that are known?

On each task the family is trained on pairs of parameters and simulations, within a budget of
simulations and of seconds, and then asked for the posterior of each observation that comes with
reference samples. A classifier tries to tell the two apart: an accuracy (C2ST) of 0.5 is best.

    python -m benchmarks.tasks.posteriors --seconds 600

Reads the set `sbi_reference_posteriors` below the folder that MMGEN_DATA names.

Sources of tasks and protocol: Benchmarking Simulation-Based Inference (Lueckmann et al., 2021),
App. T, arXiv:2101.04653. With 100,000 simulations, its best methods reach a C2ST of about 0.5 to
0.6 on Gaussian Linear, Gaussian Mixture and Two Moons, and 0.8 on SLCP.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmgen.core.condition import Condition
from mmgen.core.latent import Latent
from mmgen.core.model import Model
from mmgen.core.rng import Generators
from mmgen.core.spec import ConditionSpec, Spec
from mmgen.evaluation.calibration import tarp
from mmgen.evaluation.record import write_result
from mmgen.evaluation.two_sample import c2st
from mmgen.families import diffusion

__all__ = ["TASKS", "Task", "main"]

PROTOCOL = 1
BATCH = 256
LEARNING_RATE = 1e-3
CALIBRATION = (200, 50)


@dataclass(frozen=True)
class Task:
    """A prior and a simulator.

    Args:
        prior: (count, generator) to parameters theta (count, K).
        simulate: (theta, generator) to simulations (count, D).
    """

    prior: Callable[[int, torch.Generator], Tensor]
    simulate: Callable[[Tensor, torch.Generator], Tensor]


def _uniform(reach: float, num_dims: int) -> Callable[[int, torch.Generator], Tensor]:
    return lambda count, g: reach * (2 * torch.rand(count, num_dims, generator=g) - 1)


def _gaussian_linear(theta: Tensor, g: torch.Generator) -> Tensor:
    return theta + math.sqrt(0.1) * torch.randn(theta.shape, generator=g)


def _gaussian_mixture(theta: Tensor, g: torch.Generator) -> Tensor:
    wide = torch.rand(len(theta), 1, generator=g) < 0.5
    return theta + torch.where(wide, 1.0, 0.1) * torch.randn(theta.shape, generator=g)


def _two_moons(theta: Tensor, g: torch.Generator) -> Tensor:
    angle = math.pi * (torch.rand(len(theta), generator=g) - 0.5)
    radius = 0.1 + 0.01 * torch.randn(len(theta), generator=g)
    moon = torch.stack((radius * angle.cos() + 0.25, radius * angle.sin()), dim=1)
    shift = torch.stack((-(theta[:, 0] + theta[:, 1]).abs(), theta[:, 1] - theta[:, 0]), dim=1)
    return moon + shift / math.sqrt(2)


def _slcp(theta: Tensor, g: torch.Generator) -> Tensor:
    """Four points of a Gaussian in the plane: mean, two deviations and a correlation."""
    first, second, rho = theta[:, 2] ** 2, theta[:, 3] ** 2, theta[:, 4].tanh()
    noise = torch.randn(len(theta), 4, 2, generator=g)
    mixed = rho[:, None] * noise[..., 0] + (1 - rho**2).sqrt()[:, None] * noise[..., 1]
    spread = torch.stack((first[:, None] * noise[..., 0], second[:, None] * mixed), dim=2)
    return (theta[:, None, :2] + spread).flatten(1)


TASKS = {
    "gaussian_linear": Task(
        lambda count, g: math.sqrt(0.1) * torch.randn(count, 10, generator=g), _gaussian_linear
    ),
    "gaussian_mixture": Task(_uniform(10.0, 2), _gaussian_mixture),
    "two_moons": Task(_uniform(1.0, 2), _two_moons),
    "slcp": Task(_uniform(3.0, 5), _slcp),
}


class _Posterior:
    """A diffusion model of P(theta | x), on standardised numbers.

    Args:
        theta: Parameters (count, K) to train on.
        x: Simulations (count, D).
        size: Of the family.
        seconds: Longest training.
        seed: Of weights and batches.
    """

    def __init__(self, theta: Tensor, x: Tensor, *, size: str, seconds: float, seed: int) -> None:
        self.centre, self.scale = theta.mean(0), theta.std(0)
        self.x_centre, self.x_scale = x.mean(0), x.std(0)
        z, c = (theta - self.centre) / self.scale, (x - self.x_centre) / self.x_scale
        spec = Spec("properties", "continuous", (theta.shape[1],))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = diffusion.model(spec, ConditionSpec(vector_dim=x.shape[1]), size)
        self.model, self.num_steps = _fitted(model, z, c, seconds=seconds, seed=seed)

    def sample(self, x: Tensor, count: int, seed: int) -> Tensor:
        """(count, B, K) for observations x (B, D)."""
        c = Condition(len(x), vector=(x - self.x_centre) / self.x_scale)
        conditional = dataclasses.replace(self.model(c, num_inference_steps=50), rows=2000)
        generators = Generators.from_seed(seed, num_samples=count, batch=len(x))
        return conditional.sample(count, generators).z * self.scale + self.centre


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


def _measure(name: str, folder: Path, settings: argparse.Namespace) -> dict[str, object]:
    """C2ST at each observation of a task, and calibration over fresh ones."""
    task, g = TASKS[name], torch.Generator().manual_seed(settings.seed)
    theta = task.prior(settings.simulations, g)
    found = _Posterior(
        theta,
        task.simulate(theta, g),
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
            print(f"{name} {k}: C2ST {scores[k]:.3f}", file=sys.stderr)
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


def main(arguments: list[str] | None = None) -> None:
    """Measure what the arguments ask for, and write benchmarks/results/posteriors.json."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.tasks.posteriors",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--size", default="small", help="of the family")
    parser.add_argument("--simulations", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=600.0, help="of training, for each task")
    parser.add_argument("--count", type=int, default=1000, help="samples that are compared")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    settings = parser.parse_args(arguments)
    if "MMGEN_DATA" not in os.environ:
        parser.error("MMGEN_DATA names no folder of data sets.")
    folder = Path(os.environ["MMGEN_DATA"]) / "sbi_reference_posteriors"
    scores = {name: _measure(name, folder, settings) for name in settings.tasks}
    for name, found in scores.items():
        print(f"{name:18} C2ST {found['c2st_mean']:.3f}  TARP p {found['tarp_p_value']:.3f}")
    chosen = {k: v for k, v in vars(settings).items() if k != "output"}
    write_result(
        settings.output / "posteriors.json",
        task="posteriors",
        protocol=PROTOCOL,
        settings=chosen,
        scores=scores,
    )


if __name__ == "__main__":
    main()
