"""Weights in 8 or 4 bits, by the quantisers that the libraries themselves take."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch

from mmgen.core.errors import MissingDependency

__all__ = ["QUANTIZATIONS", "quantization_config"]

QUANTIZATIONS = ("int8", "int4")
"""What can be asked for by name."""


def quantization_config(asked: Any, library: str, dtype: torch.dtype) -> Any:
    """The configuration of a quantiser.

    Args:
        asked: One of `QUANTIZATIONS`, or a configuration, which is passed on.
        library: "transformers" or "diffusers", whose configuration it shall be.
        dtype: In which precision is computed.

    Raises:
        MissingDependency: If no quantiser for it is installed.
    """
    if not isinstance(asked, str):
        return asked
    if find_spec("bitsandbytes") is None:
        raise MissingDependency(
            "bitsandbytes", extra="quantization", purpose="Loading weights in 8 or 4 bits"
        )
    import diffusers
    import transformers

    kind = {"transformers": transformers, "diffusers": diffusers}[library].BitsAndBytesConfig
    if asked == "int8":
        return kind(load_in_8bit=True)
    return kind(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
