"""Tiny checkpoints of transformers that answer about pictures, as they are saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from backends.sharpened import sharpened
from backends.tiny_tokenizers import byte_tokenizer
from PIL import Image
from transformers import (
    AutoProcessor,
    AutoTokenizer,
    CLIPImageProcessor,
    CLIPVisionConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

__all__ = ["SEERS", "Reader", "idefics3", "llava", "qwen2_5_vl", "qwen2_vl", "smolvlm"]

_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<image>{% else %}{{ p['text'] }}{% endif %}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_ROLES = ("<|user|>", "<|assistant|>")


def _writer(words: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=words,
        max_position_embeddings=96,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=0,
        eos_token_id=0,
    )


def llava(folder: Path, *, chat: bool = True) -> Path:
    """LLaVA, that sees four patches of a picture of 28 pixels."""
    tokenizer = byte_tokenizer("<image>", *_ROLES)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=28,
            patch_size=14,
        ),
        text_config=_writer(len(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
    )
    # What has one axis is not sharpened.
    torch.manual_seed(0)
    model = sharpened(LlavaForConditionalGeneration(config), 0.3)
    model.generation_config.eos_token_id = 0
    model.save_pretrained(folder)
    processor = CLIPImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    )
    LlavaProcessor(
        processor,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_TEMPLATE if chat else None,
    ).save_pretrained(folder)
    return folder


def _of_parts(folder: Path, config_class: type, model_class: type) -> Any:
    """A model that sees a picture of 28 pixels and, of larger ones, their parts."""
    marks = ("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>")
    places = tuple(f"<row_{i}_col_{j}>" for i in range(1, 4) for j in range(1, 4))
    tokenizer = byte_tokenizer(*marks, *places, *_ROLES)
    config = config_class(
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 7,
        },
        text_config=_writer(len(tokenizer)),
    )
    # What has one axis is not sharpened.
    torch.manual_seed(0)
    model = sharpened(model_class(config), 0.3)
    model.generation_config.eos_token_id = 0
    model.save_pretrained(folder)
    return tokenizer


def idefics3(folder: Path) -> Path:
    """Idefics3, that sees a picture of 28 pixels and, of larger ones, their parts."""
    tokenizer = _of_parts(folder, Idefics3Config, Idefics3ForConditionalGeneration)
    processor = Idefics3ImageProcessor(
        size={"longest_edge": 56}, max_image_size={"longest_edge": 28}
    )
    Idefics3Processor(
        processor, tokenizer, image_seq_len=4, chat_template=_TEMPLATE
    ).save_pretrained(folder)
    return folder


def smolvlm(folder: Path) -> Path:
    """SmolVLM, that sees as Idefics3 does, with the files that its processor has on the Hub."""
    tokenizer = _of_parts(folder, SmolVLMConfig, SmolVLMForConditionalGeneration)
    pictures = SmolVLMImageProcessorPil(
        size={"longest_edge": 56}, max_image_size={"longest_edge": 28}
    )
    _with_films(folder, tokenizer, pictures, "SmolVLM", image_seq_len=4)
    return folder


def qwen2_vl(folder: Path, *, newer: bool = False) -> Path:
    """Qwen2-VL, whose positions have three axes, and of whose pictures any size is seen."""
    marks = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    tokenizer = byte_tokenizer(*marks, *_ROLES)
    ids = dict(zip(marks, tokenizer.convert_tokens_to_ids(list(marks)), strict=True))
    writer = _writer(len(tokenizer)).to_dict()
    kept = ("vocab_size", "max_position_embeddings", "hidden_size", "intermediate_size")
    kept += ("num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    seeing = {"depth": 2, "num_heads": 2, "patch_size": 7, "spatial_merge_size": 2}
    if newer:
        seeing |= {"hidden_size": 16, "intermediate_size": 24, "out_hidden_size": 32}
        seeing |= {"window_size": 28, "fullatt_block_indexes": [1]}
    else:
        seeing |= {"embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2}
    config = (Qwen2_5_VLConfig if newer else Qwen2VLConfig)(
        text_config={n: writer[n] for n in kept}
        | {"bos_token_id": 0, "eos_token_id": 0}
        | {"rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}},
        vision_config=seeing,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    torch.manual_seed(0)
    kind = Qwen2_5_VLForConditionalGeneration if newer else Qwen2VLForConditionalGeneration
    model = sharpened(kind(config), 0.3)
    model.generation_config.eos_token_id = 0
    model.save_pretrained(folder)
    size = {"shortest_edge": 28 * 28, "longest_edge": 56 * 56}
    pictures = Qwen2VLImageProcessorPil(patch_size=7, merge_size=2, size=size)
    _with_films(folder, tokenizer, pictures, "Qwen2_5_VL" if newer else "Qwen2VL")
    return folder


def qwen2_5_vl(folder: Path) -> Path:
    """Qwen2.5-VL, which sees in windows."""
    return qwen2_vl(folder, newer=True)


SEERS = {
    "llava": llava,
    "idefics3": idefics3,
    "smolvlm": smolvlm,
    "qwen2_vl": qwen2_vl,
    "qwen2_5_vl": qwen2_5_vl,
}


def _with_films(folder: Path, tokenizer: Any, pictures: Any, name: str, **more: Any) -> None:
    """The files of a processor that reads films, too, which nothing here can make or load."""
    mark = "<|vision_start|><|image_pad|><|vision_end|>" if "Qwen" in name else "<image>"
    tokenizer.save_pretrained(folder)
    pictures.save_pretrained(folder)
    file = folder / "preprocessor_config.json"
    content = json.loads(file.read_text("utf-8"))
    # On the Hub it is of the class that wants torchvision.
    content["image_processor_type"] = content["image_processor_type"].removesuffix("Pil")
    file.write_text(json.dumps(content), "utf-8")
    films = {"video_processor_type": f"{name.replace('2_5_', '2')}VideoProcessor"}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(films), "utf-8")
    own = {"processor_class": f"{name}Processor", **more}
    (folder / "processor_config.json").write_text(json.dumps(own), "utf-8")
    (folder / "chat_template.jinja").write_text(_TEMPLATE.replace("<image>", mark), "utf-8")


class Reader:
    """What the library reads of pictures and texts, by its processor where that can be made.

    Otherwise by what the processor's source says of pictures, without a film.
    """

    def __init__(self, folder: Path) -> None:
        file = folder / "processor_config.json"
        stated = json.loads(file.read_text("utf-8")).get("processor_class", "")
        self.mark, self.whole = "<image>", None
        if "Qwen" in stated:
            self.mark = "<|vision_start|><|image_pad|><|vision_end|>"
            self.pictures, self.written = Qwen2VLImageProcessorPil, self._as_qwen
        elif "SmolVLM" in stated:
            self.pictures, self.written = SmolVLMImageProcessorPil, self._as_smolvlm
        else:
            self.whole = AutoProcessor.from_pretrained(folder)
            self.tokenizer = self.whole.tokenizer
            return
        self.pictures = self.pictures.from_pretrained(folder)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def __call__(self, text: str, images: list[Image.Image]) -> dict[str, torch.Tensor]:
        if self.whole is not None:
            given = {"images": images} if images else {}
            return dict(self.whole(text=[text], **given, return_tensors="pt"))
        seen, marks = self.written(images) if images else ({}, [])
        mark = "<|image_pad|>" if "image_pad" in self.mark else "<image>"
        parts = text.split(mark)
        whole = "".join(a + b for a, b in zip(parts, [*marks, ""], strict=True))
        found = dict(self.tokenizer(whole, return_tensors="pt"))
        if "image_grid_thw" in seen:
            ids = found["input_ids"]
            found["mm_token_type_ids"] = (ids == self.tokenizer.convert_tokens_to_ids(mark)).int()
        return found | seen

    def _as_qwen(self, images: list[Image.Image]) -> tuple[dict[str, torch.Tensor], list[str]]:
        seen = dict(self.pictures(images=images, return_tensors="pt"))
        counts = seen["image_grid_thw"].prod(1) // self.pictures.merge_size**2
        return seen, ["<|image_pad|>" * int(n) for n in counts]

    def _as_smolvlm(self, images: list[Image.Image]) -> tuple[dict[str, torch.Tensor], list[str]]:
        seen = dict(self.pictures(images=[images], return_tensors="pt", return_row_col_info=True))
        grid = zip(seen.pop("rows")[0], seen.pop("cols")[0], strict=True)
        named = ("<fake_token_around_image>", "<image>", "<global-img>")
        return seen, [get_image_prompt_string(int(r), int(c), 4, *named) for r, c in grid]
