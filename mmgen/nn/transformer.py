"""The transformer that all families share.

Shape letters: B batch, L tokens, M condition tokens, D features, H heads, K features per head,
A axes.

Positions are real coordinates on any number of axes (one for text, two for images, three for video)
and enter by rotation, so nothing in the weights fixes a length or a grid. Time and the condition
vector enter by adaptive normalisation with one map shared by all blocks and a learned offset in
each; condition tokens by cross-attention. What enters, and what each part of a block adds, goes
through dropout, which is off unless training sets it (`TrainSettings.dropout`).

Sources: Attention Is All You Need (Vaswani et al., 2017), arXiv:1706.03762; RoFormer (Su et al.,
2021), arXiv:2104.09864, Eq. 34; Scalable Diffusion Models with Transformers (Peebles & Xie, 2022),
arXiv:2212.09748 (adaLN-zero); PixArt-alpha (Chen et al., 2023), arXiv:2310.00426, Sec. 2.3
(adaLN-single).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmgen.nn.cache import KeyValueCache, Memory

__all__ = ["Transformer", "grid_positions"]


def grid_positions(*sizes: int, device: torch.device | str = "cpu") -> Tensor:
    """Coordinates of a grid's cells in row-major order (L, A)."""
    axes = [torch.arange(n, device=device, dtype=torch.float32) for n in sizes]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)


class Transformer(nn.Module):
    """A stack of pre-normalised blocks: self-attention, cross-attention, gated linear units.

    Args:
        dim: D, a multiple of `num_heads`.
        depth: Number of blocks.
        num_heads: H.
        num_axes: A, axes of the positions.
        mlp_ratio: Hidden width of the feed-forward part over D.
        token_dim: Width of the condition tokens to attend to, or None for no cross-attention.
        modulated: Whether blocks take a modulation vector (B, D).
        causal: Whether a token sees only itself and those before it.
    """

    def __init__(
        self,
        dim: int,
        *,
        depth: int,
        num_heads: int,
        num_axes: int = 1,
        mlp_ratio: float = 8 / 3,
        token_dim: int | None = None,
        modulated: bool = False,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.rotary = Rotary(dim // num_heads, num_axes=num_axes)
        self.dropout = nn.Dropout(0.0)
        hidden = 8 * round(dim * mlp_ratio / 8)
        self.modulation = nn.Linear(dim, 6 * dim) if modulated else None
        self.blocks = nn.ModuleList(
            Block(dim, num_heads, hidden, token_dim=token_dim, modulated=modulated, causal=causal)
            for _ in range(depth)
        )
        if modulated:
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    @classmethod
    def debug(cls, *, causal: bool = False) -> Transformer:
        """A tiny one, D = 32, on two axes, with modulation and condition tokens."""
        return cls(
            32, depth=2, num_heads=2, num_axes=2, token_dim=32, modulated=True, causal=causal
        )

    def forward(
        self,
        x_BLD: Tensor,
        positions_LA: Tensor,
        *,
        mask_BL: Tensor | None = None,
        modulation_BD: Tensor | None = None,
        tokens_BMD: Tensor | None = None,
        tokens_mask_BM: Tensor | None = None,
    ) -> Tensor:
        """Transform a sequence.

        Args:
            x_BLD: Embedded tokens.
            positions_LA: Their coordinates.
            mask_BL: Which of them are there, boolean; None for all.
            modulation_BD: Embedding of time and condition vector.
            tokens_BMD: Condition tokens.
            tokens_mask_BM: Which of those are there, boolean; None for all.

        Returns:
            Features (B, L, D), not normalised.
        """
        rotation = self.rotary(positions_LA)
        shared = self._shared(modulation_BD)
        mask = None if mask_BL is None else mask_BL[:, None, None, :]
        tokens_mask = None if tokens_mask_BM is None else tokens_mask_BM[:, None, None, :]
        x_BLD = self.dropout(x_BLD)
        for block in self.blocks:
            x_BLD = block(x_BLD, rotation, mask, shared, tokens_BMD, tokens_mask)
        return x_BLD

    def extend(
        self,
        x_BLD: Tensor,
        positions_LA: Tensor,
        cache: KeyValueCache,
        *,
        modulation_BD: Tensor | None = None,
        tokens_BMD: Tensor | None = None,
        tokens_mask_BM: Tensor | None = None,
    ) -> Tensor:
        """Transform the next tokens of a sequence whose earlier ones the cache holds.

        Equals `forward` on the whole sequence, at its last places. The condition is the same in
        every call; its tokens are looked at in the first.

        Args:
            x_BLD: Embedded tokens that come next.
            positions_LA: Their coordinates.
            cache: A fresh `KeyValueCache`, or that of the call before. It takes these tokens up.
            modulation_BD: As in `forward`.
            tokens_BMD: As in `forward`.
            tokens_mask_BM: As in `forward`.

        Returns:
            Features (B, L, D) of these tokens, not normalised.

        Raises:
            ValueError: If the transformer is not causal, so that earlier features would change.
        """
        if not self.causal:
            raise ValueError(
                "Only a causal transformer can be extended. Build it with causal=True."
            )
        rotation = self.rotary(positions_LA)
        shared = self._shared(modulation_BD)
        tokens_mask = None if tokens_mask_BM is None else tokens_mask_BM[:, None, None, :]
        x_BLD = self.dropout(x_BLD)
        for i, block in enumerate(self.blocks):
            memories = (cache.own[i], cache.cross[i])
            x_BLD = block(x_BLD, rotation, None, shared, tokens_BMD, tokens_mask, memories)
        return x_BLD

    def _shared(self, modulation_BD: Tensor | None) -> Tensor | None:
        if self.modulation is None:
            return None
        return self.modulation(F.silu(modulation_BD)).unflatten(-1, (6, 1, -1))


class Rotary(nn.Module):
    """Angles of a rotation for coordinates on several axes, the features shared out among them."""

    def __init__(self, head_dim: int, *, num_axes: int, base: float = 100.0) -> None:
        super().__init__()
        pairs = head_dim // (2 * num_axes)
        self.num_axes = num_axes
        self.unrotated = head_dim // 2 - pairs * num_axes
        frequencies = base ** (-torch.arange(pairs, dtype=torch.float32) / pairs)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, positions_LA: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines (L, K / 2)."""
        angles = (positions_LA[:, :, None] * self.frequencies.float()).flatten(1)
        angles = F.pad(angles, (0, self.unrotated))
        return angles.cos(), angles.sin()


def _rotate(x_BHLK: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = (r.to(x_BHLK.dtype) for r in rotation)
    a, b = x_BHLK.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


class Attention(nn.Module):
    """Multi-head attention with normalised queries and keys.

    Source: Scaling Vision Transformers to 22 Billion Parameters (Dehghani et al., 2023), Sec. 2,
    arXiv:2302.05442 (query-key normalisation).
    """

    def __init__(
        self, dim: int, num_heads: int, *, token_dim: int | None = None, causal: bool = False
    ) -> None:
        super().__init__()
        self.num_heads, self.causal, self.cross = num_heads, causal, token_dim is not None
        self.query = nn.Linear(dim, dim, bias=False)
        self.key_value = nn.Linear(token_dim if self.cross else dim, 2 * dim, bias=False)
        self.query_norm = nn.LayerNorm(dim // num_heads, eps=1e-6, bias=False)
        self.key_norm = nn.LayerNorm(dim // num_heads, eps=1e-6, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(
        self,
        x_BLD: Tensor,
        source_BMD: Tensor,
        rotation: tuple[Tensor, Tensor] | None,
        mask: Tensor | None,
        memory: Memory | None = None,
    ) -> Tensor:
        q_BHLK = self.query_norm(self._heads(self.query(x_BLD)))
        if rotation is not None:
            q_BHLK = _rotate(q_BHLK, rotation)
        if memory is None:
            k_BHMK, v_BHMK = self._keys_and_values(source_BMD, rotation)
        else:
            # The condition never changes, so cross-attention reads it once.
            if not (self.cross and memory.length):
                memory.append(*self._keys_and_values(source_BMD, rotation))
            k_BHMK, v_BHMK = memory.read()
        length, total = x_BLD.shape[1], k_BHMK.shape[2]
        from_start = length == total
        if self.causal and (mask is not None or 1 < length < total):
            seen = torch.ones(length, total, dtype=torch.bool, device=x_BLD.device)
            seen = seen.tril(total - length)
            mask = seen if mask is None else mask & seen
        y_BHLK = F.scaled_dot_product_attention(
            q_BHLK,
            k_BHMK,
            v_BHMK,
            attn_mask=mask,
            is_causal=self.causal and mask is None and from_start,
        )
        return self.out(y_BHLK.transpose(1, 2).flatten(2))

    def _heads(self, x_BLD: Tensor) -> Tensor:
        return x_BLD.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def _keys_and_values(
        self, source_BMD: Tensor, rotation: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        both = self.key_value(source_BMD).unflatten(-1, (2, self.num_heads, -1))
        k_BHMK, v_BHMK = both.transpose(1, 3).unbind(2)
        k_BHMK = self.key_norm(k_BHMK)
        return (k_BHMK if rotation is None else _rotate(k_BHMK, rotation)), v_BHMK


class Block(nn.Module):
    """One residual block."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        hidden: int,
        *,
        token_dim: int | None,
        modulated: bool,
        causal: bool,
    ) -> None:
        super().__init__()
        affine = not modulated
        self.norm_self = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=affine, bias=False)
        self.norm_mlp = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=affine, bias=False)
        self.attention = Attention(dim, num_heads, causal=causal)
        self.gate_up = nn.Linear(dim, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)
        self.dropout = nn.Dropout(0.0)
        self.norm_cross = self.cross = None
        if token_dim is not None:
            self.norm_cross = nn.LayerNorm(dim, eps=1e-6, bias=False)
            self.cross = Attention(dim, num_heads, token_dim=token_dim)
            nn.init.zeros_(self.cross.out.weight)
        # Offsets of shift, scale and gate. Gates start open by a little, so that every weight has
        # a gradient from the first step.
        table = torch.zeros(6, 1, dim)
        table[2], table[5] = 0.1, 0.1
        self.table = nn.Parameter(table) if modulated else None

    def forward(
        self,
        x_BLD: Tensor,
        rotation: tuple[Tensor, Tensor],
        mask: Tensor | None,
        shared: Tensor | None,
        tokens_BMD: Tensor | None,
        tokens_mask: Tensor | None,
        memories: tuple[Memory | None, Memory | None] = (None, None),
    ) -> Tensor:
        h = self.norm_self(x_BLD)
        if self.table is not None:
            shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = (shared + self.table).unbind(1)
            h = h * (1 + scale) + shift
        h = self.dropout(self.attention(h, h, rotation, mask, memories[0]))
        x_BLD = x_BLD + (h if self.table is None else gate * h)
        if self.cross is not None:
            h = self.norm_cross(x_BLD)
            h = self.cross(h, tokens_BMD, None, tokens_mask, memories[1])
            x_BLD = x_BLD + self.dropout(h)
        h = self.norm_mlp(x_BLD)
        if self.table is not None:
            h = h * (1 + scale_mlp) + shift_mlp
        gate_BLD, up = self.gate_up(h).chunk(2, dim=-1)
        h = self.dropout(self.down(F.silu(gate_BLD) * up))
        return x_BLD + (h if self.table is None else gate_mlp * h)
