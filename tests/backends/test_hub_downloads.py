"""Downloads from a Hub: nothing twice, and what was interrupted is mended by the next call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from backends.tiny_hub import Hub, files_of, serving

from mmgen import Pipeline
from mmgen.backends.recognition import recognise
from mmgen.cli.main import main
from mmgen.core.errors import LoadError, UnknownNameError

FIRST, SECOND = "1" * 40, "2" * 40
WEIGHTS = {
    "org/paint": "org/paint/unet/diffusion_pytorch_model.safetensors",
    "org/write": "org/write/model.safetensors",
}
ASKED: dict[str, tuple[Any, dict[str, Any]]] = {
    "org/paint": (None, {"num_inference_steps": 1}),
    "org/write": ({"text": "A Red cat"}, {"max_new_tokens": 4}),
}


@pytest.fixture
def hub(
    checkpoints: Callable[[str], Path], gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    paint, write = files_of(checkpoints("ddpm")), files_of(gpt2)
    other = {**write, "generation_config.json": b'{"max_new_tokens": 3}'}
    pickled = [
        {k.replace("model.safetensors", "model.bin"): v for k, v in files.items()}
        for files in (paint, write)
    ]
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    # Its library waits a second before each of five more tries.
    hasty = SimpleNamespace(**{**vars(time), "sleep": lambda _: None})
    monkeypatch.setattr(huggingface_hub.file_download, "time", hasty)
    own = {
        "org/paint": {FIRST: paint},
        "org/write": {FIRST: write, SECOND: other},
        "org/pickled": {FIRST: pickled[0]},
        "org/pickled_text": {FIRST: pickled[1]},
        "org/style": {FIRST: {"pytorch_lora_weights.safetensors": b"none" * 999}},
    }
    with serving(Hub(own), monkeypatch) as started:
        started.tags["v1"] = SECOND
        yield started


def _answer(pipe: Pipeline, name: str) -> Any:
    y, options = ASKED[name]
    found = pipe(y, seed=0, **options)
    return found if isinstance(found, str) else np.asarray(found).tolist()


def _sizes(hub: Hub, name: str) -> dict[str, int]:
    return {f"{name}/{file}": len(data) for file, data in hub.repositories[name][FIRST].items()}


@pytest.mark.parametrize("name", ASKED)
def test_what_was_interrupted_is_mended_and_nothing_comes_twice(name: str, hub: Hub) -> None:
    hub.cut[WEIGHTS[name]] = "refusal"
    said = rf"^The download of {name} broke off \(the Hub answered 503\)\. Load it again: what has"
    with pytest.raises(LoadError, match=said):
        Pipeline.from_pretrained(name)
    sizes = _sizes(hub, name)
    half = sizes[WEIGHTS[name]] // 2
    assert hub.sent[WEIGHTS[name]] == half
    hub.cut.clear()
    first = _answer(Pipeline.from_pretrained(name), name)
    # Each file once, and the half that was lost.
    sent = dict(hub.sent)
    assert sent.pop(WEIGHTS[name]) == half + sizes[WEIGHTS[name]]
    assert sent and all(size == sizes[file] for file, size in sent.items())
    assert _answer(Pipeline.from_pretrained(name), name) == first
    assert sum(hub.sent.values()) == sum(sent.values()) + half + sizes[WEIGHTS[name]]


def test_a_connection_that_comes_back_goes_on_where_it_was(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ten million bytes in its library, of which a part that is not whole is lost.
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.cut[WEIGHTS["org/write"]] = "rest"
    Pipeline.from_pretrained("org/write")
    assert (
        0 <= hub.sent[WEIGHTS["org/write"]] - _sizes(hub, "org/write")[WEIGHTS["org/write"]] < 1000
    )


def test_a_connection_that_stays_away(hub: Hub) -> None:
    for name in ASKED:
        hub.cut[WEIGHTS[name]] = "nothing"
        with pytest.raises(LoadError, match=rf"download of {name} broke off \(\w+Error\)"):
            Pipeline.from_pretrained(name)


def test_what_is_kept_is_loaded_without_a_network(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {name: _answer(Pipeline.from_pretrained(name), name) for name in ASKED}
    hub.asked.clear()
    for name, answer in expected.items():
        assert _answer(Pipeline.from_pretrained(name, local_files_only=True), name) == answer
    with monkeypatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        for name, answer in expected.items():
            assert _answer(Pipeline.from_pretrained(name), name) == answer
    assert hub.asked == []
    elsewhere = {"cache_dir": tmp_path / "elsewhere"}
    with pytest.raises(LoadError, match="local_files_only is set: unset it"):
        Pipeline.from_pretrained("org/write", local_files_only=True, **elsewhere)
    # Nothing listens any more.
    hub.server_close()
    hub.shutdown()
    huggingface_hub.close_session()
    for name, answer in expected.items():
        assert _answer(Pipeline.from_pretrained(name), name) == answer
    with pytest.raises(LoadError, match="The Hub could not be reached: check the network"):
        Pipeline.from_pretrained("org/write", **elsewhere)


def test_a_revision_is_what_was_asked_for(hub: Hub) -> None:
    for revision in ("v1", SECOND):
        pipe = Pipeline.from_pretrained("org/write", revision=revision)
        assert pipe.foreign.found.revision == SECOND
        assert {o.name: o.default for o in pipe.options()}["max_new_tokens"] == 3
    before = hub.sent.copy()
    Pipeline.from_pretrained("org/write", revision=FIRST)
    # What both have came with the first.
    assert set(hub.sent - before) == {"org/write/generation_config.json"}
    with pytest.raises(LoadError, match="org/write has no revision 'v2'"):
        Pipeline.from_pretrained("org/write", revision="v2")


def test_what_is_gated_or_private_wants_a_token(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.refused |= {"org/paint": "GatedRepo", "org/write": "RepoNotFound"}
    with pytest.raises(LoadError, match=r"org/paint is gated\. Accept its terms .* pass token="):
        Pipeline.from_pretrained("org/paint", token=False)
    with pytest.raises(UnknownNameError, match=r"no repository org/write .* or pass token="):
        Pipeline.from_pretrained("org/write", token=False)
    for name in ASKED:
        assert Pipeline.from_pretrained(name, token="hf_secret").foreign.found.revision == FIRST
    with pytest.raises(UnknownNameError, match=r"no repository org/absent .* Check the spelling"):
        Pipeline.from_pretrained("org/absent")
    with pytest.raises(SystemExit) as left:
        main(["generate", "org/absent", "A cat", "--output", str(tmp_path / "a.txt")])
    said = capsys.readouterr().err
    assert left.value.code != 0 and "no repository org/absent" in " ".join(said.split())
    assert "Traceback" not in said


def test_access_that_ends_before_all_has_come(hub: Hub) -> None:
    assert recognise("org/paint").weights == "unknown"
    hub.refused["org/paint"] = "GatedRepo"
    with pytest.raises(LoadError, match="org/paint is gated"):
        Pipeline.from_pretrained("org/paint", token=False)
    with pytest.raises(LoadError, match="lacks its scheduler and its unet.*hf download org/paint"):
        Pipeline.from_pretrained("org/paint", local_files_only=True)


@pytest.mark.parametrize("name", ["org/pickled", "org/pickled_text"])
def test_weights_in_pickles_alone_are_not_fetched(name: str, hub: Hub) -> None:
    with pytest.raises(LoadError, match="safetensors.*in pickles, these are not read. Ask whoever"):
        Pipeline.from_pretrained(name)
    assert not any(file.endswith(".bin") for file in hub.sent)


def test_an_adapter_comes_once(hub: Hub, checkpoints: Callable[[str], Path]) -> None:
    pytest.importorskip("peft")
    pipe = Pipeline.from_pretrained(checkpoints("sd"))
    file = "org/style/pytorch_lora_weights.safetensors"
    hub.cut[file] = "refusal"
    with pytest.raises(LoadError, match="The download of org/style broke off"):
        pipe.adapters.load("org/style")
    hub.cut.clear()
    for _ in range(2):
        with pytest.raises(LoadError, match="no whole safetensors file"):
            pipe.adapters.load("org/style")
    size = _sizes(hub, "org/style")[file]
    assert hub.sent[file] == size // 2 + size


def test_what_mmgen_saved_is_mended_too(hub: Hub, tmp_path: Path) -> None:
    pipe = Pipeline.compose(x="image", y="label", family="vae", size="debug", labels=["a", "b"])
    images = [np.full((16, 16, 3), level, np.uint8) for level in (0, 255)]
    pipe.fit_statistics([("a", images[0]), ("b", images[1])])
    own = files_of(pipe.save_pretrained(tmp_path / "own"))
    hub.repositories["org/own"] = {FIRST: own}
    hub.cut["org/own/model.safetensors"] = "refusal"
    with pytest.raises(LoadError, match="The download of org/own broke off"):
        Pipeline.from_pretrained("org/own")
    hub.cut.clear()
    found = [Pipeline.from_pretrained("org/own")("a", seed=0).tobytes() for _ in range(2)]
    assert found[0] == found[1] == pipe("a", seed=0).tobytes()
    size = len(own["model.safetensors"])
    assert hub.sent["org/own/model.safetensors"] == size // 2 + size
    assert hub.sent["org/own/codec.safetensors"] == len(own["codec.safetensors"])
