"""`mmgen generate` and `classify` on a checkpoint that another library saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from backends.tiny_tokenizers import byte_tokenizer
from cli.conftest import Command
from transformers import GPT2Config, GPT2LMHeadModel


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("writer")
    tokenizer = byte_tokenizer()
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
