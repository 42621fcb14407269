"""Checkpoints of transformers as CTranslate2 has them, converted once, into a cache."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from mmgen.backends.recognition import Recognised
from mmgen.core.errors import LoadError, MissingDependency
from mmgen.core.files import folder_beside

__all__ = ["converted", "library"]


def library() -> Any:
    """CTranslate2 itself.

    Raises:
        MissingDependency: If it is not installed.
    """
    try:
        import ctranslate2
    except ImportError:
        raise MissingDependency(
            "ctranslate2", extra="engines", purpose="to run models in CTranslate2"
        ) from None
    return ctranslate2


def converted(found: Recognised, where: dict[str, Any], languages: list[str]) -> Path:
    """The folder of the converted checkpoint, made if it is not there yet."""
    engine = library()
    folder = _cache() / f"{_fingerprint(found)}-{engine.__version__}"
    if folder.is_dir():
        return folder
    converter = _converter(engine, languages)(
        found.source, revision=where["revision"], trust_remote_code=False
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with folder_beside(folder) as new:
            converter.convert(os.fspath(new), force=True)
    except (ValueError, NotImplementedError, KeyError, AttributeError) as error:
        raise LoadError(
            f"CTranslate2 cannot convert {found.architecture} of {found.source}: {error}"
        ) from None
    return folder


def _converter(engine: Any, languages: list[str]) -> type:
    """The engine's converter, told what transformers 5 no longer says where it looks for it."""

    class Converter(engine.converters.TransformersConverter):
        def load_model(self, *given: Any, **how: Any) -> Any:
            model = super().load_model(*given, **how)
            if model.config.model_type == "mbart":
                for name in ("normalize_before", "normalize_embedding"):
                    # It has no other way.
                    setattr(model.config, name, True)
            return model

        def load_tokenizer(self, *given: Any, **how: Any) -> Any:
            return _Naming(super().load_tokenizer(*given, **how), languages)

    return Converter


class _Naming:
    """A tokenizer whose special tokens name languages, as they did, and that begins any text."""

    def __init__(self, tokenizer: Any, languages: list[str]) -> None:
        self._tokenizer, self._languages = tokenizer, languages

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    @property
    def bos_token(self) -> str:
        return self._tokenizer.bos_token or self._tokenizer.eos_token

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        named = self._tokenizer.special_tokens_map
        return {**named, "additional_special_tokens": self._languages}


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mmgen" / "ctranslate2"


def _fingerprint(found: Recognised) -> str:
    """What tells one checkpoint from another: its commit, or the sizes and times of its files."""
    about: list[Any] = [found.source, found.revision]
    folder = Path(found.source)
    if folder.is_dir():
        states = ((f.name, f.stat()) for f in sorted(folder.iterdir()) if f.is_file())
        about += [folder.resolve().as_posix(), [(n, s.st_size, s.st_mtime_ns) for n, s in states]]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:24]
