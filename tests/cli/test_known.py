"""`mmgen generate` with a part or a measurement of X."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli.conftest import Command
from PIL import Image
from rounding import same_but_for_rounding

from mmgen.modalities import actions, text
from mmgen.modalities.image import load_measurement
from mmgen.operators import Compose, Downsample, Greyscale, Mask
from mmgen.pipeline import Pipeline

CAPTION = "a red circle"
LEFT = np.zeros((16, 16), bool)
LEFT[:, :8] = True


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A picture and what may be known of it, beside the folder of the commands."""
    folder = tmp_path / "files"
    folder.mkdir()
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(picture).save(folder / "x.png")
    Image.fromarray(picture[:8]).save(folder / "wide.png")
    Image.fromarray(LEFT).save(folder / "left.png")
    Image.fromarray((255 * LEFT).astype(np.uint8)).resize((8, 8), 0).save(folder / "small.png")
    Image.fromarray(picture[:4, :4]).save(folder / "seen.png")
    Image.fromarray(picture[..., 0]).save(folder / "grey.png")
    np.save(folder / "left.npy", LEFT)
    np.save(folder / "numbers.npy", LEFT.astype(float))
    (folder / "x.txt").write_text("no picture")
    other = {"array": "left.npy", "numbers": "numbers.npy", "text": "x.txt"}
    pictures = {n: f"{n}.png" for n in ("x", "wide", "left", "small", "seen", "grey")}
    return {name: folder / file for name, file in (other | pictures).items()}


@pytest.mark.parametrize("mask", ["left", "array"])
def test_the_known_part_of_an_image_is_kept(
    command: Command, saved: Path, files: dict[str, Path], mask: str
) -> None:
    known = ("--known", files["x"], "--mask", files[mask])
    done = command(
        "generate", saved, CAPTION, *known, "-o", "y.png", "--seed", 3, "--steps", 3, "--json"
    )
    assert done.code == 0, done.err
    assert done.json["known"] == {"known": str(files["x"]), "mask": str(files[mask])}
    made, whole = pixels(Path("y.png")), pixels(files["x"])
    assert np.array_equal(made[LEFT], whole[LEFT]) and not np.array_equal(made, whole)
    pipe = Pipeline.from_pretrained(saved)
    given = pipe.given(CAPTION, known=files["x"], mask=LEFT, num_inference_steps=3)
    assert same_but_for_rounding(made, given.sample(seed=3)[0])


def test_a_known_part_needs_no_condition_and_goes_with_several(
    command: Command, saved: Path, files: dict[str, Path]
) -> None:
    known = ("--known", files["x"], "--mask", files["left"], "--steps", 1)
    assert command("generate", saved, *known).out.startswith("sample.png")
    done = command("generate", saved, CAPTION, "a green star", *known, "-n", 2, "-o", "y.png")
    assert done.code == 0, done.err
    sheet = pixels(Path("y.png"))
    tall = (sheet.shape[0] - 40) // 2 + 20
    for top, left in ((2, 2), (2, 22), (tall + 2, 2), (tall + 2, 22)):
        one = sheet[top : top + 16, left : left + 16]
        assert np.array_equal(one[LEFT], pixels(files["x"])[LEFT])


MEASURED: dict[str, tuple[list[str], Any, str]] = {
    "small": (["downsample:factor=4"], Downsample(4), "seen"),
    "grey": (["greyscale"], Greyscale(), "grey"),
    "seen": (["mask:mask={left}"], Mask(torch.as_tensor(LEFT)), "x"),
    "both": (["downsample:factor=1", "greyscale"], Compose([Downsample(1), Greyscale()]), "grey"),
}


@pytest.mark.parametrize("case", MEASURED)
def test_a_measurement_is_used_as_from_python(
    command: Command, saved: Path, files: dict[str, Path], case: str
) -> None:
    texts, operator, name = MEASURED[case]
    typed = [a for t in texts for a in ("--operator", t.format(left=files["left"]))]
    measured = (*typed, "--measurement", files[name], "--noise", 0.1)
    done = command("generate", saved, CAPTION, *measured, "-o", "y.png", "--seed", 3, "--steps", 2)
    assert done.code == 0, done.err
    value = load_measurement(files[name])
    assert value.shape[0] == (1 if name == "grey" else 3)
    levels = np.asarray(Image.open(files[name])).reshape(*value.shape[1:], -1).transpose(2, 0, 1)
    assert np.allclose(value, (levels + 0.5) / 128 - 1)
    expected = Pipeline.from_pretrained(saved)(
        CAPTION, operator=operator, measurement=value, noise=0.1, seed=3, num_inference_steps=2
    )
    assert same_but_for_rounding(pixels(Path("y.png")), expected)
    np.save("b.npy", value)
    measured = (*typed, "--measurement", "b.npy", "--noise", 0.1)
    command("generate", saved, CAPTION, *measured, "-o", "z.png", "--seed", 3, "--steps", 2)
    assert np.array_equal(pixels(Path("z.png")), pixels(Path("y.png")))


RIGHT = ["--operator", "downsample:factor=4", "--measurement", "{seen}", "--noise", "0.1"]
BAD = {
    "known": (["--known", "{x}"], "known came without mask"),
    "mask": (["--mask", "{left}"], "mask came without known"),
    "nowhere": (["--known", "no.png", "--mask", "{left}"], "There is no image at 'no.png'"),
    "kind": (["--known", "{text}", "--mask", "{left}"], "as an image"),
    "size": (["--known", "{wide}", "--mask", "{left}"], "of 16 x 16 pixels, got 16 x 8"),
    "mask_size": (["--known", "{x}", "--mask", "{small}"], "Expected a mask of shape (3, 16, 16)"),
    "mask_grey": (["--known", "{x}", "--mask", "{grey}"], "are neither"),
    "mask_numbers": (["--known", "{x}", "--mask", "{numbers}"], "A mask is boolean"),
    "mask_spans": (["--known", "{x}", "--mask", "0:4"], "characters of a text"),
    "operator": ([*RIGHT[2:]], "measurement and noise came without operator"),
    "operator_name": (["--operator", "downsampel:factor=4", *RIGHT[2:]], "Did you mean 'downsam"),
    "argument": (["--operator", "downsample", *RIGHT[2:]], "downsample needs factor"),
    "shape": (["--operator", "greyscale", *RIGHT[2:]], "measures (1, 16, 16) of a value (3,"),
    "factor": (["--operator", "downsample:factor=3", *RIGHT[2:]], "multiples of it"),
    "measurement": ([*RIGHT[:3], "no.png", *RIGHT[4:]], "There is no image at 'no.png'"),
    "noise": ([*RIGHT[:5], "-1"], "from 0 on; got -1"),
    "noise_missing": (RIGHT[:4], "came without noise"),
    "posterior": ([*RIGHT, "--posterior", "gibbs"], "No posterior 'gibbs'"),
    "both": ([*RIGHT, "--known", "{x}", "--mask", "{left}"], "not both"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message(
    command: Command, saved: Path, files: dict[str, Path], case: str
) -> None:
    arguments, message = BAD[case]
    done = command("generate", saved, CAPTION, *(a.format(**files) for a in arguments))
    assert done.code == 1 and done.out == ""
    assert done.err.startswith("error: ") and message in done.err, done.err
    assert not list(Path().glob("*.png"))


def test_spans_of_a_text_and_arrays_of_actions(command: Command, tmp_path: Path) -> None:
    torch.manual_seed(0)
    words = Pipeline.compose(x="text", y=None, family="masked", size="debug")
    (tmp_path / "known.txt").write_text("two red squares\n")
    known = ("--known", "known.txt", "--mask", "0:3,8:15", "--seed", 1)
    folder = words.save_pretrained(tmp_path / "words")
    assert command("generate", folder, *known, "-o", "x.txt").code == 0
    made = text.load("x.txt")
    assert made.encode()[:3] == b"two" and made == words(
        known="two red squares", mask="0:3,8:15", seed=1
    )
    done = command("generate", folder, *known[:3], "0:99")
    assert done.code == 1 and "at most 15, the length of this text" in done.err
    moves = Pipeline.compose(x="actions", y=None, family="diffusion", size="debug")
    chunks = list(np.random.default_rng(0).normal(size=(4, 4, 2)).astype(np.float32))
    moves.fit_statistics([(None, c) for c in chunks])
    folder = moves.save_pretrained(tmp_path / "moves")
    mask = np.zeros((4, 2), bool)
    mask[[0, -1]] = True
    actions.save(chunks[0], "known.csv")
    np.save("ends.npy", mask)
    ends = ("--known", "known.csv", "--mask", "ends.npy")
    done = command("generate", folder, *ends, "-o", "path.npy", "--steps", 2)
    assert done.code == 0, done.err
    found = actions.load("path.npy")
    assert np.array_equal(found[mask], chunks[0][mask]) and not np.array_equal(found, chunks[0])
    done = command("generate", folder, *ends[:3], "mask.png")
    assert done.code == 1 and "Expected a mask in a .npy file, got 'mask.png'" in done.err
