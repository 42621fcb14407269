"""Uploads, to a server of our own that speaks the few endpoints of the Hub."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from hub_programs import knows_programs

from mmgen.core.errors import LoadError
from mmgen.pipeline import Pipeline
from mmgen.push import HubError, push_to_hub, what_to_push
from mmgen.training import fit

SETTINGS = {"steps": 1, "batch_size": 2, "precision": "no", "warmup": 1, "progress": False}


class Hub(ThreadingHTTPServer):
    """Takes commits of small files, and keeps what came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str | None, Any]] = []
        self.status = 200
        self.files: dict[str, bytes] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        lines = [json.loads(line) for line in body.splitlines()]
        self.server.asked.append((self.path, self.headers["Authorization"], lines))
        answer: dict[str, Any] = {}
        if self.path.endswith("/create"):
            answer = {"url": f"{self.server.address}/me/mine"}
        elif self.path.endswith("/validate-yaml"):
            answer = {"warnings": [], "errors": []}
        elif "/preupload/" in self.path:
            names = [file["path"] for file in lines[0]["files"]]
            own = {"uploadMode": "regular", "shouldIgnore": False}
            answer = {"files": [{"path": name, **own} for name in names]}
        elif "/commit/" in self.path:
            for line in lines:
                if line["key"] == "file":
                    data = base64.b64decode(line["value"]["content"])
                    self.server.files[line["value"]["path"]] = data
            answer = {"commitUrl": f"{self.server.address}/me/mine/commit/1", "commitOid": "1"}
        self._answer(answer)

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"], None))
        self._answer({"siblings": []})

    def _answer(self, content: dict[str, Any]) -> None:
        data = json.dumps(content if self.server.status == 200 else {"error": "no"}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()
    knows_programs(monkeypatch)
    monkeypatch.setattr(huggingface_hub.constants, "AGENT_HARNESSES_PATH", "/nowhere/list.json")
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.hf_api.constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", hub.address)
    yield hub
    hub.shutdown()
    hub.server_close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with adapters, and with what a run leaves beside them."""
    pytest.importorskip("peft")
    folder = tmp_path_factory.mktemp("run")
    pipe = Pipeline.debug("text-to-image:emoji")
    rng = np.random.default_rng(0)
    side = pipe.codec.spec.shape[-1]
    pairs = [("a star", rng.integers(0, 256, (side, side, 3)).astype(np.uint8))] * 4
    pipe.fit_statistics(pairs)
    pipe.origin = "me/base"
    fit(pipe, pairs, output=folder, validation=pairs, lora_rank=2, **SETTINGS)
    (folder / "pairs.jsonl").write_text("{}")
    return folder


@pytest.mark.parametrize("adapter", [False, True])
def test_a_run_uploads_its_result_and_nothing_else(
    server: Hub, run: Path, adapter: bool, tmp_path: Path
) -> None:
    assert (run / "checkpoint").is_dir() and (run / "best").is_dir()
    address = push_to_hub(run, "me/mine", adapter=adapter, private=True, token="hf_secret")
    assert address.endswith("/me/mine/commit/1")
    result = run / ("adapter" if adapter else "pipeline")
    there = {p.name: p.read_bytes() for p in result.iterdir()}
    card = server.files.pop("README.md").decode()
    assert server.files == there
    created = next(lines for path, _, lines in server.asked if path.endswith("/repos/create"))
    assert created[0]["name"] == "mine"
    # Later versions of the library call it so.
    assert created[0].get("private") is True or created[0].get("visibility") == "private"
    assert {token for _, token, _ in server.asked} == {"Bearer hf_secret"}
    # What came is what a user gets: it loads again.
    copy = tmp_path / "copy"
    copy.mkdir()
    for name, data in server.files.items():
        (copy / name).write_bytes(data)
    if adapter:
        assert "base_model: me/base" in card and "- lora" in card
    else:
        assert Pipeline.from_pretrained(copy).card is not None
        assert "base_model" not in card
    assert card.startswith("---\nlibrary_name: mmgen\npipeline_tag: text-to-image\n")
    assert "license: other" in card or "license: apache-2.0" in card
    assert "1 steps of 2 pairs by adamw" in card and "loss on held-out pairs" in card
    assert 'Pipeline.from_pretrained("me/mine")' in card


def test_a_branch_is_made_and_committed_to(server: Hub, run: Path) -> None:
    push_to_hub(run / "pipeline", "me/mine", revision="tuned", message="Two stars", token="t")
    paths = [path.partition("?")[0] for path, _, _ in server.asked]
    assert "/api/models/me/mine/branch/tuned" in paths
    sent = next(lines for path, _, lines in server.asked if "/commit/tuned" in path)
    assert sent[0]["value"]["summary"] == "Two stars" and "pipeline.json" in server.files


def test_a_checkpoint_of_a_library_uploads_with_its_folders(server: Hub, tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    about = {"library": "diffusers", "task": "text-to-image", "distribution": "P(image | text)"}
    (tmp_path / "mmgen.json").write_text(json.dumps(about))
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "unet" / "model.safetensors").write_bytes(b"w")
    (tmp_path / "README.md").write_text("of the base")
    push_to_hub(tmp_path, "me/mine", token="t")
    card = server.files.pop("README.md").decode()
    assert set(server.files) == {"mmgen.json", "model_index.json", "unet/model.safetensors"}
    assert "library_name: diffusers" in card and "P(image | text)".replace("|", "\\|") in card
    (tmp_path / "unet" / "optimizer.pt").write_bytes(b"o")
    with pytest.raises(LoadError, match=r"optimizer.pt' is no part of a checkpoint"):
        push_to_hub(tmp_path, "me/mine", token="t")


def test_what_is_altered_or_was_not_saved_is_refused(
    server: Hub, run: Path, tmp_path: Path
) -> None:
    with pytest.raises(LoadError, match="holds no pipeline that mmgen saved"):
        push_to_hub(run / "checkpoint", "me/mine", token="t")
    with pytest.raises(LoadError, match="holds no adapter that mmgen saved"):
        push_to_hub(tmp_path, "me/mine", adapter=True, token="t")
    with pytest.raises(LoadError, match="whole pipeline and no adapter"):
        push_to_hub(run / "pipeline", "me/mine", adapter=True, token="t")
    for name in (p.name for p in (run / "pipeline").iterdir()):
        (tmp_path / name).write_bytes((run / "pipeline" / name).read_bytes())
    (tmp_path / "notes.txt").write_text("mine")
    assert "notes.txt" not in what_to_push(tmp_path, "me/mine").files
    (tmp_path / "model.safetensors").write_bytes(b"other")
    with pytest.raises(LoadError):
        push_to_hub(tmp_path, "me/mine", token="t")
    assert not server.asked


def test_refusals_say_what_to_do(
    server: Hub, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(HubError, match="no token to write .* HF_TOKEN, or pass token="):
        push_to_hub(run, "me/mine")
    with pytest.raises(HubError, match="no name of a repository"):
        push_to_hub(run, "me/mine/too", token="t")
    server.status = 403
    with pytest.raises(HubError, match=r"refuses \(403\).* a token that may write to 'me'"):
        push_to_hub(run, "me/mine", token="t")
    assert not server.files
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        push_to_hub(run, "me/mine", token="t")
