"""Small parts of the pipelines of diffusers: tokenizers trained on the spot, an autoencoder."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mmgen.simulators import scenes

__all__ = ["autoencoder", "clip_tokenizer", "t5_tokenizer"]


def autoencoder(*, size: int, factor: int) -> Any:
    """A tiny one, latent images `factor` times smaller."""
    from diffusers import AutoencoderKL

    levels = 1 + int(math.log2(factor))
    return AutoencoderKL(
        block_out_channels=(16,) * levels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=size,
    )


def t5_tokenizer() -> Any:
    """One by unigrams, 512 pieces."""
    import sentencepiece
    from transformers import T5Tokenizer

    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "spiece.model"
        with model.open("wb") as file:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(_corpus()),
                model_writer=file,
                vocab_size=512,
                hard_vocab_limit=False,
                minloglevel=2,
                num_threads=1,
                **{"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1},
            )
        return T5Tokenizer.from_pretrained(folder, extra_ids=0)


def clip_tokenizer() -> Any:
    """One by merged bytes, 512 pieces."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    start, end = "<|startoftext|>", "<|endoftext|>"
    own = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=end))
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        end_of_word_suffix="</w>",
        special_tokens=[start, end],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    own.train_from_iterator(_corpus(), trainer)
    with tempfile.TemporaryDirectory() as folder:
        vocabulary, merges = own.model.save(folder)
        return CLIPTokenizer(vocab=vocabulary, merges=merges)


def _corpus() -> list[str]:
    rng = np.random.default_rng(0)
    return [scenes.describe(scenes.sample_scene(rng), rng).text for _ in range(1024)]
