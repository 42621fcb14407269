"""An image as a condition: patches through a small transformer that is trained with the model.

Sources: An Image is Worth 16x16 Words (Dosovitskiy et al., 2020), Sec. 3.1, arXiv:2010.11929;
convolutions before the transformer: Early Convolutions Help Transformers See Better (Xiao et al.,
2021), Sec. 4, arXiv:2106.14881.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.core.encoder import Encoder
from mmgen.core.errors import SpecError
from mmgen.core.spec import ConditionSpec
from mmgen.modalities.image.files import fit_into_square, load_batch
from mmgen.nn.autoencoder import encoder_layers
from mmgen.nn.embedding import GridEmbedding
from mmgen.nn.transformer import Transformer, grid_positions
from mmgen.nn.value_iteration import ValueIteration

__all__ = ["ImageEncoder", "PatchTransformer"]


class PatchTransformer(nn.Module):
    """8-bit images to one token for each patch.

    Args:
        patch_size: Side of the patches.
        dim: D.
        depth: Number of blocks.
        num_heads: Number of attention heads.
        stem: Channels of residual convolutions that read the patches, each level halving the one
            before; none for a linear map of the pixels.
        look_ahead: Steps of `ValueIteration` over the patches, which are as many frames; for
            pictures of places to go through, 0 for none.

    Raises:
        ValueError: If the levels of the stem shrink more than a patch is wide.
    """

    def __init__(
        self,
        *,
        patch_size: int,
        dim: int,
        depth: int,
        num_heads: int,
        stem: Sequence[int] = (),
        look_ahead: int = 0,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        if stem:
            self.embed = encoder_layers(3, dim, widths=stem, factor=patch_size, blocks=1)
        else:
            self.embed = nn.Linear(3 * patch_size**2, dim)
        self.place = GridEmbedding(dim)
        self.look_ahead = look_ahead
        self.ahead = ValueIteration(dim) if look_ahead else None
        self.transformer = Transformer(dim, depth=depth, num_heads=num_heads, num_axes=2)
        self.norm = nn.LayerNorm(dim, bias=False)

    def forward(self, pixels_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """uint8 (B, 3, H, W), sides multiples of the patch size, to tokens (B, L, D).

        Returns:
            The tokens, and where one gets (B, T, D) in 0, 1, 2, ... steps if it looks ahead.
        """
        p, weight = self.patch_size, self.norm.weight
        x_BCHW = (pixels_BCHW.to(weight.device, torch.float32) / 127.5 - 1).to(weight.dtype)
        sizes = (x_BCHW.shape[2] // p, x_BCHW.shape[3] // p)
        if isinstance(self.embed, nn.Linear):
            patches_BLF = rearrange(x_BCHW, "b c (h p) (w q) -> b (h w) (c p q)", p=p, q=p)
            x_BLD = self.embed(patches_BLF)
        else:
            x_BLD = rearrange(self.embed(x_BCHW), "b d h w -> b (h w) d")
        placed_BLD = x_BLD + self.place(sizes)
        positions = grid_positions(*sizes, device=weight.device)
        found_BLD = self.norm(self.transformer(placed_BLD, positions))
        if self.ahead is None:
            return found_BLD, None
        # What a step is worth is the same everywhere, so it is told by what is seen alone.
        there_BTL = self.ahead(x_BLD.unflatten(1, sizes), self.look_ahead)
        return found_BLD, there_BTL @ placed_BLD


class ImageEncoder(Encoder):
    """Condition tokens, one for each patch of an image. Strokes and masks are images, too.

    If it looks ahead, also frames: where one gets on the image in 0, 1, 2, ... steps.

    Args:
        size: Side S of the square images. One of another size is an error, never scaled.
        patch_size: Side of the patches.
        dim: D of the condition tokens.
        depth: Number of transformer blocks.
        num_heads: Number of attention heads.
        stem: Channels of residual convolutions that read the patches, each level halving the one
            before; none for a linear map of the pixels.
        look_ahead: Steps of `ValueIteration` over the patches, which are as many frames; for
            pictures of places to go through, 0 for none.

    Raises:
        SpecError: If the patches do not fill the image.
        ValueError: If the levels of the stem shrink more than a patch is wide.
    """

    modality = "image"

    def __init__(
        self,
        size: int,
        *,
        patch_size: int = 4,
        dim: int = 128,
        depth: int = 2,
        num_heads: int = 4,
        stem: Sequence[int] = (),
        look_ahead: int = 0,
    ) -> None:
        super().__init__()
        if size % patch_size:
            raise SpecError(
                f"The side of the images is a multiple of the patch size {patch_size}; got {size}. "
                "Use another size for one of them."
            )
        self.size, self.dim = size, dim
        self.patches = PatchTransformer(
            patch_size=patch_size,
            dim=dim,
            depth=depth,
            num_heads=num_heads,
            stem=stem,
            look_ahead=look_ahead,
        )
        self.null = nn.Parameter(torch.randn(dim) / dim**0.5)

    @classmethod
    def debug(cls) -> ImageEncoder:
        """A tiny one, for images of 8 x 8 pixels."""
        return cls(8, dim=32, depth=1, num_heads=2)

    @property
    def spec(self) -> ConditionSpec:
        frame_dim = None if self.patches.ahead is None else self.dim
        return ConditionSpec(token_dim=self.dim, frame_dim=frame_dim)

    def adapt(self, value: Any) -> Any:
        return fit_into_square(value, self.size)

    def prepare(self, values: Sequence[Any]) -> dict[str, Tensor]:
        pixels = torch.zeros(len(values), 3, self.size, self.size, dtype=torch.uint8)
        given = torch.tensor([v is not None for v in values], dtype=torch.bool)
        images = [v for v in values if v is not None]
        if images:
            pixels[given] = load_batch(images, size=self.size)
        return {"pixels": pixels, "given": given}

    def encode(self, tensors: Mapping[str, Tensor]) -> Condition:
        given = tensors["given"].to(self.null.device)[:, None]
        x_BLD, steps_BTD = self.patches(tensors["pixels"])
        first = torch.arange(x_BLD.shape[1], device=x_BLD.device) == 0
        null = torch.where(first[:, None], self.null, torch.zeros_like(x_BLD[0]))
        tokens = torch.where(given[..., None], x_BLD, null)
        frames = None if steps_BTD is None else steps_BTD * given[..., None]
        return Condition(len(tokens), tokens, given | first, frames=frames)
