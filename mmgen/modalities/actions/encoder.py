"""What a policy has seen as a condition: named numbers and images, each over a few steps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.errors import LoadError, SpecError, close_names
from mmgen.core.spec import ConditionSpec
from mmgen.core.typed import named_values
from mmgen.modalities.actions.files import as_numbers
from mmgen.modalities.image import load as load_image
from mmgen.modalities.image.encoder import PatchTransformer
from mmgen.modalities.properties.codec import spread

__all__ = ["ObservationEncoder"]

_ASSET = "observation.json"
_MOST = 2**26


class ObservationEncoder(Encoder):
    """Condition tokens: one for each step of numbers, one for each patch of each step of images.

    A value is a dict with every name; a name whose value is None is not given and has a null of its
    own, as when a camera fails. In training each name is also withheld alone. Numbers are
    standardised by statistics of `fit`.

    Args:
        shapes: By name, (history, size) for numbers or (history, H, W, 3) for images, with the
            present step last.
        dim: D of the condition tokens.
        patch_size: Side of the patches of images.
        depth: Number of transformer blocks over the patches of one image.
        num_heads: Number of attention heads.
        angles: By name, which of its numbers are angles in rad, each seen as its sine and cosine,
            so that a full turn is none.
        width: Hidden width between numbers and their token; `dim` if None.

    Raises:
        SpecError: If there is no name, a shape is of neither form, or an angle is not there.
    """

    modality = "actions"
    scales = True

    def __init__(
        self,
        shapes: Mapping[str, Sequence[int]],
        *,
        dim: int = 128,
        patch_size: int = 8,
        depth: int = 2,
        num_heads: int = 4,
        angles: Mapping[str, Sequence[int]] = MappingProxyType({}),
        width: int | None = None,
    ) -> None:
        super().__init__()
        self.shapes = _checked_shapes(shapes, patch_size)
        self.angles = _checked_angles(angles, self.shapes)
        self.dim = dim
        self.parts = nn.ModuleList(
            _Numbers(*shape, dim, angles=self.angles.get(name, ()), width=width or dim)
            if len(shape) == 2
            else _Frames(
                shape[0],
                PatchTransformer(patch_size=patch_size, dim=dim, depth=depth, num_heads=num_heads),
                dim,
            )
            for name, shape in self.shapes.items()
        )
        self.null = nn.Parameter(torch.randn(len(self.shapes), dim) / dim**0.5)

    @classmethod
    def debug(cls) -> ObservationEncoder:
        """A tiny one: two steps of three numbers and of a camera, fitted to nothing in particular.

        Its names are "state" and "camera".
        """
        shapes = {"state": (2, 3), "camera": (2, 8, 8, 3)}
        encoder = cls(shapes, dim=32, patch_size=4, depth=1, num_heads=2)
        encoder.parts[0].mean.zero_()
        encoder.parts[0].std.fill_(1.0)
        return encoder

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.shapes)

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(token_dim=self.dim)

    def fit(self, values: Sequence[Any]) -> None:
        rows = [self._row(v) for v in values if v is not None]
        for part, name in zip(self.parts, self.shapes, strict=True):
            if not isinstance(part, _Numbers):
                continue
            seen = [row[name] for row in rows if row[name] is not None]
            if not seen:
                raise ValueError(f"No example gives {name}, so it has no statistics. Leave it out.")
            x = part.features(torch.cat(seen).double())
            part.mean.copy_(x.mean(0))
            part.std.copy_(spread(x))

    def read(self, text: str) -> dict[str, Any]:
        name = next(iter(self.shapes))
        return named_values(text, what="an observation", example=f'{{"{name}": [[...], ...]}}')

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        rows = [dict.fromkeys(self.shapes) if v is None else self._row(v) for v in values]
        known = torch.tensor([[row[n] is not None for n in self.shapes] for row in rows])
        known = known.reshape(len(rows), len(self.shapes))
        tensors = {}
        for name, shape in self.shapes.items():
            kind = torch.float32 if len(shape) == 2 else torch.uint8
            size = shape if len(shape) == 2 else (shape[0], 3, *shape[1:3])
            empty = torch.zeros(size, dtype=kind)
            own = [empty if row[name] is None else row[name] for row in rows]
            # A prefix keeps any name apart from the two entries below.
            tensors[f"of {name}"] = torch.stack(own) if own else empty.expand(0, *size)
        return {**tensors, "known": known, "given": known.any(1)}

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        device = self.null.device
        known_BK = (tensors["known"] & tensors["given"][:, None]).to(device)
        found, masks = [], []
        for k, (part, name) in enumerate(zip(self.parts, self.shapes, strict=True)):
            if isinstance(part, _Numbers) and part.std.isnan().any():
                raise LoadError(
                    f"ObservationEncoder has no mean and std of {name} yet. Call fit(values) on "
                    "examples, or load saved weights, which hold them."
                )
            x_BLD = part(tensors[f"of {name}"].to(device))
            first = torch.arange(x_BLD.shape[1], device=device) == 0
            null = torch.where(first[:, None], self.null[k], torch.zeros_like(x_BLD[0]))
            known = known_BK[:, k, None]
            found.append(torch.where(known[..., None], x_BLD, null))
            masks.append(known | first)
        tokens = torch.cat(found, dim=1)
        return Condition(len(tokens), tokens, torch.cat(masks, dim=1))

    def drop(
        self, tensors: dict[str, Any], *, rate: float, generator: torch.Generator | None = None
    ) -> dict[str, Any]:
        """Take away everything with probability `rate`, and each name alone with the same."""
        dropped = super().drop(tensors, rate=rate, generator=generator)
        keep = torch.rand(tensors["known"].shape, generator=generator) >= rate
        return {**dropped, "known": tensors["known"] & keep.to(tensors["known"].device)}

    def assets(self) -> dict[str, bytes]:
        # What has no angles is saved as it was before there were any.
        angles = {"angles": self.angles} if self.angles else {}
        return {_ASSET: json.dumps({"shapes": self.shapes, **angles}).encode()}

    def load_assets(self, assets: Mapping[str, bytes]) -> None:
        if _ASSET not in assets:
            raise LoadError(f"The observation encoder needs {_ASSET}, which is missing.")
        try:
            content = json.loads(assets[_ASSET])
            shapes = {name: tuple(shape) for name, shape in content["shapes"].items()}
            angles = {name: tuple(own) for name, own in content.get("angles", {}).items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise LoadError(f"{_ASSET} holds no names and shapes of observations.") from None
        # Order counts: weights belong to names by their place.
        if list(shapes.items()) != list(self.shapes.items()):
            raise LoadError(
                f"The weights are for observations {shapes}; this encoder takes {self.shapes}. "
                "Build it with the names and shapes it was trained on."
            )
        if angles != self.angles:
            raise LoadError(
                f"The weights take {angles or 'no numbers'} as angles; this encoder takes "
                f"{self.angles or 'none'}. Build it with those it was trained on."
            )

    def _row(self, value: Any) -> dict[str, Tensor | None]:
        if not isinstance(value, Mapping):
            raise TypeError(
                f"Expected an observation as a dict with {', '.join(self.shapes)}, got "
                f"{type(value).__name__}."
            )
        for name in value:
            if name not in self.shapes:
                raise ValueError(
                    f"No observation {name!r:.60} is known. {close_names(str(name), self.shapes)}"
                )
        for name in self.shapes:
            if name not in value:
                raise ValueError(
                    f"The observation lacks {name}. Give it, or None for it if it is not there."
                )
        return {
            name: None if value[name] is None else _read(value[name], name, shape)
            for name, shape in self.shapes.items()
        }


class _Numbers(nn.Module):
    """Numbers (B, history, size) to a token for each step."""

    def __init__(
        self, history: int, size: int, dim: int, *, angles: Sequence[int], width: int
    ) -> None:
        super().__init__()
        self.angles = list(angles)
        self.others = [k for k in range(size) if k not in self.angles]
        count = size + len(self.angles)
        self.up = nn.Linear(count, width, bias=False)
        self.down = nn.Linear(width, dim, bias=False)
        # Added before the bend, so that even a sum over tokens tells which step saw what.
        self.when = nn.Parameter(torch.randn(history, width) / width**0.5)
        for name in ("mean", "std"):
            self.register_buffer(name, torch.full((count,), torch.nan))

    def features(self, x: Tensor) -> Tensor:
        """The numbers (..., size), angles as sines and cosines at the end."""
        if not self.angles:
            return x
        turned = x[..., self.angles]
        return torch.cat((x[..., self.others], turned.sin(), turned.cos()), dim=-1)

    def forward(self, x_BTF: Tensor) -> Tensor:
        z_BTF = (self.features(x_BTF) - self.mean) / self.std
        return self.down(F.silu(self.up(z_BTF.to(self.when.dtype)) + self.when))


class _Frames(nn.Module):
    """Images uint8 (B, history, 3, H, W) to a token for each patch of each step."""

    def __init__(self, history: int, patches: PatchTransformer, dim: int) -> None:
        super().__init__()
        self.patches = patches
        self.down = nn.Linear(dim, dim, bias=False)
        self.when = nn.Parameter(torch.randn(history, 1, dim) / dim**0.5)

    def forward(self, pixels_BTCHW: Tensor) -> Tensor:
        x = self.patches(pixels_BTCHW.flatten(0, 1))[0].unflatten(0, pixels_BTCHW.shape[:2])
        return self.down(F.silu(x + self.when)).flatten(1, 2)


def _checked_shapes(
    shapes: Mapping[str, Sequence[int]], patch_size: int
) -> dict[str, tuple[int, ...]]:
    if not isinstance(shapes, Mapping) or not shapes:
        raise SpecError(f"Expected a shape for each name of an observation, got {shapes!r:.60}.")
    for name, shape in shapes.items():
        if not isinstance(name, str) or not name:
            raise SpecError(f"An observation's name is a text that is not empty, got {name!r}.")
        whole = isinstance(shape, (tuple, list)) and all(type(s) is int and s > 0 for s in shape)
        image = whole and len(shape) == 4 and shape[3] == 3
        if not image and not (whole and len(shape) == 2):
            raise SpecError(
                f"The shape of {name} is (history, size), or (history, H, W, 3) for images; got "
                f"{shape!r:.60}."
            )
        if image and (shape[1] % patch_size or shape[2] % patch_size):
            raise SpecError(
                f"The sides of {name} are multiples of the patch size {patch_size}; got "
                f"{shape[1]} x {shape[2]}. Use another patch_size, or resize the images."
            )
        if torch.Size(shape).numel() > _MOST:
            raise SpecError(f"{name} has {shape}, more than {_MOST} numbers an observation.")
    return {name: tuple(shape) for name, shape in shapes.items()}


def _checked_angles(
    angles: Mapping[str, Sequence[int]], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    for name, own in angles.items():
        shape = shapes.get(name, ())
        size = shape[1] if len(shape) == 2 else 0
        if not own or len(set(own)) < len(own) or not all(k in range(size) for k in own):
            raise SpecError(
                f"Angles of {name!r:.60} are places of its {size} numbers, each once; got "
                f"{own!r:.60}."
            )
    return {name: tuple(own) for name, own in angles.items()}


def _read(value: Any, name: str, shape: tuple[int, ...]) -> Tensor:
    if len(shape) == 2:
        x = as_numbers(value, what=name, axes=("history", "size"))
        if x.shape != shape:
            raise ValueError(f"Expected {name} of shape {shape}, got {x.shape}.")
        return torch.from_numpy(x)
    if not isinstance(value, (list, tuple, np.ndarray, Tensor)):
        raise TypeError(
            f"Expected {name} as {shape[0]} images in a row, got {type(value).__name__}."
        )
    # An array of another rank would give as many wrong images, a single image as many lines.
    if isinstance(value, (np.ndarray, Tensor)) and tuple(value.shape) != shape:
        raise ValueError(f"Expected {name} of shape {shape}, got {tuple(value.shape)}.")
    frames = list(value)
    if len(frames) != shape[0]:
        raise ValueError(f"Expected {name} as {shape[0]} images in a row, got {len(frames)}.")
    try:
        images = [load_image(frame) for frame in frames]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    for image in images:
        if image.shape[1:] != shape[1:3]:
            raise ValueError(
                f"Expected {name} of {shape[2]} x {shape[1]} pixels, got {image.shape[2]} x "
                f"{image.shape[1]}."
            )
    return torch.stack(images)
