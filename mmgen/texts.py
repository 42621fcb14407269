"""Pipelines P(text | text): one text is read, another is written, subword after subword.

Source: Attention Is All You Need (Vaswani et al., 2017), Sec. 3, arXiv:1706.03762
"""

from __future__ import annotations

from mmgen.families.autoregressive import Autoregressive
from mmgen.families.autoregressive.warping import Warping
from mmgen.guidance.tokens import TokenGuidance
from mmgen.modalities.text import SubwordText, TextEncoder
from mmgen.nn.tokens import TokenTransformer
from mmgen.pipeline import Pipeline

__all__ = ["text_to_text"]


def text_to_text(
    encoder: TextEncoder,
    codec: SubwordText,
    *,
    depth: int,
    num_heads: int,
    warping: Warping | None = None,
    condition_dropout: float = 0.1,
) -> Pipeline:
    """A reader, and a writer as wide that attends to what was read, with fresh weights.

    Args:
        encoder: Reads Y.
        codec: Subwords of X.
        depth: Blocks of the writer.
        num_heads: Heads of its attention.
        warping: How texts are drawn if not asked otherwise; as the model is, if None.
        condition_dropout: How often Y is withheld in training, so that P(X) alone is learnt, too.
    """
    network = TokenTransformer(
        codec.vocabulary + 1,
        dim=encoder.dim,
        depth=depth,
        num_heads=num_heads,
        condition=encoder.spec,
        causal=True,
    )
    model = Autoregressive(network, spec=codec.spec, warping=warping)
    return Pipeline(
        encoder=encoder,
        model=TokenGuidance(model),
        codec=codec,
        condition_dropout=condition_dropout,
    )
