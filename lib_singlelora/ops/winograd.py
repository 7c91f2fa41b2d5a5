"""Frozen 3 × 3 convolutions in fp32 on a CPU by Winograd's F(4, 3): a quarter of the products.

Nothing is prepared and kept: a weight is transformed when it is used, in parts that the processor's
caches hold.  Measured at a full-size step's shapes on two cores: 0.5 of the time.  A sum is off by
a millionth of the output's spread, a plain fp32 sum by a fifth of that.

Sources: Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks"; for points that
round well, Alam et al. 2022, "Winograd Convolution for Deep Neural Networks: Efficient Point
Selection".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .frozen_linear import apply_frozen, autocast_enabled
from .patch import patched

POINTS = (0.0, 0.625, -0.625, 1.6, -1.6)  # and infinity
OUT_TILE = 4  # side of the square of output pixels that a tile makes
IN_TILE = OUT_TILE + 2  # side of the square of input pixels that it needs
TILE_PIXELS = IN_TILE * IN_TILE
# Of a picture; below it the weight's transformation costs more than it saves; measured
MIN_PIXELS = 512
MIN_CHANNELS = 128  # of input and output; below it sums are too short to gain; measured
MAX_WEIGHT_PART = 12_000_000  # numbers of a transformed weight at a time
# Numbers of a transformed picture at a time: more would be no faster and keep more memory
MAX_PICTURE_PART = 6_000_000


def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """Transformations of the input (36, 36), of the weight (36, 9), of the output (16, 36)."""
    points = torch.tensor(POINTS, dtype=torch.float64)

    def powers(count: int) -> Tensor:
        infinity = torch.zeros(1, count, dtype=torch.float64)
        infinity[0, -1] = 1
        return torch.cat([torch.stack([points**power for power in range(count)], dim=1), infinity])

    of_input = torch.linalg.inv(powers(IN_TILE)).t()
    of_weight = powers(3)
    of_output = powers(OUT_TILE).t()
    # Both of one size, so that neither's rounding is the larger
    scale = of_input.abs().amax(dim=1, keepdim=True)

    def in_two_dimensions(matrix: Tensor) -> Tensor:
        return torch.kron(matrix, matrix).float().contiguous()

    return (
        in_two_dimensions(of_input / scale),
        in_two_dimensions(of_weight * scale),
        in_two_dimensions(of_output),
    )


_INPUT, _WEIGHT, _OUTPUT = _matrices()


def is_faster(x: Tensor, weight: Tensor) -> bool:
    """True if `conv3x3` can compute it and pays off, at stride 1 with a border of one zero.

    x: (B, in, H, W).
    weight: (out, in, 3, 3), frozen.
    """
    height, width = x.shape[-2:]
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and weight.shape[2:] == (3, 3)
        and x.dim() == 4
        and min(weight.shape[:2]) >= MIN_CHANNELS
        and height * width >= MIN_PIXELS
        and height % OUT_TILE == 0
        and width % OUT_TILE == 0
    )


def conv3x3(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x ⋆ weight + bias with a border of one zero.

    x: (B, in, H, W), H and W multiples of 4.
    weight: (out, in, 3, 3).
    bias: (out,).
    Gives (B, out, H, W).
    """
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).contiguous()
    batch, _, height, width = x.shape
    out, channels = weight.shape[:2]
    taps = weight.permute(0, 2, 3, 1).reshape(out, 9, channels)
    output = x.new_empty(batch, height // OUT_TILE, OUT_TILE, width // OUT_TILE, OUT_TILE, out)
    parts = list(_parts(out, TILE_PIXELS * channels, MAX_WEIGHT_PART))
    whole_kernel = torch.matmul(_WEIGHT, taps) if len(parts) == 1 else None
    for picture, rows in _bands(batch, height, width, channels):
        tiles = _INPUT @ _tiles(padded[picture], rows)
        for part in parts:
            kernel = torch.matmul(_WEIGHT, taps[part]) if whole_kernel is None else whole_kernel
            products = torch.bmm(tiles.view(TILE_PIXELS, -1, channels), kernel.permute(1, 2, 0))
            view = output[picture, rows, :, :, :, part]
            view.copy_(
                (_OUTPUT @ products.view(TILE_PIXELS, -1))
                .view(OUT_TILE, OUT_TILE, *view.shape[::2])
                .permute(2, 0, 3, 1, 4)
            )
    if bias is not None:
        output += bias
    return output.view(batch, height, width, out).permute(0, 3, 1, 2)


def conv3x3_input_gradient(grad: Tensor, weight: Tensor) -> Tensor:
    """The gradient of `conv3x3`'s input from that of its output: its steps, transposed.

    grad: (B, out, H, W).
    weight: (out, in, 3, 3).
    Gives (B, in, H, W).
    """
    batch, _, height, width = grad.shape
    out, channels = weight.shape[:2]
    down = height // OUT_TILE
    across = width // OUT_TILE
    taps = weight.permute(0, 2, 3, 1).reshape(out, 9, channels)
    pixels = grad.permute(0, 2, 3, 1).reshape(batch, down, OUT_TILE, across, OUT_TILE, out)
    # One tile more each way: a tile's input reaches two pixels beyond its own.
    padded = grad.new_zeros(batch, down + 1, OUT_TILE, across + 1, OUT_TILE, channels)
    parts = list(_parts(channels, TILE_PIXELS * out, MAX_WEIGHT_PART))
    whole_kernel = torch.matmul(_WEIGHT, taps) if len(parts) == 1 else None
    for picture, rows in _bands(batch, height, width, out):
        moved = pixels[picture, rows].permute(1, 3, 0, 2, 4).reshape(OUT_TILE * OUT_TILE, -1)
        moved = _OUTPUT.t() @ moved
        below = slice(rows.start + 1, rows.stop + 1)
        for part in parts:
            kernel = (
                torch.matmul(_WEIGHT, taps[:, :, part]) if whole_kernel is None else whole_kernel
            )
            products = torch.bmm(moved.view(TILE_PIXELS, -1, out), kernel.permute(1, 0, 2))
            tiles = (_INPUT.t() @ products.view(TILE_PIXELS, -1)).view(
                IN_TILE, IN_TILE, rows.stop - rows.start, across, -1
            )
            tiles = tiles.permute(2, 0, 3, 1, 4)
            view = padded[picture, :, :, :, :, part]
            view[rows, :, :-1].add_(tiles[:, :OUT_TILE, :, :OUT_TILE])
            view[below, :2, :-1].add_(tiles[:, OUT_TILE:, :, :OUT_TILE])
            view[rows, :, 1:, :2].add_(tiles[:, :OUT_TILE, :, OUT_TILE:])
            view[below, :2, 1:, :2].add_(tiles[:, OUT_TILE:, :, OUT_TILE:])
    whole = padded.view(batch, height + OUT_TILE, width + OUT_TILE, channels)
    return whole[:, 1 : height + 1, 1 : width + 1].permute(0, 3, 1, 2)


def _tiles(picture: Tensor, rows: slice) -> Tensor:
    """Overlapping squares of a picture, their pixels first.

    picture: (H + 2, W + 2, C).
    rows: of tiles.
    Gives (36, tiles · C).
    """
    _, width, channels = picture.shape
    count = rows.stop - rows.start
    band = picture[rows.start * OUT_TILE :]
    shape = (IN_TILE, IN_TILE, count, (width - 2) // OUT_TILE, channels)
    strides = (width * channels, channels, OUT_TILE * width * channels, OUT_TILE * channels, 1)
    return band.as_strided(shape, strides, band.storage_offset()).reshape(TILE_PIXELS, -1)


def _parts(count: int, size: int, limit: int) -> Iterator[slice]:
    """Slices of `count` items of `size` numbers each, as few as have at most `limit` numbers."""
    parts = -(-count * size // limit)
    length = -(-count // parts)
    for start in range(0, count, length):
        yield slice(start, min(count, start + length))


def _bands(batch: int, height: int, width: int, channels: int) -> Iterator[tuple[int, slice]]:
    """(picture, rows of tiles), in as few bands as have at most MAX_PICTURE_PART numbers."""
    size = TILE_PIXELS * (width // OUT_TILE) * channels
    for picture in range(batch):
        for rows in _parts(height // OUT_TILE, size, MAX_PICTURE_PART):
            yield picture, rows


def winograd_convs(modules: Iterable[nn.Module]) -> AbstractContextManager[None]:
    """While inside, the modules' frozen 3 × 3 convolutions use Winograd's algorithm where it pays.

    Works on instances, below what others put into forward or hooks; every other convolution goes on
    as it did.
    """
    return patched(
        (module, "_conv_forward", _conv_forward(module._conv_forward))
        for module in modules
        if isinstance(module, nn.Conv2d) and is_frozen_conv3x3(module)
    )


def is_frozen_conv3x3(module: nn.Conv2d) -> bool:
    """True for a frozen 3 × 3 convolution at stride 1 with a border of one zero, without groups."""
    return (
        module.kernel_size == (3, 3)
        and module.stride == module.padding == module.dilation == (1, 1)
        and module.groups == 1
        and module.padding_mode == "zeros"
        and not module.weight.requires_grad
    )


def _conv_forward(plain: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not is_faster(x, weight) or weight.requires_grad or autocast_enabled(x.device.type):
            return plain(x, weight, bias)
        return apply_frozen(x, weight, bias, conv3x3, conv3x3_input_gradient)

    return forward
