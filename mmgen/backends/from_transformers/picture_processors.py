"""Processors of pictures and texts, without what some of them read films by.

That wants torchvision, and no part of the door asks it, so it is left out wherever it would be.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmgen.backends.foreign import Place
from mmgen.backends.from_transformers.files import load_files, load_reader
from mmgen.backends.recognition import Recognised

__all__ = ["PROCESSOR_FILES", "KeptFiles", "load_picture_processor"]

# Idefics3's writes out pictures as SmolVLM's does, and knows no films.
_OF_SMOLVLM = "Idefics3Processor"
_OF_FILMS_TOO = {
    "SmolVLMForConditionalGeneration": _OF_SMOLVLM,
    "Qwen2VLForConditionalGeneration": "Qwen2VLProcessor",
    "Qwen2_5_VLForConditionalGeneration": "Qwen2_5_VLProcessor",
}
PROCESSOR_FILES = (
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "chat_template.jinja",
    "chat_template.json",
)


class KeptFiles:
    """Small files of a checkpoint that are saved as they were.

    Args:
        files: Their contents by name.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def save_pretrained(self, folder: Path) -> None:
        for name, content in self.files.items():
            (Path(folder) / name).write_bytes(content)


def load_picture_processor(found: Recognised, place: Place) -> tuple[Any, Any]:
    """What reads pictures and texts for a checkpoint, and what saves it.

    Raises:
        LoadError: If its files are missing or broken.
    """
    name = _OF_FILMS_TOO.get(found.architecture)
    if name is None:
        processor = load_reader(found, place)
        return processor, processor
    processor = load_reader(found, place, _without_films(name))
    # The library, too, wants all of it when it loads what is saved.
    return processor, KeptFiles(load_files(found, place, PROCESSOR_FILES))


def _without_films(name: str) -> type:
    """A processor class of transformers that reads pictures and texts alone."""
    import transformers

    kind = getattr(transformers, name)
    if name == _OF_SMOLVLM:
        return kind

    # The library asks the signature which parts there are.
    def __init__(
        self: Any, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None
    ) -> None:
        kind.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    return type(name, (kind,), {"__init__": __init__})
