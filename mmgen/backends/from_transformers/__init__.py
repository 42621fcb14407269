"""Parts of transformers checkpoints."""

from mmgen.backends.from_transformers.text_encoder import FrozenTextEncoder
from mmgen.backends.from_transformers.tokenized_text import TokenizedText

__all__ = ["FrozenTextEncoder", "TokenizedText"]
