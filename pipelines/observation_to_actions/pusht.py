"""Where an agent and a T are to where the agent goes, so that the T comes to its place: PushT.

Data: made by the program `mmgen.simulators.pusht`, which needs gym-pusht, and kept in the folder
that MMGEN_PUSHT names.
"""

from __future__ import annotations

import numpy as np

from mmgen.core.card import Card
from mmgen.families.diffusion.times import LogitNormalTimes
from mmgen.modalities.actions import Episode, Windows
from mmgen.pipeline import Pipeline
from mmgen.policies import diffusion_policy
from mmgen.simulators.pusht import demonstrations
from mmgen.training.pairs import IndexedPairs, Pairs

__all__ = ["CARD", "DEBUG", "NUM_EPISODES", "PREVIEW", "ROLLOUT", "TRAINING", "build", "debug"]
__all__ += ["pairs"]

CARD = Card(
    x="actions",
    y="observation",
    family="diffusion",
    summary="PushT: the next 16 actions from the last 2 observations, by diffusion.",
    data=(
        "354 episodes of an expert of gym-pusht (Apache-2.0) that has learnt nothing, "
        "mmgen.simulators.pusht, and the same in a mirror."
    ),
    licence="Apache-2.0",
    parameters=439_712,
    trained=(
        "By this recipe on one CPU core that other work shared: 6,250 steps of 256 pairs in about "
        "12 minutes (the first 2,462 on a schedule of 11,750), by OMP_NUM_THREADS=1 "
        "ACCELERATE_USE_CPU=true mmgen train observation-to-actions:pusht."
    ),
    scores={
        "pusht: episodes in which the T comes to its place": "88.0 % (80.2 to 93.0, n = 100)",
        "pusht: score: greatest share covered, over 0.95": "0.9324 (0.8851 to 0.9729, n = 100)",
    },
    limits=(
        "Has seen 354 episodes of an expert that pushes a T of this size to this place, and 300 "
        "steps are enough for a few mistakes, not for many."
    ),
)

ROLLOUT = {"environment": "gym_pusht/PushT-v0", "num_action_steps": 8}
NUM_EPISODES = {"near": 174, "far": 180}
"""Of demonstrations that start near the goal, and as gym-pusht does."""

TRAINING = {
    "steps": 6_250,
    "batch_size": 256,
    "optimizer": "muon",
    "learning_rate": 2e-3,
    "warmup": 100,
    "sample_every": 0,
    "precision": "no",
}
DEBUG = {"dim": 32, "depth": 1, "width": 32}

_HISTORY, _HORIZON, _SIZE = 2, 16, 512.0
_STATE = "observation.state"
_STANDING = [[256.0, 400.0, 256.0, 300.0, 0.0]] * _HISTORY
PREVIEW = [{_STATE: _STANDING}]


def pairs(split: str = "train") -> Pairs:
    """Pairs (the last observations, the next actions) of the expert's, and in a mirror."""
    shown = [
        own
        for kind, count in NUM_EPISODES.items()
        for own in demonstrations(count, near=kind == "near")
    ]
    both = [own for one in shown for own in (one, one.mirrored())]
    episodes = [Episode({_STATE: d.states}, d.actions) for d in both]
    return IndexedPairs(Windows(episodes, history=_HISTORY, horizon=_HORIZON))


def build(*, dim: int = 128, depth: int = 4, width: int = 256) -> Pipeline:
    """The pipeline with fresh weights."""
    # What is seen all but fixes what is done, so it shows at much noise.
    times = LogitNormalTimes(mean=0.7, std=1.2)
    return diffusion_policy(
        {_STATE: (_HISTORY, 5)},
        horizon=_HORIZON,
        num_actions=2,
        bounds=(0.0, _SIZE),
        dim=dim,
        depth=depth,
        attentive=False,
        seen={"angles": {_STATE: (4,)}, "width": width},
        units="px",
        times=times,
    )


def debug() -> Pipeline:
    """A tiny one with random weights."""
    pipe = build(**DEBUG)
    rng = np.random.default_rng(0)
    states = rng.uniform(0, _SIZE, (8, _HISTORY, 5))
    actions = rng.uniform(0, _SIZE, (8, _HORIZON, 2))
    pipe.fit_statistics([({_STATE: s}, a) for s, a in zip(states, actions, strict=True)])
    return pipe
