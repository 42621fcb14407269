"""Low-rank adapters in the files of peft, as people share them for language models.

Source: LoRA: Low-Rank Adaptation of Large Language Models (Hu et al., 2021), Sec. 4.1,
arXiv:2106.09685; the other scale: rsLoRA (Kalajdzievski, 2023), arXiv:2312.03732.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mmgen.core.errors import LoadError
from mmgen.core.files import read_json, read_tensors

__all__ = ["CONFIGURATION", "WEIGHTS", "is_peft", "peft_factors"]

CONFIGURATION, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_KEY = re.compile(r"base_model\.model\.(?P<module>[\w.]+)\.lora_(?P<which>[AB])\.weight")
# What changes more than matrices, or other matrices than it says.
_UNUSED = ("use_dora", "modules_to_save", "layer_replication", "target_parameters", "lora_bias")


def is_peft(folder: Path) -> bool:
    """Whether a folder holds an adapter in the form of peft."""
    return (folder / CONFIGURATION).is_file()


def peft_factors(folder: Path, weights: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """(A (rank, in), B (out, rank)), scaled, by the name of the weight W that B A is added to.

    Args:
        folder: Of the adapter.
        weights: Of the pipeline, by their names; those of the checkpoint's own model end in the
            names that the adapter has for them.

    Raises:
        LoadError: If it is broken, has anything else than low-rank changes of matrices, or fits
            none of the weights.
    """
    said = read_json(folder / CONFIGURATION)
    asked = [name for name in _UNUSED if said.get(name)]
    if said.get("peft_type") != "LORA" or said.get("bias", "none") != "none" or asked:
        what = asked[0] if asked else ascii(said.get("peft_type"))[:40]
        raise LoadError(
            f"{folder / CONFIGURATION} asks for {what}; plain LoRA of matrices, without biases, is "
            "what is added here. Merge it into its model by peft where you trust it, and load that."
        )
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, tensor in read_tensors(folder / WEIGHTS).items():
        found = _KEY.fullmatch(key)
        if found is None or tensor.ndim != 2 or not tensor.isfinite().all():  # noqa: PLR2004
            raise LoadError(
                f"{key[:80]!r} of {folder / WEIGHTS} is no low-rank change of a matrix."
            )
        pairs.setdefault(found["module"], {})[found["which"]] = tensor
    if not pairs:
        raise LoadError(f"{folder / WEIGHTS} holds no weights. Get it again.")
    factors = {}
    for module, pair in pairs.items():
        a, b = pair.get("A"), pair.get("B")
        if a is None or b is None or b.shape[1] != a.shape[0]:
            raise LoadError(f"{folder / WEIGHTS} holds no adapter of {module}.")
        b = _scale(said, module, rank=len(a), where=folder) * b.float()
        # Some layers keep their matrices the other way round.
        turned = bool(said.get("fan_in_fan_out"))
        factors[_name(module, weights, folder)] = (b.mT, a.mT) if turned else (a, b)
    return factors


def _scale(said: Mapping[str, Any], module: str, *, rank: int, where: Path) -> float:
    alpha, patterns = said.get("lora_alpha", 8), said.get("alpha_pattern") or {}
    # Of a file that nobody vouches for, a name is taken and an expression is not.
    if not isinstance(patterns, dict) or not all(re.fullmatch(r"[\w.]+", p) for p in patterns):
        raise LoadError(
            f"{where / CONFIGURATION} has scales for {ascii(patterns)[:60]}, which are no names of "
            "layers."
        )
    for pattern, own in patterns.items():
        if module == pattern or module.endswith(f".{pattern}"):
            alpha = own
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not math.isfinite(alpha):
        raise LoadError(f"{where / CONFIGURATION} has no number for lora_alpha but {alpha!r:.40}.")
    return alpha / (math.sqrt(rank) if said.get("use_rslora") else rank)


def _name(module: str, weights: Mapping[str, Tensor], folder: Path) -> str:
    found = [n for n in weights if n.endswith(f".{module}.weight") or n == f"{module}.weight"]
    if len(found) != 1:
        raise LoadError(
            f"The adapter in {folder} changes {module}, which {'several' if found else 'none'} of "
            "the weights of this pipeline can be. Give one that was made for the same architecture."
        )
    return found[0]
