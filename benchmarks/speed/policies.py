"""How fast a diffusion policy acts, beside diffusers' sampler on the same network.

From an observation to a chunk of actions by the pipeline ("mmgen"); the same number of calls of
the same network with the same condition in a plain loop of diffusers' Euler sampler of flows, from
noise to a chunk and no more ("diffusers"); and the calls alone, with the arguments that mmgen gave
them ("network"). Timed in turns in one run, with a product of matrices whose rate is the machine's
limit. Peak memory is that of one chunk in a process of its own, imports included; the one of
diffusers has loaded the pipeline too, whose network it calls.

    python -m benchmarks.speed.policies --repeats 15
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.calls import Calls, matmul
from benchmarks.speed.memory import peak_of
from benchmarks.speed.timing import Spread, interleave, ratio
from mmgen import hub
from mmgen.evaluation.record import write_result
from mmgen.evaluation.task import Task
from mmgen.families.diffusion import Diffusion
from mmgen.pipeline import Pipeline

__all__ = ["TASK", "alone", "main"]

TASK = Task(
    summary="A chunk of actions by a diffusion policy, beside diffusers' sampler on its network.",
    protocol=1,
    minutes=2,
    quick=("--quick",),
    quick_minutes=0.5,
    quick_note="a tiny network",
    shown=(
        (
            "time of a chunk of actions over that by diffusers, one at once",
            "batches/1/over_diffusers",
            "lower",
            "1; the network's calls alone {batches/1/network_over_diffusers}",
        ),
        (
            "time of a chunk of actions over that by diffusers, 25 at once",
            "batches/25/over_diffusers",
            "lower",
            "1; the network's calls alone {batches/25/network_over_diffusers}",
        ),
        (
            "seconds of a chunk, one at once",
            "batches/1/seconds/mmgen",
            "lower",
            "{seconds_of_actions} that its actions last",
        ),
        (
            "share of the machine's rate of matrix products, 25 at once",
            "batches/25/share_of_limit",
            "higher",
            "1 is the limit",
        ),
        (
            "peak memory of a chunk, MB",
            "peak_memory_mb/mmgen",
            "lower",
            "{peak_memory_mb/diffusers} by diffusers",
        ),
    ),
)
PROTOCOL = TASK.protocol
PIPELINE = "observation-to-actions:hopper"
BATCHES = (1, 25)
HERTZ = 125
"""Actions in a second of MuJoCo's Hopper."""


def _diffusers(calls: Calls, num_steps: int) -> Callable[[], Tensor]:
    """Its sampler, with calls of the same network in place of the recorded ones."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    sampler = FlowMatchEulerDiscreteScheduler()
    (z, _, *others), named = calls.arguments[0]
    times = calls.arguments[0][0][1]
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(0))

    @torch.no_grad()
    def run() -> Tensor:
        sampler.set_timesteps(num_steps)
        x = noise
        for t in sampler.timesteps:
            found = calls.network(x, torch.full_like(times, float(t) / 1000), *others, **named)
            x = sampler.step(found, t, x).prev_sample
        return x

    return run


def _network(pipe: Pipeline) -> nn.Module:
    return next(m for m in pipe.model.modules() if isinstance(m, Diffusion)).network


def _seen() -> Any:
    return hub.find_recipe(PIPELINE).module().PREVIEW[0]


def alone(way: str) -> None:
    """One chunk in one way, "mmgen" or "diffusers", for the memory of this process to be measured.

    Args:
        way: Which.
    """
    pipe = Pipeline.from_pretrained(PIPELINE)
    call = partial(pipe, [_seen()], seed=0)
    if way == "mmgen":
        call()
        return
    calls = Calls.of(_network(pipe), call)
    _diffusers(calls, len(calls.arguments))()


def _peaks() -> dict[str, float]:
    own = "from benchmarks.speed.policies import alone; alone({!r})"
    return {way: peak_of(["-c", own.format(way)], what=way) for way in ("mmgen", "diffusers")}


def _measure(pipe: Pipeline, seen: Any, repeats: int) -> dict[str, Any]:
    network = _network(pipe)
    product, flops = matmul(512, torch.float32)
    found = {}
    for count in BATCHES:
        call = partial(pipe, [seen] * count, seed=0)
        calls = Calls.of(network, call)
        cases = {
            "mmgen": call,
            "network": calls.replay,
            "diffusers": _diffusers(calls, len(calls.arguments)),
            "matmul": product,
        }
        seconds = interleave(cases, repeats)
        limit = Spread.of([flops / s / 1e9 for s in seconds.pop("matmul")])
        reached = Spread.of([calls.flops() / s / 1e9 for s in seconds["mmgen"]])
        over = {n: Spread.of(ratio(seconds[n], seconds["diffusers"])) for n in seconds}
        overhead = Spread.of([a - 1 for a in ratio(seconds["mmgen"], seconds["network"])])
        found[str(count)] = {
            "network_calls": len(calls.arguments),
            "seconds": {n: Spread.of(own).as_dict() for n, own in seconds.items()},
            "over_diffusers": over["mmgen"].as_dict(),
            "network_over_diffusers": over["network"].as_dict(),
            "overhead": overhead.as_dict(),
            "gflops": {"reached": reached.as_dict(), "limit": limit.as_dict()},
            "share_of_limit": round(reached.median / limit.median, 4),
        }
        print(
            f"{count} at once: {1000 * Spread.of(seconds['mmgen']).median:.1f} ms, "
            f"{over['mmgen'].median:.2f} times diffusers' loop, overhead "
            f"{100 * overhead.median:.0f} %, {100 * reached.median / limit.median:.0f} % of "
            f"{limit.median:.0f} GFLOP/s"
        )
    return found


def main(arguments: Sequence[str] | None = None) -> Path:
    """Measure, and write benchmarks/results/speed_policies.json."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.speed.policies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="a tiny network, a glance")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    asked = parser.parse_args(arguments)
    if asked.repeats < 1:
        parser.error(f"--repeats is at least 1, got {asked.repeats}")
    repeats = 2 if asked.quick else asked.repeats
    pipe = Pipeline.debug(PIPELINE) if asked.quick else Pipeline.from_pretrained(PIPELINE)
    batches = _measure(pipe, _seen(), repeats)
    # Each is a process of its own, too slow for a glance.
    peaks = None if asked.quick else _peaks()
    print(f"peak memory, MB: {peaks}")
    return write_result(
        asked.output / "speed_policies.json",
        task="speed of policies",
        protocol=PROTOCOL,
        settings={
            "pipeline": PIPELINE,
            "quick": asked.quick,
            "repeats": repeats,
            "threads": torch.get_num_threads(),
            "cores_allowed": len(os.sched_getaffinity(0)),
        },
        scores={
            "batches": batches,
            "peak_memory_mb": peaks,
            "seconds_of_actions": round(pipe.codec.spec.shape[0] / HERTZ, 4),
        },
    )


if __name__ == "__main__":
    main()
