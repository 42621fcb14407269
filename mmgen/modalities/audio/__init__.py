"""Sounds: Audio to people, mel frames or tokens to models."""

from mmgen.modalities.audio.encoder import AudioEncoder
from mmgen.modalities.audio.files import (
    PREVIEW_SUFFIX,
    SUFFIXES,
    doubts,
    in_a_row,
    load,
    measures,
    save,
    save_many,
)
from mmgen.modalities.audio.griffin_lim import GriffinLim
from mmgen.modalities.audio.log_mel import LogMel
from mmgen.modalities.audio.mu_law import MuLaw
from mmgen.modalities.audio.value import Audio, resample
from mmgen.nn.mel import MelSpec

__all__ = [
    "CODECS",
    "COLUMNS",
    "IN_FILES",
    "LEARNT",
    "PREVIEW_SUFFIX",
    "SUFFIXES",
    "Audio",
    "AudioEncoder",
    "GriffinLim",
    "LogMel",
    "MelSpec",
    "MuLaw",
    "codec",
    "doubts",
    "encoder",
    "in_a_row",
    "load",
    "measures",
    "resample",
    "save",
    "save_many",
]

COLUMNS = ("audio", "file_name", "sound", "path", "wav", "flac", "mp3", "ogg")
IN_FILES = True


def _mel(size: str) -> MelSpec:
    if size == "debug":
        return MelSpec.debug()
    return MelSpec(16000, fft=1024, hop=256, window=1024, num_mels=80, fmin=0.0, fmax=8000.0)


def _log_mel(size: str) -> LogMel:
    return LogMel(_mel(size), max_length={"debug": 128, "small": 512}[size])


def _mu_law(size: str) -> MuLaw:
    return MuLaw(8000, max_length={"debug": 256, "small": 8000}[size])


CODECS = {"log_mel": _log_mel, "mu_law": _mu_law}
# Its vocoder makes sounds of these very frames.
LEARNT = "text-to-audio:speech"


def codec(size: str) -> LogMel:
    """The codec of this size: mel frames of 2 s at 8 kHz, or of 8 s at 16 kHz, and Griffin-Lim."""
    return _log_mel(size)


def encoder(size: str, labels: tuple[str, ...] = ()) -> AudioEncoder:
    """The audio encoder of this size, for the sounds of the codec of this size."""
    if size == "debug":
        return AudioEncoder.debug()
    return AudioEncoder(_mel(size), dim=128, depth=2, num_heads=4, max_frames=512)
