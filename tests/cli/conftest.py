"""Commands run in this process, as they would from a terminal of 80 columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from mmgen.cli.main import main
from mmgen.pipeline import Pipeline

SCENES = "text-to-image:scenes"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Done]


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Run `mmgen ...` in an empty folder. A traceback is shown if asked for, and only then."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as left:
            main([str(a) for a in arguments])
        said = capsys.readouterr()
        assert ("Traceback" in said.out + said.err) == ("--debug" in arguments)
        return Done(left.value.code, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def saved(pixels_pipe: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny text-to-image:emoji."""
    return pixels_pipe.save_pretrained(tmp_path_factory.mktemp("saved") / "emoji")


@pytest.fixture(scope="session")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Save a tiny composed pipeline for these conditions."""

    def build(y: Any, values: list[Any]) -> Path:
        torch.manual_seed(0)
        pipe = Pipeline.compose(
            x="image", y=y, family="diffusion", size="debug", labels=["day", "night"]
        )
        images = torch.randint(0, 256, (len(values), 16, 16, 3), dtype=torch.uint8).numpy()
        pipe.fit_statistics(list(zip(values, images, strict=True)))
        with torch.no_grad():
            for parameter in pipe.parts.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        return pipe.save_pretrained(tmp_path_factory.mktemp("composed") / "pipe")

    return build
