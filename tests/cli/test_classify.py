"""`mmgen classify`: what it says and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli.conftest import Command
from PIL import Image

from mmgen.inference import NoneOfThese
from mmgen.inference import classify as by_bayes
from mmgen.pipeline import Pipeline

RED, GREEN = "a red circle", "a green star"
BOTH = ("--candidate", RED, "--candidate", GREEN)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(path)
    Image.new("RGB", (8, 8)).save(tmp_path / "small.png")
    (tmp_path / "no.txt").write_text("no picture")
    return paths


def test_it_is_bayes_rule_in_a_table(command: Command, saved: Path, pictures: list[Path]) -> None:
    expected = by_bayes(Pipeline.from_pretrained(saved), pictures, [RED, GREEN], seed=2)
    done = command("classify", saved, "a.png", "b.png", *BOTH, "--seed", 2)
    assert done.code == 0 and done.err == ""
    for path, found in zip(pictures, expected, strict=True):
        lines = done.out.splitlines()
        first = next(i for i, line in enumerate(lines) if line.startswith(path.name))
        best, other = lines[first], lines[first + 1]
        assert str(found.best) in best and f"{found.probability.max():.3f}" in best
        assert f"{found.probability.min():.3f}" in other
    assert "lower bound" in done.out


def test_json_has_all_numbers(command: Command, saved: Path, pictures: list[Path]) -> None:
    done = command(
        "classify",
        saved,
        "a.png",
        *BOTH,
        *("--prior", 0.9, "--prior", 0.1),
        "--none",
        *("--budget", 40),
        *("--option", "num_bound_draws=2"),
        "--json",
    )
    assert done.code == 0, done.err
    found = done.json
    assert found["candidates"] == [RED, GREEN, "none of these"]
    assert found["kind"] == "lower bound" and found["recipe"] == "text-to-image:emoji"
    expected = by_bayes(
        Pipeline.from_pretrained(saved),
        pictures[0],
        [RED, GREEN],
        prior=[0.9, 0.1],
        none_of_these=NoneOfThese(),
        budget=40,
        num_bound_draws=2,
    )
    (row,) = found["files"]
    assert row["file"] == "a.png"
    assert row["best"] == expected.best
    assert row["probability"] == pytest.approx(expected.probability.tolist())
    assert row["std_error"] == pytest.approx(expected.std_error.tolist())
    assert row["num_evaluations"] == expected.num_evaluations


BAD = {
    "candidate": (2, ["a.png"], "--candidate"),
    "no_file": (2, [*BOTH], "X_FILE"),
    "nowhere": (1, ["a.png", "c.png", *BOTH], "There is no image at 'c.png'"),
    "kind": (1, ["no.txt", *BOTH], "'no.txt' as an image"),
    "size": (1, ["a.png", "small.png", *BOTH], "small.png: Expected images of 16 x 16"),
    "unseen": (1, ["a.png", *BOTH, "--candidate", "a dragon"], "'dragon'"),
    "prior": (1, ["a.png", *BOTH, "--prior", "1"], "one probability for each of 2 candidates"),
    "prior_sum": (1, ["a.png", *BOTH, "--prior", "1", "--prior", "1"], "sum to 1"),
    "budget": (1, ["a.png", *BOTH, "--budget", "1"], "budget is at least one evaluation"),
    "option": (1, ["a.png", *BOTH, "--option", "steps=3"], "Unknown option 'steps'"),
    "seed": (1, ["a.png", *BOTH, "--seed", "-1"], "between 0 and"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message(
    command: Command, saved: Path, pictures: list[Path], case: str
) -> None:
    code, arguments, message = BAD[case]
    done = command("classify", saved, *arguments)
    assert done.code == code and done.out == ""
    assert done.err.startswith("error: ") and message in done.err, done.err
