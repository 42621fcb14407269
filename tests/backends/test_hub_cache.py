"""Checkpoints of the Hub, from a cache as its library keeps it; and where there is no network."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from mmgen import Pipeline
from mmgen.core.errors import LoadError

FIRST, SECOND = "1" * 40, "2" * 40
PROMPT = {"text": "A Red cat"}


def _keep(cache: Path, name: str, folder: Path, *, commit: str, refs: tuple[str, ...]) -> Path:
    """A folder as a snapshot of a repository, files in blobs that links point to."""
    root = cache / f"models--{name.replace('/', '--')}"
    snapshot = root / "snapshots" / commit
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        blob = root / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, blob)
        link = snapshot / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    for ref in refs:
        (root / "refs").mkdir(exist_ok=True)
        (root / "refs" / ref).write_text(commit)
    return snapshot


@pytest.fixture(scope="module")
def sharded(gpt2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights in several files."""
    folder = tmp_path_factory.mktemp("sharded") / "gpt2"
    shutil.copytree(gpt2, folder)
    (folder / "model.safetensors").unlink()
    AutoModelForCausalLM.from_pretrained(gpt2).save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


@pytest.fixture
def cache(tmp_path: Path, gpt2: Path, sharded: Path) -> Path:
    """The main branch in several files, the tag v1 in one and with other words to end a text."""
    other = tmp_path / "other"
    shutil.copytree(gpt2, other)
    generation = json.loads((other / "generation_config.json").read_text("utf-8"))
    (other / "generation_config.json").write_text(json.dumps(generation | {"max_new_tokens": 3}))
    _keep(tmp_path / "hub", "org/writer", sharded, commit=FIRST, refs=("main",))
    _keep(tmp_path / "hub", "org/writer", other, commit=SECOND, refs=("v1",))
    return tmp_path / "hub"


def test_a_repository_is_loaded_from_the_cache(cache: Path, gpt2: Path) -> None:
    pipe = Pipeline.from_pretrained("org/writer", cache_dir=cache)
    assert pipe.foreign.about() | {"source": "org/writer", "revision": FIRST} == (
        pipe.foreign.about()
    )
    own = Pipeline.from_pretrained(gpt2)
    assert pipe(PROMPT, seed=1, max_new_tokens=6) == own(PROMPT, seed=1, max_new_tokens=6)


@pytest.mark.parametrize("revision", ["v1", SECOND])
def test_a_revision_is_what_was_asked_for(cache: Path, revision: str) -> None:
    place = {"cache_dir": cache, "local_files_only": True}
    pipe = Pipeline.from_pretrained("org/writer", revision=revision, **place)
    assert pipe.foreign.found.revision == SECOND
    limits = {o.name: o.default for o in pipe.options()}
    assert limits["max_new_tokens"] == 3
    with pytest.raises(LoadError, match="no configuration of org/writer in the cache"):
        Pipeline.from_pretrained("org/writer", revision="v2", **place)


def test_an_interrupted_download_says_how_to_go_on(cache: Path) -> None:
    root = cache / "models--org--writer"
    snapshot = root / "snapshots" / FIRST
    shard = sorted(snapshot.glob("*.safetensors"))[1]
    blob = shard.resolve()
    shard.unlink()
    begun = blob.with_name(f"{blob.name}.1234.incomplete")
    begun.write_bytes(blob.read_bytes()[:7000])
    blob.unlink()
    with pytest.raises(LoadError) as caught:
        Pipeline.from_pretrained("org/writer", revision="main", cache_dir=cache)
    said = str(caught.value)
    assert f"{shard.name} is missing and a download was interrupted after 0.0 MB" in said
    assert f"hf download org/writer --revision main --cache-dir {cache}" in said
    assert "without HF_HUB_OFFLINE" in said


def test_a_link_to_nothing_is_a_missing_file(cache: Path) -> None:
    snapshot = cache / "models--org--writer" / "snapshots" / SECOND
    (snapshot / "model.safetensors").resolve().unlink()
    with pytest.raises(LoadError, match=r"model\.safetensors is missing\. Get the rest"):
        Pipeline.from_pretrained("org/writer", revision="v1", cache_dir=cache)


def test_a_folder_without_one_of_its_files(sharded: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sharded, tmp_path / "folder"))
    shard = sorted(folder.glob("*.safetensors"))[0]
    shard.unlink()
    with pytest.raises(LoadError, match=f"{shard.name} is missing in .*Get the checkpoint again"):
        Pipeline.from_pretrained(folder)
    # An index that is none has nothing to say.
    (folder / "model.safetensors.index.json").write_text("[1]")
    with pytest.raises(LoadError, match="does not name the files of weights"):
        Pipeline.from_pretrained(folder)


def test_without_a_network_it_takes_seconds_to_say_so(cache: Path) -> None:
    code = (
        "import time\n"
        "from mmgen.backends.recognition import recognise\n"
        "import huggingface_hub.errors\n"
        "start = time.monotonic()\n"
        "try: recognise('org/absent')\n"
        "except Exception as e: print(type(e).__name__, str(e))\n"
        "print(recognise('org/writer').architecture)\n"
        "print(time.monotonic() - start)\n"
    )
    env = os.environ | {
        # Nothing listens there.
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_CACHE": str(cache),
    }
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        env.pop(proxy, None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    said, kept, seconds = done.stdout.strip().rsplit("\n", 2)
    assert said.startswith("LoadError There is no folder 'org/absent' here")
    assert "The Hub could not be reached: check the network" in said
    assert kept == "GPT2LMHeadModel"
    # Most of them for loading the library; a machine that is busy may take ten times as many.
    assert float(seconds) < 60
