"""What checkpoints of others are, by their configurations: real ones, broken ones, hostile ones."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mmgen.backends.recognition import Recognised, recognise
from mmgen.backends.recognition.__main__ import made_again, markdown
from mmgen.backends.recognition.configuration import MAX_BYTES
from mmgen.backends.recognition.table import PATH, Table, as_json, table
from mmgen.backends.recognition.verbs import LOADED, verbs_of
from mmgen.core.errors import LoadError, UnknownNameError
from mmgen.hub import list_pipelines
from mmgen.modalities import modality_names

Checkpoint = Callable[[dict[str, Any]], Path]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PIPELINES = {
    "StableDiffusionXLPipeline": ("text-to-image", "P(image | text)"),
    "StableDiffusionImg2ImgPipeline": ("image-to-image", "P(image | text, image)"),
    "StableDiffusionUpscalePipeline": ("image-to-image", "P(image | text, image)"),
    "FluxFillPipeline": ("inpainting", "P(image | text, image)"),
    "StableDiffusionControlNetPipeline": ("text-to-image", "P(image | text, image)"),
    "StableDiffusionModelEditingPipeline": ("text-to-image", "P(image | text)"),
    "KandinskyV22Pipeline": ("text-to-image", "P(image | text)"),
    "DDPMPipeline": ("unconditional-image-generation", "P(image | nothing)"),
    "DiTPipeline": ("class-conditional-image-generation", "P(image | label)"),
    "WanPipeline": ("text-to-video", "P(video | text)"),
    "TextToVideoZeroPipeline": ("text-to-video", "P(video | text)"),
    "StableVideoDiffusionPipeline": ("image-to-video", "P(video | image)"),
    "LTXImageToVideoPipeline": ("image-to-video", "P(video | text, image)"),
    "CogVideoXVideoToVideoPipeline": ("video-to-video", "P(video | text, video)"),
    "AudioLDM2Pipeline": ("text-to-audio", "P(audio | text)"),
    "DanceDiffusionPipeline": ("unconditional-audio-generation", "P(audio | nothing)"),
    "LLaDA2Pipeline": ("text-generation", "P(text | text)"),
}
MODELS = {
    "LlamaForCausalLM": ("llama", "text-generation", "P(text | text)"),
    "T5ForConditionalGeneration": ("t5", "text2text-generation", "P(text | text)"),
    "MarianMTModel": ("marian", "translation", "P(text | text)"),
    "WhisperForConditionalGeneration": (
        "whisper",
        "automatic-speech-recognition",
        "P(text | audio)",
    ),
    "Wav2Vec2ForCTC": ("wav2vec2", "automatic-speech-recognition", "P(text | audio)"),
    "VitsModel": ("vits", "text-to-speech", "P(audio | text)"),
    "DiaForConditionalGeneration": ("dia", "text-to-speech", "P(audio | text, audio)"),
    "MusicgenForConditionalGeneration": ("musicgen", "text-to-audio", "P(audio | text)"),
    "SpeechT5ForSpeechToSpeech": ("speecht5", "audio-to-audio", "P(audio | audio)"),
    "VisionEncoderDecoderModel": (
        "vision-encoder-decoder",
        "image-to-text",
        "P(text | image)",
    ),
    "LlavaForConditionalGeneration": ("llava", "image-text-to-text", "P(text | text, image)"),
    "ImageGPTForCausalImageModeling": (
        "imagegpt",
        "unconditional-image-generation",
        "P(image | nothing)",
    ),
    "Swin2SRForImageSuperResolution": ("swin2sr", "image-to-image", "P(image | image)"),
    "BertForMaskedLM": ("bert", "fill-mask", "P(text | text)"),
    "PI0ForConditionalGeneration": ("pi0", "robotics", "P(actions | text, image)"),
}


def _pipeline(architecture: object, **parts: Any) -> dict[str, Any]:
    """The configuration of a pipeline of diffusers."""
    return {"_class_name": architecture, "_diffusers_version": "0.42.1", **parts}


def _model(architecture: object, model_type: object, **more: Any) -> dict[str, Any]:
    """The configuration of a model of transformers."""
    return {"architectures": [architecture], "model_type": model_type, **more}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    """Writes a configuration to a new folder, by the name that its library gives the file."""
    numbers = itertools.count()

    def write(content: dict[str, Any]) -> Path:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        name = "model_index.json" if "_class_name" in content else "config.json"
        (folder / name).write_text(json.dumps(content))
        return folder

    return write


@pytest.mark.parametrize("architecture", PIPELINES)
def test_pipelines_of_diffusers(architecture: str, checkpoint: Checkpoint) -> None:
    parts = {
        "unet": ["diffusers", "UNet2DModel"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "image_encoder": [None, None],
        "sizes": [1, 2],
        "requires_safety_checker": True,
    }
    folder = checkpoint(_pipeline(architecture, **parts))
    found = recognise(folder)
    assert (found.task, found.distribution) == PIPELINES[architecture]
    assert (found.library, found.architecture) == ("diffusers", architecture)
    assert (found.source, found.revision, found.weights) == (str(folder), None, "none")


@pytest.mark.parametrize("architecture", MODELS)
def test_models_of_transformers(architecture: str, checkpoint: Checkpoint) -> None:
    model_type, *expected = MODELS[architecture]
    found = recognise(str(checkpoint(_model(architecture, model_type))))
    assert [found.task, found.distribution] == expected
    assert (found.library, found.architecture) == ("transformers", architecture)


def test_what_the_libraries_save_themselves(tmp_path: Path) -> None:
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
    from transformers import GPT2Config, GPT2LMHeadModel, MarianConfig

    unet = UNet2DModel(
        sample_size=8,
        block_out_channels=(8,),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
    )
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(tmp_path / "ddpm")
    assert recognise(tmp_path / "ddpm") == Recognised(
        library="diffusers",
        task="unconditional-image-generation",
        x="image",
        y=(),
        architecture="DDPMPipeline",
        source=str(tmp_path / "ddpm"),
        revision=None,
        weights="safetensors",
        parts={"scheduler": "DDPMScheduler", "unet": "UNet2DModel"},
    )
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_embd=8, n_layer=1, n_head=1))
    gpt2.save_pretrained(tmp_path / "gpt2")
    found = recognise(tmp_path / "gpt2")
    assert (found.task, found.weights) == ("text-generation", "safetensors")
    MarianConfig(vocab_size=8, d_model=8, architectures=["MarianMTModel"]).save_pretrained(
        tmp_path / "marian"
    )
    assert recognise(tmp_path / "marian").task == "translation"


def test_the_table_is_that_of_the_installed_libraries() -> None:
    known, now = table(), made_again()
    if known.versions == now.versions:
        # Make it again: python -m mmgen.backends.recognition
        assert PATH.read_text() == as_json(now)
        return
    for library in now.versions:
        both = set(known.architectures(library)) & set(now.architectures(library))
        assert len(both) > 0.8 * len(known.architectures(library))
        assert {n: _what(known, library, n) for n in both} == {
            n: _what(now, library, n) for n in both
        }


def _what(known: Table, library: str, architecture: str) -> tuple[Any, ...]:
    group = known.find(library, architecture)
    assert group is not None
    return group.task, group.x, group.y


def test_the_table_speaks_of_modalities_and_of_each_class_once() -> None:
    known = table()
    # Policies are given what recipes of theirs are given.
    given = {name.partition("-to-")[0] for name in list_pipelines()}
    assert {kind for g in known.groups for kind in (g.x, *g.y)} <= {*modality_names(), *given}
    for library in known.versions:
        names = known.architectures(library)
        assert len(names) == len(set(names)) > 250
    # What tells only of a shape in space, of depth, or gives what another model needs.
    assert known.find("diffusers", "ShapEPipeline") is None
    assert known.find("diffusers", "MarigoldDepthPipeline") is None
    assert known.find("diffusers", "KandinskyV22PriorPipeline") is None


def test_a_model_type_alone_is_enough_where_it_has_one_use(checkpoint: Checkpoint) -> None:
    found = recognise(checkpoint({"model_type": "gpt2"}))
    assert (found.architecture, found.task) == ("GPT2LMHeadModel", "text-generation")


UNCLEAR = {
    "BartForCausalLM, BartForConditionalGeneration": (LoadError, {"model_type": "bart"}),
    "neither architectures nor model_type": (LoadError, {"hidden_size": 8}),
    "Did you mean 'marian'": (UnknownNameError, {"model_type": "marain"}),
    "Did you mean 'StableDiffusionXLPipeline'": (
        UnknownNameError,
        _pipeline("StableDiffusionXLPipelin"),
    ),
    "BertForMaskedLM, BertLMHeadModel": (
        UnknownNameError,
        _model("BertForSequenceClassification", "bert"),
    ),
    "mmgen list --foreign": (UnknownNameError, _model("Zzzzzzzz", "zzz")),
}


@pytest.mark.parametrize("message", UNCLEAR)
def test_what_is_unclear_or_unknown_names_what_could_be_meant(
    message: str, checkpoint: Checkpoint
) -> None:
    error, content = UNCLEAR[message]
    with pytest.raises(error, match=message):
        recognise(checkpoint(content))


def test_weights_are_told_by_the_names_of_files(checkpoint: Checkpoint) -> None:
    folder = checkpoint(_model("GPT2LMHeadModel", "gpt2"))
    (folder / "training_args.bin").touch()
    assert recognise(folder).weights == "none"
    (folder / "pytorch_model-00001-of-00002.bin").touch()
    assert recognise(folder).weights == "pickle only"
    (folder / "model.safetensors").touch()
    assert recognise(folder).weights == "safetensors"

    folder = checkpoint(_pipeline("StableDiffusionPipeline"))
    (folder / "v1-5-pruned.ckpt").touch()  # All of it in one pickle, which is not read.
    assert recognise(folder).weights == "none"
    for part in ("unet", "vae", "scheduler"):
        (folder / part).mkdir()
    (folder / "unet/diffusion_pytorch_model.safetensors").touch()
    (folder / "unet/diffusion_pytorch_model.bin").touch()
    assert recognise(folder).weights == "safetensors"
    (folder / "vae/diffusion_pytorch_model.bin").touch()
    assert recognise(folder).weights == "pickle only"


BROKEN = {
    "expected an object": b"[1]",
    "does not hold JSON": b"{",
    "codec can't decode": b'{"model_type": "\xff"}',
    "nested too deeply": b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "is not read": b'{"a": "' + b"x" * MAX_BYTES + b'"}',
    "digits": b'{"a": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("file", ["config.json", "model_index.json"])
@pytest.mark.parametrize("message", BROKEN)
def test_broken_files(file: str, message: str, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(BROKEN[message])
    with pytest.raises(LoadError, match=message):
        recognise(tmp_path)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "os.system", "\x1b[31m", "", 3, None, "A" * 200]
)
def test_a_name_that_is_none_is_shown_and_never_followed(
    name: object, checkpoint: Checkpoint
) -> None:
    with pytest.raises(LoadError, match="_class_name is .*expected a name") as caught:
        recognise(checkpoint(_pipeline(name)))
    assert "\x1b" not in str(caught.value) and len(str(caught.value)) < 400
    with pytest.raises(LoadError, match="architectures is .*expected a name"):
        recognise(checkpoint(_model(name, "gpt2")))
    if name is not None:
        with pytest.raises(LoadError, match="model_type is .*expected a name|broken"):
            recognise(checkpoint(_model("GPT2LMHeadModel", f"../{name}")))


WITH_CODE = {
    "auto_map": _model("GPT2LMHeadModel", "gpt2", auto_map={"AutoModelForCausalLM": "own.Own"}),
    "trust_remote_code": _model("GPT2LMHeadModel", "gpt2", trust_remote_code=True),
    "custom_pipelines": _model("GPT2LMHeadModel", "gpt2", custom_pipelines={"a": {"impl": "own"}}),
    "its class is in a file beside it": _pipeline(
        ["own", "Own"], unet=["diffusers", "UNet2DModel"]
    ),
    "a part comes from .own": _pipeline("StableDiffusionPipeline", unet=["own", "Own"]),
    r"a part comes from .\.\./\.\./own": _pipeline(
        "StableDiffusionPipeline", unet=["../../own", "Own"]
    ),
}


@pytest.mark.parametrize("why", WITH_CODE)
def test_code_of_a_checkpoint_never_runs(why: str, checkpoint: Checkpoint) -> None:
    folder = checkpoint(WITH_CODE[why])
    (folder / "own.py").write_text(
        "import pathlib; pathlib.Path(__file__).with_name('ran').touch()"
    )
    with pytest.raises(LoadError, match=f"(?s){why}.*never runs unless asked for"):
        recognise(folder)
    assert not list(folder.rglob("ran"))


def test_a_part_of_a_pipeline_is_none(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(_pipeline("AutoencoderKL")))
    with pytest.raises(LoadError, match=r"part of a diffusers pipeline \(AutoencoderKL\)"):
        recognise(tmp_path)


def test_folders_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="neither model_index.json nor config.json"):
        recognise(tmp_path)
    os.mkfifo(tmp_path / "config.json")  # Opening it would wait for ever.
    with pytest.raises(LoadError, match="neither"):
        recognise(tmp_path)
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text("{}")
    with pytest.raises(LoadError, match="adapter such as a LoRA"):
        recognise(tmp_path / "lora")
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(LoadError, match="is a file"):
        recognise(tmp_path / "model.safetensors")


def _cached(cache: Path, repository: str, name: str, content: Any) -> None:
    """A file as huggingface_hub keeps it."""
    root = cache / f"models--{repository.replace('/', '--')}"
    for part in ("blobs", "refs", f"snapshots/{COMMIT}"):
        (root / part).mkdir(parents=True, exist_ok=True)
    (root / "blobs" / name).write_text(json.dumps(content))
    (root / "refs/main").write_text(COMMIT)
    (root / "snapshots" / COMMIT / name).symlink_to(f"../../blobs/{name}")


def test_hub_ids_are_read_from_the_cache(tmp_path: Path) -> None:
    _cached(tmp_path, "org/opus", "config.json", _model("MarianMTModel", "marian"))
    _cached(tmp_path, "org/sd", "model_index.json", {"_class_name": "StableDiffusionPipeline"})
    place = {"cache_dir": tmp_path, "local_files_only": True}
    found = recognise("org/opus", **place)
    assert (found.task, found.source, found.revision) == ("translation", "org/opus", COMMIT)
    assert found.weights == "unknown"
    assert recognise("org/sd", **place, revision=COMMIT).task == "text-to-image"
    with pytest.raises(LoadError, match="no configuration of org/sd in the cache"):
        recognise("org/sd", **place, revision="other")
    with pytest.raises(LoadError, match="HF_HUB_OFFLINE or local_files_only is set"):
        recognise("org/absent", **place)


@pytest.mark.parametrize("name", ["a/b/c", "org/na me", "../etc", "", "org--x/y", "org/"])
def test_what_is_no_id(name: str) -> None:
    with pytest.raises(UnknownNameError, match="neither a folder here nor an id of the Hub"):
        recognise(name)


class _Hub(BaseHTTPRequestHandler):
    """A Hub with one repository, and some that answer as the real one refuses."""

    def do_HEAD(self) -> None:
        repository, _, file = self.path.lstrip("/").partition("/resolve/")
        code = {"org/gated": "GatedRepo", "org/absent": "RepoNotFound"}.get(repository)
        if code is None and not file.startswith("main/"):
            code = "RevisionNotFound"
        elif code is None and (repository, file) != ("org/good", "main/config.json"):
            code = "EntryNotFound"
        body = b'{"architectures": ["VitsModel"], "model_type": "vits"}' if code is None else b""
        statuses = {None: 200, "GatedRepo": 403, "RepoNotFound": 401}
        self.send_response(statuses.get(code, 404))
        if code is not None:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", '"etag"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_the_hub_answers(endpoint: str, tmp_path: Path) -> None:
    code = (
        "import json, sys\n"
        "from mmgen.backends.recognition import recognise\n"
        "said = []\n"
        "for name, revision in json.loads(sys.argv[1]):\n"
        "    try: r = recognise(name, revision=revision); said.append([r.task, r.revision])\n"
        "    except Exception as e: said.append([type(e).__name__, str(e)])\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy'} & set(sys.modules)\n"
        "print(json.dumps([said, list(heavy)]))\n"
    )
    asked = [(f"org/{n}", None) for n in ("good", "gated", "absent", "empty")]
    names = json.dumps([*asked, ("org/good", "nowhere")])
    env = os.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        env.pop(proxy, None)
    done = subprocess.run(
        [sys.executable, "-c", code, names], env=env, capture_output=True, text=True, check=True
    )
    (good, gated, absent, empty, nowhere), heavy = json.loads(done.stdout)
    assert good == ["text-to-speech", COMMIT] and heavy == []
    assert gated[0] == "LoadError" and "Accept its terms" in gated[1]
    assert absent[0] == "UnknownNameError" and "no repository org/absent" in absent[1]
    assert empty[0] == "LoadError" and "neither model_index.json nor config.json" in empty[1]
    assert nowhere[0] == "LoadError" and "no revision 'nowhere'" in nowhere[1]
    kept = [p.name for p in tmp_path.rglob("snapshots/*/*")]
    assert kept == ["config.json"]


def test_the_readme_shows_what_is_loaded() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    assert markdown() in readme
    for (library, task), verbs in LOADED.items():
        groups = [g for g in table().groups if (g.library, g.task) == (library, task)]
        names = [name for group in groups for name in group.architectures]
        assert any(verbs_of(library, task, name)[: len(verbs)] == verbs for name in names)
    assert verbs_of("transformers", "text-to-speech", "VibeVoiceForConditionalGeneration") == ()
    assert "log_prob" in verbs_of("diffusers", "text-to-image", "StableDiffusionPipeline")
