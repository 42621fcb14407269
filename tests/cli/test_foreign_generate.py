"""`mmgen generate` and `classify` on a checkpoint that another library saved."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from backends.tiny_tokenizers import byte_tokenizer
from cli.conftest import Command
from transformers import GPT2Config, GPT2LMHeadModel

from mmgen.adapter import Adapter
from mmgen.pipeline import Pipeline

SHORT = ["--option", "max_new_tokens=8"]


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("writer")
    tokenizer = byte_tokenizer()
    # As the converter of CTranslate2 wants it.
    tokenizer.unk_token = tokenizer.eos_token
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=48,
        n_embd=32,
        n_layer=1,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_text_is_written(command: Command, writer: Path, tmp_path: Path) -> None:
    asked = ["--option", "max_new_tokens=8", "--seed", 3, "--json"]
    done = command("generate", writer, "A Red cat", "-o", "a.txt", *asked)
    assert done.code == 0 and done.json["recipe"] == "GPT2LMHeadModel"
    again = command("generate", writer, "A Red cat", "-o", "b.txt", *asked)
    assert again.code == 0 and (tmp_path / "a.txt").read_bytes()
    assert (tmp_path / "a.txt").read_bytes() == (tmp_path / "b.txt").read_bytes()
    alone = command("generate", writer, "-o", "c.txt", *asked)
    assert alone.code == 0 and (tmp_path / "c.txt").is_file()


def test_bayes_rule_by_a_language_model(command: Command, writer: Path, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(" cat", "utf-8")
    done = command(
        "classify", writer, "x.txt", "--candidate", "A Red", "--candidate", "blue", "--json"
    )
    assert done.code == 0, done.err


def test_bad_input_is_said_in_a_line(command: Command, writer: Path) -> None:
    for wrong in (
        ["", "-o", "a.txt"],
        ["A cat " * 60, "-o", "a.txt"],
        ["A cat", "-o", "a.png"],
        ["A cat", "-o", "a.txt", "--option", "warmth=2"],
    ):
        done = command("generate", writer, *wrong)
        assert done.code != 0 and done.err.strip()


def _adapter(folder: Path, writer: Path, seed: int) -> Path:
    """An adapter of a matrix of the writer, as `fit` writes one."""
    generator = torch.Generator().manual_seed(seed)
    pipe = Pipeline.from_pretrained(writer)
    name, weight = next(
        (n, p) for n, p in pipe.parts.named_parameters() if n.endswith("wte.weight")
    )
    a = torch.randn(1, weight.shape[1], generator=generator)
    b = torch.randn(weight.shape[0], 1, generator=generator)
    return Adapter(None, {name: (a, b)}, {}, None).save(folder)


def _text(command: Command, *arguments: object) -> str:
    done = command("generate", *arguments, "-o", "x.txt", "--seed", 3, *SHORT)
    assert done.code == 0, done.err
    return Path("x.txt").read_text("utf-8")


def test_adapters_are_added_and_weighed(command: Command, writer: Path, tmp_path: Path) -> None:
    files = [_adapter(tmp_path / f"run={seed}" / "adapter", writer, seed) for seed in (1, 2)]
    pipe = Pipeline.from_pretrained(writer)
    pipe.adapters.load(files[0], name="a")
    pipe.adapters.load(files[1], name="b", weight=-0.5)
    drawn = pipe("A Red cat", seed=3, max_new_tokens=8)
    asked = [writer, "A Red cat", "--adapter", files[0].parent, "--adapter", f"{files[1]}=-0.5"]
    assert _text(command, *asked) == f"{drawn}\n" != _text(command, writer, "A Red cat")
    none = [writer, "A Red cat", "--adapter", f"{files[0]}=0"]
    assert _text(command, *none) == _text(command, writer, "A Red cat")
    told = command("generate", *asked, "-o", "x.txt", *SHORT, "--json")
    assert told.json["adapters"] == [str(files[0].parent), f"{files[1]}=-0.5"]
    # An adapter alone names what it changes, or is told.
    alone = [files[0], "A Red cat", "--base", writer]
    assert _text(command, *alone) == _text(command, writer, "A Red cat", "--adapter", files[0])


def test_where_weights_go(command: Command, writer: Path, tmp_path: Path) -> None:
    plain = _text(command, writer, "A Red cat")
    assert _text(command, writer, "A Red cat", "--device-map", "cpu") == plain
    assert _text(command, writer, "A Red cat", "--device-map", '{"": "disk"}') == plain
    bounded = ["--device-map", "auto", "--max-memory", "cpu=60KB", "--offload-folder", tmp_path]
    assert _text(command, writer, "A Red cat", *bounded) == plain
    half = command(
        "generate", writer, "A Red cat", "-o", "x.txt", *SHORT, "--dtype", "bfloat16", "--json"
    )
    assert half.code == 0 and half.json["dtype"] == "bfloat16"


def test_another_revision_of_a_cached_checkpoint(
    command: Command, writer: Path, tmp_path: Path
) -> None:
    root, commit = tmp_path / "cache" / "models--org--writer", "a" * 40
    shutil.copytree(writer, root / "snapshots" / commit)
    (root / "refs").mkdir()
    (root / "refs" / "v2").write_text(commit)
    cached = ["--cache-dir", tmp_path / "cache", "--local-files-only"]
    asked = ["org/writer", "A Red cat", *cached, "--revision"]
    assert _text(command, *asked, "v2") == _text(command, writer, "A Red cat")
    done = command("generate", *asked, "v3", "-o", "x.txt")
    assert done.code == 1 and "org/writer" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--adapter", "nothing/at/all/there"], "'nothing/at/all/there' is neither a folder here"),
        (["--adapter", ".=much"], "PATH=WEIGHT with a number"),
        (["--adapter", "."], "There is no adapter.json in '.'"),
        (["--device-map", "auto", "--device", "cpu"], "Give one"),
        (["--device-map", "{"], "as a JSON object"),
        (["--max-memory", "cpu"], "Expected name=value"),
        (["--max-memory", "cpu=1GB"], "Give device_map"),
        (["--offload", "model"], "is for pipelines of diffusers"),
        (["--offload", "all"], "offload is one of"),
        (["--quantization", "int3"], "'int8' or 'int4'"),
        (["--compute-type", "int8"], "Give --engine"),
        (["--engine", "warp"], "No engine 'warp'"),
        (["--dtype", "int8"], "int8"),
        (["--base", "org/x"], "is a whole pipeline"),
    ],
)
def test_what_cannot_be_loaded_so_is_said_in_a_line(
    arguments: list[str], message: str, command: Command, writer: Path
) -> None:
    done = command("generate", writer, "A cat", "-o", "a.txt", *arguments)
    # A usage error may be followed by where to look for help.
    said = " ".join(done.err.split())
    assert done.code != 0 and message in said and done.err.count("error:") == 1
    assert not Path("a.txt").exists()


def test_a_pipeline_of_mmgen_has_no_place(command: Command) -> None:
    done = command(
        "generate", "text-to-image:emoji", "a cat", "-o", "a.png", "--device-map", "auto"
    )
    assert done.code == 1 and "checkpoints of other libraries alone take device_map" in done.err


def test_an_engine_runs_it(command: Command, writer: Path, tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2")
    asked = ["--engine", "ctranslate2", "--compute-type", "float32"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        done = command("generate", writer, "A Red cat", "-o", "a.txt", *asked, *SHORT, "--json")
    assert done.code == 0, done.err


def test_texts_that_are_molecules(command: Command, writer: Path) -> None:
    pytest.importorskip("rdkit")
    done = command("generate", writer, "C", "-o", "a.txt", *SHORT, "--writes", "smiles")
    assert done.code == 1 and "cannot hold a molecules" in done.err.replace("\n", " ")
    done = command("generate", writer, "C", "-o", "a.smi", *SHORT, "--writes", "runes")
    assert done.code == 1 and "writes is one of smiles, selfies" in done.err
