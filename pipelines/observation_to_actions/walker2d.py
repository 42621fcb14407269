"""What a two-legged walker sees to what it does, as an expert does it: MuJoCo's Walker2d.

Data: the set `actions` below the folder that MMGEN_DATA names, with mujoco_Walker2d-v4_expert.npz.
"""

from __future__ import annotations

from mmgen.core.card import Card
from mmgen.families.diffusion.times import LogitNormalTimes
from mmgen.pipeline import Pipeline
from mmgen.training.imitation import SETTINGS, Imitation
from mmgen.training.pairs import Pairs

__all__ = ["CARD", "DEBUG", "EXPERT", "PREVIEW", "ROLLOUT", "TRAINING", "build", "debug", "pairs"]

CARD = Card(
    x="actions",
    y="observation",
    family="diffusion",
    summary="MuJoCo's Walker2d: the next action from the last observation, by diffusion.",
    data=(
        "Two episodes of 1,000 steps of an expert in Walker2d-v4 "
        "(github.com/berkeleydeeprlcourse/homework_fall2023 at f401a13)."
    ),
    licence="MIT",
    parameters=99_270,
    trained=(
        "By this recipe on one CPU core that other work shared: 4,000 steps of 256 pairs in about "
        "6 minutes, by OMP_NUM_THREADS=1 ACCELERATE_USE_CPU=true mmgen train "
        "observation-to-actions:walker2d."
    ),
    scores={
        "locomotion: return as a share of the expert's": "86.0 % (77.4 to 93.7, n = 50)",
        "locomotion: episodes that last to the end": "82.0 % (69.2 to 90.2, n = 50)",
    },
    limits=(
        "Falls in a fifth of the episodes: two of the expert's do not show how to catch oneself. "
        "It asks for more than the environment carries out, as its expert does."
    ),
)

ROLLOUT = {"environment": "Walker2d-v4", "num_action_steps": 1}
EXPERT = "actions/mujoco_Walker2d-v4_expert.npz"

TRAINING = SETTINGS | {"steps": 4000, "batch_size": 256, "optimizer": "adamw"}
DEBUG = {"dim": 32, "depth": 1}

# Of what the expert asks for, two fifths is beyond what is carried out.
_IMITATION = Imitation(
    expert=EXPERT, num_states=17, num_actions=6, history=1, horizon=1, bounds=None
)

# About how the robot stands at the start.
PREVIEW = _IMITATION.standing(1.25)


def pairs(split: str = "train") -> Pairs:
    """Pairs (the last observation, the next actions), one for each step of the expert's."""
    return _IMITATION.pairs()


def build(*, dim: int = 96, depth: int = 1) -> Pipeline:
    """The pipeline with fresh weights."""
    # What is seen all but fixes what is done, so it shows at much noise.
    times = LogitNormalTimes(mean=2.0, std=1.5)
    return _IMITATION.diffusion(
        normalisation="mean-std",
        dim=dim,
        depth=depth,
        attentive=False,
        num_inference_steps=4,
        times=times,
    )


def debug() -> Pipeline:
    """A tiny one with random weights."""
    return _IMITATION.fitted(build(**DEBUG))
