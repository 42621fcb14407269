"""A transformer on patches of a grid: the network of image diffusion.

Source: Scalable Diffusion Models with Transformers (Peebles & Xie, 2022), arXiv:2212.09748;
predicting data from large pixel patches: Back to Basics (Li & He, 2025), arXiv:2511.13720.
"""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn

from mmgen.core.condition import Condition
from mmgen.core.spec import ConditionSpec
from mmgen.nn.embedding import TimeEmbedding
from mmgen.nn.transformer import Transformer, grid_positions

__all__ = ["DiffusionTransformer"]


class DiffusionTransformer(nn.Module):
    """Transforms a noisy image, given time and condition.

    Args:
        channels: C of the image or latent image.
        patch_size: Side of a patch; the image's sides are multiples of it.
        dim: D, width.
        depth: Number of blocks.
        num_heads: Number of attention heads.
        condition: Widths of the condition to attend to and to modulate by.
        mlp_ratio: Hidden width of the feed-forward parts over D.
    """

    def __init__(
        self,
        channels: int,
        *,
        patch_size: int,
        dim: int,
        depth: int,
        num_heads: int,
        condition: ConditionSpec,
        mlp_ratio: float = 8 / 3,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.condition = condition
        width = channels * patch_size**2
        self.embed = nn.Linear(width, dim)
        self.time = TimeEmbedding(dim)
        self.vector = nn.Linear(condition.vector_dim, dim) if condition.vector_dim else None
        self.transformer = Transformer(
            dim,
            depth=depth,
            num_heads=num_heads,
            num_axes=2,
            mlp_ratio=mlp_ratio,
            token_dim=condition.token_dim,
            modulated=True,
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6, bias=False)
        self.out = nn.Linear(dim, width)
        nn.init.zeros_(self.out.bias)

    @classmethod
    def debug(
        cls, *, channels: int = 3, condition: ConditionSpec | None = None
    ) -> DiffusionTransformer:
        """A tiny one."""
        condition = condition or ConditionSpec()
        return cls(channels, patch_size=4, dim=32, depth=2, num_heads=2, condition=condition)

    def forward(self, z_BCHW: Tensor, t_B: Tensor, c: Condition) -> Tensor:
        """Noisy images (B, C, H, W), times (B,) in [0, 1] and their condition to (B, C, H, W)."""
        p = self.patch_size
        rows, columns = z_BCHW.shape[-2] // p, z_BCHW.shape[-1] // p
        x_BLD = self.embed(rearrange(z_BCHW, "b c (h p) (w q) -> b (h w) (c p q)", p=p, q=p))
        modulation_BD = self.time(t_B)
        if self.vector is not None:
            modulation_BD = modulation_BD + self.vector(c.vector)
        x_BLD = self.transformer(
            x_BLD,
            grid_positions(rows, columns, device=x_BLD.device),
            modulation_BD=modulation_BD,
            tokens_BMD=c.tokens,
            tokens_mask_BM=c.mask,
        )
        x_BLD = self.out(self.norm(x_BLD))
        return rearrange(x_BLD, "b (h w) (c p q) -> b c (h p) (w q)", h=rows, p=p, q=p)
