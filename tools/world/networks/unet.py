"""SD 1's U-Net under its LDM names.

Source: CompVis/stable-diffusion, ldm/modules/diffusionmodules/openaimodel.py.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .sizes import norm, zero


def timestep_embedding(t: Tensor, dim: int) -> Tensor:
    """Sinusoids, cosines first. Source: ldm/modules/diffusionmodules/util.py."""
    half = dim // 2
    freqs = torch.exp(
        -math.log(10000) * torch.arange(half, device=t.device, dtype=torch.float32) / half
    )
    angles = t[:, None].float() * freqs[None]
    return torch.cat([angles.cos(), angles.sin()], -1)


class ResBlock(nn.Module):
    def __init__(self, c_in: int, c_out: int, emb: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            norm(c_in, 1e-5), nn.SiLU(), nn.Conv2d(c_in, c_out, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb, c_out))
        self.out_layers = nn.Sequential(
            norm(c_out, 1e-5),
            nn.SiLU(),
            nn.Dropout(0.0),
            zero(nn.Conv2d(c_out, c_out, 3, padding=1)),
        )
        self.skip_connection = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor, context: Tensor) -> Tensor:
        h = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class CrossAttention(nn.Module):
    def __init__(self, dim: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, dim, False)
        self.to_k = nn.Linear(context, dim, False)
        self.to_v = nn.Linear(context, dim, False)
        self.to_out = nn.Sequential(nn.Linear(dim, dim), nn.Dropout(0.0))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        context = x if context is None else context
        q, k, v = (
            m(s).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for m, s in ((self.to_q, x), (self.to_k, context), (self.to_v, context))
        )
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class GEGLU(nn.Module):
    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, inner * 2)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.proj(x).chunk(2, -1)
        return x * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(dim, dim * 4), nn.Dropout(0.0), nn.Linear(dim * 4, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class BasicTransformerBlock(nn.Module):
    def __init__(self, dim: int, context: int, heads: int) -> None:
        super().__init__()
        self.attn1 = CrossAttention(dim, dim, heads)
        self.ff = FeedForward(dim)
        self.attn2 = CrossAttention(dim, context, heads)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    def __init__(self, c: int, context: int, heads: int) -> None:
        super().__init__()
        self.norm = norm(c)
        self.proj_in = nn.Conv2d(c, c, 1)
        self.transformer_blocks = nn.ModuleList([BasicTransformerBlock(c, context, heads)])
        self.proj_out = zero(nn.Conv2d(c, c, 1))

    def forward(self, x: Tensor, emb: Tensor, context: Tensor) -> Tensor:
        h = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        h = self.transformer_blocks[0](h, context)
        return x + self.proj_out(h.transpose(1, 2).reshape(x.shape))


class Downsample(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(c, c, 3, stride=2, padding=1)

    def forward(self, x: Tensor, emb: Tensor, context: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x: Tensor, emb: Tensor, context: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Block(nn.Sequential):
    def forward(self, x: Tensor, emb: Tensor, context: Tensor) -> Tensor:
        for layer in self:
            x = layer(x) if isinstance(layer, nn.Conv2d) else layer(x, emb, context)
        return x


class UNet(nn.Module):
    """Predicts the noise.

    12 input blocks, the middle, 12 output blocks; attention where SD 1 has it.
    """

    def __init__(
        self,
        model_channels: int = 64,
        channel_mult: tuple[int, ...] = (1, 1, 2, 2),
        num_res_blocks: int = 2,
        num_heads: int = 4,
        context_dim: int = 64,
    ) -> None:
        super().__init__()
        ch = model_channels
        emb = model_channels * 4
        self.model_channels = ch

        def attention(c: int) -> SpatialTransformer:
            return SpatialTransformer(c, context_dim, num_heads)

        self.time_embed = nn.Sequential(nn.Linear(ch, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.input_blocks = nn.ModuleList([Block(nn.Conv2d(4, ch, 3, padding=1))])
        c = ch
        skips = [ch]
        last = len(channel_mult) - 1
        for level, m in enumerate(channel_mult):
            for _ in range(num_res_blocks):
                layers: list[nn.Module] = [ResBlock(c, ch * m, emb)]
                c = ch * m
                if level < last:
                    layers.append(attention(c))
                self.input_blocks.append(Block(*layers))
                skips.append(c)
            if level < last:
                self.input_blocks.append(Block(Downsample(c)))
                skips.append(c)
        self.middle_block = Block(ResBlock(c, c, emb), attention(c), ResBlock(c, c, emb))
        self.output_blocks = nn.ModuleList()
        for level in reversed(range(len(channel_mult))):
            for i in range(num_res_blocks + 1):
                layers = [ResBlock(c + skips.pop(), ch * channel_mult[level], emb)]
                c = ch * channel_mult[level]
                if level < last:
                    layers.append(attention(c))
                if level and i == num_res_blocks:
                    layers.append(Upsample(c))
                self.output_blocks.append(Block(*layers))
        self.out = nn.Sequential(norm(c, 1e-5), nn.SiLU(), zero(nn.Conv2d(c, 4, 3, padding=1)))

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        """x: (B, 4, H/8, W/8).  t: (B,) in 0..999.  context: (B, 77, D).  Returns noise like x."""
        emb = self.time_embed(timestep_embedding(t, self.model_channels).to(x.dtype))
        skips = []
        for block in self.input_blocks:
            x = block(x, emb, context)
            skips.append(x)
        x = self.middle_block(x, emb, context)
        for block in self.output_blocks:
            x = block(torch.cat([x, skips.pop()], 1), emb, context)
        return self.out(x)
