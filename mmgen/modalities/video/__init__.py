"""Films: Video to people, uint8 (T, 3, H, W) to codecs."""

from mmgen.modalities.image.files import load_mask
from mmgen.modalities.video.encoder import VideoEncoder
from mmgen.modalities.video.files import (
    PREVIEW_SUFFIX,
    SUFFIXES,
    load,
    measures,
    save,
    save_many,
    side_by_side,
)
from mmgen.modalities.video.frames import Frames
from mmgen.modalities.video.latents import FrameLatents
from mmgen.modalities.video.value import Video
from mmgen.nn.autoencoder import Autoencoder

__all__ = [
    "CODECS",
    "COLUMNS",
    "IN_FILES",
    "PREVIEW_SUFFIX",
    "SUFFIXES",
    "FrameLatents",
    "Frames",
    "Video",
    "VideoEncoder",
    "codec",
    "encoder",
    "load",
    "measures",
    "load_mask",
    "save",
    "save_many",
    "side_by_side",
]

COLUMNS = ("video", "file_name", "film", "path", "mp4", "gif")
IN_FILES = True

_FPS = 8.0
_SHAPES = {"debug": (4, 16), "small": (8, 32)}


def _frames(size: str) -> Frames:
    num_frames, side = _SHAPES[size]
    return Frames(num_frames, side, fps=_FPS)


def _frame_latents(size: str) -> FrameLatents:
    num_frames, side = _SHAPES[size]
    autoencoder = Autoencoder.debug() if size == "debug" else Autoencoder()
    return FrameLatents(autoencoder, num_frames=num_frames, size=side, fps=_FPS)


CODECS = {"frames": _frames, "frame_latents": _frame_latents}


def codec(size: str) -> Frames:
    """The codec of this size: pixels of 4 frames of 16 x 16, or of 8 of 32 x 32, at 8 frames/s."""
    return _frames(size)


def encoder(size: str, labels: tuple[str, ...] = ()) -> VideoEncoder:
    """The video encoder of this size, for the films of the codec of this size."""
    if size == "debug":
        return VideoEncoder(4, 16, fps=_FPS, patch=(2, 8), dim=32, depth=1, num_heads=2)
    return VideoEncoder(8, 32, fps=_FPS, patch=(2, 8), dim=128, depth=2, num_heads=4)
