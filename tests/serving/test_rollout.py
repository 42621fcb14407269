"""Policies in an environment: the same alone as in company, and clear refusals."""

from __future__ import annotations

import numpy as np
import pytest

from mmgen.core.errors import LoadError, SpecError, UnknownNameError
from mmgen.modalities.actions.environment import make_environment
from mmgen.pipeline import Pipeline
from mmgen.serving import Rollout

pytest.importorskip("gymnasium")
pytest.importorskip("mujoco")

HOPPER = "Hopper-v4"
FAST = {"num_inference_steps": 2}


@pytest.fixture(scope="module")
def policy() -> Pipeline:
    return Pipeline.debug("observation-to-actions:hopper")


def test_an_episode_is_the_same_alone_and_in_company(policy: Pipeline) -> None:
    player = Rollout(policy, HOPPER, num_action_steps=3, max_steps=12, options=FAST)
    together = player.play(3, seed=7)
    alone = player.play(1, seed=9)
    assert [e.seed for e in together] == [7, 8, 9]
    assert alone[0].total == pytest.approx(together[2].total, abs=1e-3)
    assert len({round(e.total, 4) for e in together}) == 3


def test_it_does_what_a_plain_loop_does(policy: Pipeline) -> None:
    """A chunk of which all is carried out, in a loop that is written out here."""
    player = Rollout(policy, HOPPER, num_action_steps=8, max_steps=8, options=FAST)
    seen = []

    class Asked:
        """The policy, which notes what it was asked."""

        encoder, codec = policy.encoder, policy.codec

        def __call__(self, y: list, *, seed: list[int], **options: int) -> list[np.ndarray]:
            seen.append((y, seed))
            return policy(y, seed=seed, **options)

    player = Rollout(Asked(), HOPPER, num_action_steps=8, max_steps=8, options=FAST)  # type: ignore[arg-type]
    played = player.play(1, seed=3)[0]
    env = make_environment(HOPPER, max_steps=8)
    first = env.reset(seed=3)[0]
    (y, seed) = seen[0]
    assert np.allclose(y[0]["observation.state"], [first, first])
    total = 0.0
    for action in policy(y, seed=seed, **FAST)[0]:
        _, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        if terminated or truncated:
            break
    env.close()
    assert played.total == pytest.approx(total, abs=1e-6)


def test_time_and_progress(policy: Pipeline) -> None:
    told: list[tuple[int, int]] = []
    player = Rollout(policy, HOPPER, max_steps=5, options=FAST)
    played = player.play(2, progress=lambda done, most: told.append((done, most)))
    assert all(e.steps <= 5 and e.success is None for e in played)
    assert told[-1] == (10, 10)
    assert not played[0].terminated or played[0].steps <= 5


@pytest.mark.parametrize(
    ("environment", "error", "says"),
    [
        ("Walker2d-v4", SpecError, r"Walker2d-v4 shows .*17.*sees .*11"),
        ("Hoper-v4", UnknownNameError, "Hopper-v4"),
        ("CartPole-v1", SpecError, "CartPole-v1|Box"),
    ],
)
def test_what_does_not_fit_is_refused(
    policy: Pipeline, environment: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Rollout(policy, environment)


def test_other_pipelines_and_counts_are_refused(policy: Pipeline, scenes_pipe: Pipeline) -> None:
    with pytest.raises(SpecError, match="takes a policy.*gives image"):
        Rollout(scenes_pipe, HOPPER)
    with pytest.raises(ValueError, match="1 to 8.*got 9"):
        Rollout(policy, HOPPER, num_action_steps=9)
    with pytest.raises(ValueError, match="max_steps is at least 1"):
        Rollout(policy, HOPPER, max_steps=0)


def test_a_policy_without_statistics_says_so() -> None:
    bare = Pipeline.build("observation-to-actions:hopper")
    with pytest.raises(LoadError, match="no mean and std of observation.state.*saved weights"):
        Rollout(bare, HOPPER, max_steps=2, options=FAST).play(1)
