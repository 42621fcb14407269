"""What half a cheetah sees to what it does, as an expert does it: MuJoCo's HalfCheetah.

Data: the set `actions` below the folder that MMGEN_DATA names, of it
mujoco_HalfCheetah-v4_expert.npz.
"""

from __future__ import annotations

import torch

from mmgen.core.card import Card
from mmgen.modalities.actions import Windows, read_rollouts
from mmgen.pipeline import Pipeline
from mmgen.policies import diffusion_policy
from mmgen.training.data import data_file
from mmgen.training.pairs import IndexedPairs, Pairs

__all__ = [
    "CARD",
    "DEBUG",
    "EXPERT",
    "PREVIEW",
    "ROLLOUT",
    "TRAINING",
    "build",
    "debug",
    "pairs",
]

CARD = Card(
    x="actions",
    y="observation",
    family="diffusion",
    summary="MuJoCo's HalfCheetah: the next 4 actions from the last observation, by diffusion.",
    data=(
        "Two episodes of 1,000 steps of an expert in HalfCheetah-v4 "
        "(github.com/berkeleydeeprlcourse/homework_fall2023 at f401a13)."
    ),
    licence="MIT",
    parameters=535_494,
    trained=(
        "By this recipe on one CPU core that other work shared: 500 steps of 64 pairs in about "
        "2 minutes, by OMP_NUM_THREADS=1 ACCELERATE_USE_CPU=true mmgen train "
        "observation-to-actions:halfcheetah."
    ),
    scores={
        "locomotion: return as a share of the expert's": ("98.7 % (97.9 to 99.4, n = 50)"),
        "locomotion: episodes that last to the end": ("100.0 % (92.9 to 100.0, n = 50)"),
    },
    limits=("Has seen two episodes, and not how to get up or to start otherwise."),
)

ROLLOUT = {"environment": "HalfCheetah-v4", "num_action_steps": 1}
EXPERT = "actions/mujoco_HalfCheetah-v4_expert.npz"

TRAINING = {
    "steps": 500,
    "batch_size": 64,
    "optimizer": "muon",
    "learning_rate": 2e-3,
    "warmup": 100,
    "sample_every": 0,
    "precision": "no",
}

DEBUG = {"dim": 32, "depth": 1}

_HISTORY, _HORIZON = 1, 4
_NUM_STATES, _NUM_ACTIONS, _BOUNDS = 17, 6, (-1.0, 1.0)

# About how the robot stands at the start.
PREVIEW = [{"observation.state": [[0.0] + [0.0] * 16] * _HISTORY}]


def pairs(split: str = "train") -> Pairs:
    """Pairs (the last observation, the next actions), one for each step of the expert's."""
    low, high = _BOUNDS
    episodes = read_rollouts(data_file(EXPERT), low=low, high=high)
    return IndexedPairs(Windows(episodes, history=_HISTORY, horizon=_HORIZON, complete=True))


def build(*, dim: int = 96, depth: int = 3) -> Pipeline:
    """The pipeline with fresh weights."""
    return diffusion_policy(
        {"observation.state": (_HISTORY, _NUM_STATES)},
        horizon=_HORIZON,
        num_actions=_NUM_ACTIONS,
        bounds=_BOUNDS,
        normalisation="mean-std",
        dim=dim,
        depth=depth,
        num_inference_steps=4,
    )


def debug() -> Pipeline:
    """A tiny one with random weights."""
    pipe = build(**DEBUG)
    draw = torch.Generator().manual_seed(0)
    states = torch.randn(8, _HISTORY, _NUM_STATES, generator=draw)
    actions = torch.rand(8, _HORIZON, _NUM_ACTIONS, generator=draw) * 2 - 1
    seen = [{"observation.state": state} for state in states]
    pipe.fit_statistics(list(zip(seen, actions, strict=True)))
    return pipe
