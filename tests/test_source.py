"""What was pushed to the Hub, loaded from it by its id and from a cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mmgen.adapter import Adapter
from mmgen.cli.main import main
from mmgen.core.errors import LoadError
from mmgen.pipeline import Pipeline
from mmgen.push import what_to_push
from mmgen.source import find_source

COMMIT, LATER = "1" * 40, "2" * 40
CHOICES = {"x": "image", "y": "text", "family": "diffusion", "size": "debug"}
ASKED = {"seed": 3, "num_inference_steps": 2}
PLACE = {"local_files_only": True}


@pytest.fixture(scope="module")
def pipe() -> Pipeline:
    torch.manual_seed(0)
    pipe = Pipeline.compose(**CHOICES)
    colours = ("red", "green", "blue", "white")
    pipe.fit_statistics([(f"a {c} one", Image.new("RGB", (16, 16), c)) for c in colours])
    with torch.no_grad():
        for parameter in pipe.parts.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return pipe


@pytest.fixture(scope="module")
def saved(pipe: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipe.save_pretrained(tmp_path_factory.mktemp("saved") / "pipe")


@pytest.fixture
def adapter(saved: Path, tmp_path: Path) -> Path:
    return _adapter(Pipeline.from_pretrained(saved), "me/mine", tmp_path / "adapter")


def _adapter(pipe: Pipeline, base: str, folder: Path) -> Path:
    """Changes of a linear layer."""
    linear = (n for n, m in pipe.parts.named_modules() if isinstance(m, torch.nn.Linear))
    name = next(n for n in linear if n.startswith("model."))
    rows, columns = pipe.parts.get_submodule(name).weight.shape
    factors = {f"{name}.weight": (torch.randn(1, columns), torch.randn(rows, 1))}
    return Adapter(base, factors, {}, None).save(folder)


def _pushed(folder: Path, name: str) -> dict[str, bytes]:
    """What a push uploads of a folder."""
    upload = what_to_push(folder, name)
    files = {file: (upload.folder / file).read_bytes() for file in upload.files}
    return files | {"README.md": upload.readme.encode()}


def _keep(cache: Path, name: str, files: Mapping[str, bytes], commit: str = COMMIT) -> Path:
    """A snapshot as the cache of the Hub holds it, of the main branch."""
    root = cache / f"models--{name.replace('/', '--')}"
    snapshot = root / "snapshots" / commit
    for folder in (root / "blobs", root / "refs", snapshot):
        folder.mkdir(parents=True, exist_ok=True)
    for file, data in files.items():
        blob = root / "blobs" / hashlib.sha256(data).hexdigest()
        blob.write_bytes(data)
        (snapshot / file).symlink_to(os.path.relpath(blob, snapshot))
    (root / "refs" / "main").write_text(commit)
    return snapshot


def _state(pipe: Pipeline) -> dict[str, torch.Tensor]:
    return pipe.parts.state_dict()


def test_a_pipeline_that_was_pushed(pipe: Pipeline, saved: Path, tmp_path: Path) -> None:
    _keep(tmp_path, "me/mine", _pushed(saved, "me/mine"))
    loaded = Pipeline.from_pretrained("me/mine", cache_dir=tmp_path, **PLACE)
    assert loaded.origin == "me/mine" and loaded.choices == CHOICES
    ours, theirs = (p("a red one", **ASKED).tobytes() for p in (pipe, loaded))
    assert ours == theirs
    with pytest.raises(TypeError, match="'me/mine' is a whole pipeline, so it has no base"):
        Pipeline.from_pretrained("me/mine", cache_dir=tmp_path, base=saved)
    with pytest.raises(TypeError, match="other libraries alone take device_map"):
        Pipeline.from_pretrained("me/mine", cache_dir=tmp_path, device_map="auto")
    # What is a folder is not on the Hub, and has no revision.
    with pytest.raises(TypeError, match="other libraries alone take revision"):
        Pipeline.from_pretrained(saved, revision="main")


def test_a_revision_is_its_own(pipe: Pipeline, saved: Path, tmp_path: Path) -> None:
    _keep(tmp_path, "me/mine", _pushed(saved, "me/mine"))
    later = Pipeline.from_pretrained(saved)
    with torch.no_grad():
        next(later.model.parameters()).add_(1.0)
    files = _pushed(later.save_pretrained(tmp_path / "later"), "me/mine")
    _keep(tmp_path, "me/mine", files, LATER)
    first, now = (
        Pipeline.from_pretrained("me/mine", cache_dir=tmp_path, revision=revision, **PLACE)
        for revision in (COMMIT, None)
    )
    torch.testing.assert_close(_state(first), _state(pipe), rtol=0, atol=0)
    torch.testing.assert_close(_state(now), _state(later), rtol=0, atol=0)


def test_an_adapter_brings_its_base(saved: Path, adapter: Path, tmp_path: Path) -> None:
    _keep(tmp_path, "me/mine", _pushed(saved, "me/mine"))
    _keep(tmp_path, "me/change", _pushed(adapter, "me/change"), LATER)
    expected = Pipeline.from_pretrained(adapter, base=saved)
    # The revision is that of the adapter.
    for name, more in (
        ("me/change", {}),
        ("me/change", {"revision": LATER}),
        ("me/change", {"base": saved}),
        (adapter, {}),
    ):
        found = Pipeline.from_pretrained(name, cache_dir=tmp_path, **PLACE, **more)
        torch.testing.assert_close(_state(found), _state(expected), rtol=0, atol=0)
        assert found.origin == str(name)
    assert not torch.equal(
        torch.cat([p.flatten() for p in expected.model.parameters()]),
        torch.cat([p.flatten() for p in Pipeline.from_pretrained(saved).model.parameters()]),
    )


def test_an_adapter_of_an_adapter(saved: Path, adapter: Path, tmp_path: Path) -> None:
    _keep(tmp_path, "me/mine", _pushed(saved, "me/mine"))
    _keep(tmp_path, "me/change", _pushed(adapter, "me/change"))
    first = Pipeline.from_pretrained("me/change", cache_dir=tmp_path)
    second = _adapter(first, "me/change", tmp_path / "second")
    Adapter.load(second).add_to(first.parts)
    _keep(tmp_path, "me/more", _pushed(second, "me/more"))
    found = Pipeline.from_pretrained("me/more", cache_dir=tmp_path)
    torch.testing.assert_close(_state(found), _state(first), rtol=0, atol=0)


def test_adapters_in_a_circle(saved: Path, tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(saved)
    for name, base in (("me/a", "me/b"), ("me/b", "me/a")):
        _keep(tmp_path, name, _pushed(_adapter(pipe, base, tmp_path / name[-1]), name))
    with pytest.raises(LoadError, match="an adapter of an adapter, and so on, more than 8 deep"):
        Pipeline.from_pretrained("me/a", cache_dir=tmp_path)


@pytest.mark.parametrize("base", ["./mine", "/etc/mine", "~/mine", "here", None, 3])
def test_an_adapter_never_says_which_folder_is_opened(
    base: Any, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    pipe = Pipeline.from_pretrained(saved)
    files = _pushed(_adapter(pipe, "me/mine", tmp_path / "adapter"), "me/change")
    files["adapter.json"] = json.dumps(json.loads(files["adapter.json"]) | {"base": base}).encode()
    _keep(tmp_path, "me/change", files)
    with pytest.raises(LoadError, match=r"no shipped pipeline and no Hub id\. .*base=\.\.\."):
        Pipeline.from_pretrained("me/change", cache_dir=tmp_path)
    if base != 3:
        assert Pipeline.from_pretrained("me/change", cache_dir=tmp_path, base=saved)


def test_what_is_altered_or_missing(saved: Path, tmp_path: Path) -> None:
    files = _pushed(saved, "me/mine")
    other = files | {"model.safetensors": files["encoder.safetensors"]}
    _keep(tmp_path, "me/other", other)
    with pytest.raises(LoadError, match=r"model\.safetensors is not what was saved"):
        Pipeline.from_pretrained("me/other", cache_dir=tmp_path)
    _keep(tmp_path, "me/part", {k: v for k, v in files.items() if k != "model.safetensors"})
    with pytest.raises(
        LoadError, match=r"model\.safetensors of me/part is not in the cache.*HF_HU"
    ):
        Pipeline.from_pretrained("me/part", cache_dir=tmp_path)
    with pytest.raises(LoadError, match="no configuration of me/absent in the cache"):
        Pipeline.from_pretrained("me/absent", cache_dir=tmp_path)
    with pytest.raises(LoadError, match="no configuration of me/part in the cache"):
        Pipeline.from_pretrained("me/part", cache_dir=tmp_path, revision=LATER)


LISTED = {
    "no file that mmgen saves": [
        "model.bin",
        "codec.weights.PKL",
        "encoder.../../x",
        "../encoder.json",
        "notes.txt",
        "model.",
        "encoder.a\nb",
        "adapter.safetensors",
    ],
    "lists no files": [None],
}


@pytest.mark.parametrize(("why", "file"), [(why, f) for why, own in LISTED.items() for f in own])
def test_a_manifest_lists_what_mmgen_saves(
    why: str, file: str | None, saved: Path, tmp_path: Path
) -> None:
    files = _pushed(saved, "me/mine")
    manifest = json.loads(files["pipeline.json"])
    sums = [] if file is None else manifest["sha256"] | {file: "0"}
    files["pipeline.json"] = json.dumps(manifest | {"sha256": sums}).encode()
    _keep(tmp_path, "me/mine", files)
    with pytest.raises(LoadError, match=f"(?s){why}"):
        Pipeline.from_pretrained("me/mine", cache_dir=tmp_path)


def test_broken_manifests(tmp_path: Path) -> None:
    for i, data in enumerate((b"[1]", b"{", b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}")):
        for file in ("pipeline.json", "adapter.json"):
            _keep(tmp_path, f"me/{file[0]}{i}", {file: data})
            with pytest.raises(LoadError):
                Pipeline.from_pretrained(f"me/{file[0]}{i}", cache_dir=tmp_path)


def test_the_commands_take_an_id(
    saved: Path,
    adapter: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import huggingface_hub

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    _keep(tmp_path / "hub", "me/mine", _pushed(saved, "me/mine"))
    _keep(tmp_path / "hub", "me/change", _pushed(adapter, "me/change"))

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        said = capsys.readouterr()
        assert left.value.code == 0, said.err
        return said.out

    for name, revision in (("me/mine", ()), ("me/change", ("--revision", COMMIT))):
        shown = json.loads(run("show", name, "--json", *revision))
        assert shown["recipe"] == "compose" and shown["choices"] == CHOICES
        assert "model.safetensors" in shown["files"]
    for name, given in (("me/mine", saved), ("me/change", adapter)):
        own = ("a red one", "--seed", "3", "--steps", "2", "-o")
        base = ("--base", str(saved)) if given is adapter else ()
        run("generate", name, *own, "hub.png")
        run("generate", str(given), *own, "folder.png", *base)
        assert (tmp_path / "hub.png").read_bytes() == (tmp_path / "folder.png").read_bytes()


class _Hub(ThreadingHTTPServer):
    """Gives the files of repositories away, and remembers who asked for what."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.sent: list[str] = []
        self.tokens: set[str | None] = set()


class _Handler(BaseHTTPRequestHandler):
    server: _Hub

    def do_GET(self) -> None:
        repository, _, rest = self.path.lstrip("/").partition("/resolve/")
        file = f"{repository}/{rest.partition('/')[2]}"
        data = self.server.files.get(file)
        code = "GatedRepo" if repository == "me/gated" else None if data else "EntryNotFound"
        self.send_response(200 if code is None else 403 if repository == "me/gated" else 404)
        if code:
            self.send_header("X-Error-Code", code)
        elif self.command == "GET":
            self.server.sent.append(file)
        self.server.tokens.add(self.headers["Authorization"])
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(data or b"").hexdigest()}"')
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data or b"")

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[Mapping[str, bytes]], _Hub]]:
    servers = []

    def start(files: Mapping[str, bytes]) -> _Hub:
        server = _Hub(files)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_what_is_listed_comes_over_the_network_once(
    pipe: Pipeline,
    saved: Path,
    adapter: Path,
    tmp_path: Path,
    serve: Callable[[Mapping[str, bytes]], _Hub],
) -> None:
    files = {f"me/mine/{k}": v for k, v in _pushed(saved, "me/mine").items()}
    files |= {f"me/change/{k}": v for k, v in _pushed(adapter, "me/change").items()}
    # More is there than is listed.
    files |= {"me/mine/pytorch_model.bin": b"p", "me/mine/model.json": b"{}"}
    lacks = {k.replace("mine", "lacks"): v for k, v in files.items() if "codec.safe" not in k}
    server = serve(files | {k: v for k, v in lacks.items() if k.startswith("me/lacks")})
    code = (
        "import hashlib, json, sys\n"
        "from mmgen.pipeline import Pipeline\n"
        "said = []\n"
        "for name in ('me/mine', 'me/change', 'me/mine', 'me/lacks', 'me/gated', 'me/empty'):\n"
        "    try:\n"
        "        pipe = Pipeline.from_pretrained(name, token='hf_secret')\n"
        f"        image = pipe('a red one', **{ASKED!r})\n"
        "        said.append(hashlib.sha256(image.tobytes()).hexdigest())\n"
        "    except Exception as e: said.append(f'{type(e).__name__} {e}')\n"
        "print(json.dumps(said))\n"
    )
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    env = os.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        env.pop(proxy, None)
    env.pop("HF_HUB_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    mine, change, again, lacking, gated, empty = json.loads(done.stdout.splitlines()[-1])
    changed = Pipeline.from_pretrained(adapter, base=saved)
    hashes = [
        hashlib.sha256(p("a red one", **ASKED).tobytes()).hexdigest() for p in (pipe, changed)
    ]
    assert [mine, change] == hashes and mine == again
    assert "me/lacks has no codec.safetensors, which its pipeline.json lists" in lacking
    assert "Accept its terms" in gated
    assert "LoadError me/empty holds no checkpoint of diffusers or transformers" in empty
    assert {t for t in server.tokens if t} == {"Bearer hf_secret"}
    mine = [file for file in server.sent if not file.startswith("me/lacks")]
    listed = {f"me/mine/{p.name}" for p in saved.iterdir()}
    listed |= {f"me/change/{p.name}" for p in adapter.iterdir()}
    assert len(mine) == len(set(mine)) and set(mine) == listed


def test_a_file_that_looks_like_an_id_is_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "me").mkdir()
    shutil.copy(__file__, tmp_path / "me" / "mine")
    code = (
        "from mmgen.source import find_on_hub\nfrom mmgen.backends.recognition import repository\n"
        "repository.first_file = None\nassert find_on_hub('me/mine', {}) is None\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert find_source("text-to-image:emoji", where={"revision": "a"}).where == {"revision": "a"}
