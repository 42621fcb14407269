"""Reading the speech of one voice: clips in a zip file, listed in meta.jsonl."""

from __future__ import annotations

import json
import zipfile

from mmgen.core.errors import LoadError
from mmgen.modalities.audio import Audio, load, resample
from mmgen.training.data import data_file

__all__ = ["read_speech"]

MAX_BYTES = 2**26
"""Of a clip."""


def read_speech(name: str, *, sampling_rate: int) -> list[Audio]:
    """The clips of a data set, of one channel, in the order in which they are listed.

    Args:
        name: Data set, such as "ljspeech", with meta.jsonl and <name>_dev.zip.
        sampling_rate: What they are resampled to, in Hz.

    Raises:
        LoadError: If there is no such set, or a clip that is listed cannot be read.
        MissingDependency: If a file needs a library of the extra `audio`.
    """
    lines = data_file(f"{name}/meta.jsonl").read_text("utf-8").splitlines()
    path = data_file(f"{name}/{name}_dev.zip")
    clips = []
    try:
        with zipfile.ZipFile(path) as archive:
            for line in lines:
                entry = archive.getinfo(json.loads(line)["file"])
                if entry.file_size > MAX_BYTES:
                    raise LoadError(f"{entry.filename} in {path.name} is larger than {MAX_BYTES}.")
                clips.append(resample(load(archive.read(entry)).mono(), sampling_rate))
    except (zipfile.BadZipFile, OSError, KeyError, ValueError) as error:
        raise LoadError(f"{path.name} does not hold what meta.jsonl lists: {error}") from None
    return clips
