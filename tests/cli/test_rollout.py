"""`mmgen rollout`."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.conftest import SCENES, Command

from mmgen.pipeline import Pipeline


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pipe = Pipeline.debug("observation-to-actions:hopper")
    return pipe.save_pretrained(tmp_path_factory.mktemp("policy") / "hopper")


def test_it_tells_returns_as_json(command: Command, policy: Path) -> None:
    pytest.importorskip("mujoco")
    arguments = ("rollout", policy, "--episodes", 2, "--seed", 5, "--max-steps", 6, "--json")
    found = command(*arguments, "--option", "num_inference_steps=2").json
    assert (found["environment"], found["num_action_steps"]) == ("Hopper-v4", 2)
    assert [e["seed"] for e in found["episodes"]] == [5, 6]
    assert found["mean_return"] == pytest.approx(sum(e["total"] for e in found["episodes"]) / 2)
    assert (
        command(*arguments, "--option", "num_inference_steps=2").json["episodes"]
        == (found["episodes"])
    )


def test_errors_say_what_to_do(command: Command, policy: Path) -> None:
    pytest.importorskip("mujoco")
    wrong = command("rollout", policy, "--env", "Hoper-v4")
    assert wrong.code == 1 and "Hopper-v4" in wrong.err
    ending = command("rollout", policy, "--output", "film.avi")
    assert ending.code == 1 and ".mp4" in ending.err
    none = command("rollout", SCENES)
    assert none.code == 2 and "--env" in none.err
    picture = command("rollout", SCENES, "--env", "Hopper-v4")
    assert picture.code == 1 and "takes a policy" in picture.err
