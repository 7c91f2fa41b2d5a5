"""What may happen to a picture before a tagger sees it, on tensors, so that a GPU can do it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def _blurred(x: Tensor, sigma: float) -> Tensor:
    """x: (B, 3, H, W)."""
    radius = max(1, round(3 * sigma))
    at = torch.arange(-radius, radius + 1, device=x.device, dtype=torch.float32)
    line = torch.exp(-at.square() / (2 * sigma * sigma))
    line = (line / line.sum()).to(x.dtype)
    rows = F.conv2d(
        F.pad(x, (radius, radius, 0, 0), "replicate"),
        line.view(1, 1, 1, -1).expand(3, 1, 1, -1),
        groups=3,
    )
    return F.conv2d(
        F.pad(rows, (0, 0, radius, radius), "replicate"),
        line.view(1, 1, -1, 1).expand(3, 1, -1, 1),
        groups=3,
    )


def spoiled(pixels: Tensor) -> Tensor:
    """Blur, a small shift, brightness and noise, each now and then.

    pixels: (B, H, W, 3), 0 to 255; so is the result.
    """
    count = len(pixels)
    device = pixels.device

    def chance(share: float, *shape: int) -> Tensor:
        return (torch.rand(count, *shape, device=device) < share).float()

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, 1, device=device)

    x = pixels.permute(0, 3, 1, 2)
    soft = torch.where(chance(0.5, 1, 1, 1) > 0, _blurred(x, 0.7), _blurred(x, 1.4))
    x = torch.lerp(x, soft, chance(0.4, 1, 1, 1) * uniform(0.3, 1.0))
    # Four pixels either way
    move = (torch.rand(count, 2, 1, device=device) - 0.5) * (16 / x.shape[-1]) * chance(0.5, 1, 1)
    turn = torch.eye(2, device=device).expand(count, 2, 2)
    grid = F.affine_grid(torch.cat([turn, move], 2), list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, "bilinear", "border", align_corners=False)
    lit = chance(0.4, 1, 1, 1)
    x = x * (1 + lit * (uniform(0.94, 1.05) - 1)) + lit * uniform(-8, 8)
    x = x + chance(0.4, 1, 1, 1) * uniform(2, 14) * torch.randn_like(x)
    return x.clamp(0, 255).permute(0, 2, 3, 1)
