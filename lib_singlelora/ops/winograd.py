"""Frozen 3 × 3 convolutions in fp32 on a CPU by Winograd's F(4, 3), with a quarter of the
multiplications.

Nothing is prepared and kept: a weight is transformed when it is used, in parts that the processor's
caches hold.  Measured at a full-size step's shapes on two cores: 0.5 of the time.  A sum is off by
a millionth of the output's spread, a plain fp32 sum by a fifth of that. Sources: Lavin & Gray 2016,
"Fast Algorithms for Convolutional Neural Networks"; for points that round well, Alam et al. 2022,
"Winograd Convolution for Deep Neural Networks: Efficient Point Selection".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .frozen_linear import autocasting, frozen

POINTS = (0.0, 0.625, -0.625, 1.6, -1.6)  # and infinity
STEP = 4  # pixels of the output that a tile makes, each way
SIDE = STEP + 2  # pixels of the input that it needs
TILES = SIDE * SIDE
# Of a picture, below which the weight's transformation costs more than it spares; measured
PIXELS = 512
CHANNELS = 128  # of input and output, below which sums are too short; measured
PART = 12_000_000  # numbers of a transformed weight at a time
BAND = 6_000_000  # and of a transformed picture: more would be no faster and keep more memory


def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """Of the input (36, 36), of the weight (36, 9), of the output (16, 36)."""
    points = torch.tensor(POINTS, dtype=torch.float64)

    def powers(count: int) -> Tensor:
        last = torch.zeros(1, count, dtype=torch.float64)
        last[0, -1] = 1
        return torch.cat([torch.stack([points**power for power in range(count)], dim=1), last])

    of_input, of_weight = torch.linalg.inv(powers(SIDE)).t(), powers(3)
    # Both of one size, so that neither's rounding is the larger
    scale = of_input.abs().amax(dim=1, keepdim=True)
    of_output = powers(STEP).t()
    both = (
        torch.kron(one, one).float().contiguous()
        for one in (of_input / scale, of_weight * scale, of_output)
    )
    first, second, third = both
    return first, second, third


_INPUT, _WEIGHT, _OUTPUT = _matrices()


def takes(x: Tensor, weight: Tensor) -> bool:
    """Whether a picture (B, C, H, W) and a frozen 3 × 3 weight gain by it, at stride 1 with a
    border of one zero.
    """
    height, width = x.shape[-2:]
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and weight.shape[2:] == (3, 3)
        and x.dim() == 4
        and min(weight.shape[:2]) >= CHANNELS
        and height * width >= PIXELS
        and height % STEP == 0
        and width % STEP == 0
    )


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x ⋆ weight + bias with a border of one zero.

    x: (B, in, H, W), H and W multiples of 4; weight: (out, in, 3, 3).
    """
    pictures = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).contiguous()
    (batch, height, width), (out, channels) = (x.shape[0], *x.shape[2:]), weight.shape[:2]
    taps = weight.permute(0, 2, 3, 1).reshape(out, 9, channels)
    made = x.new_empty(batch, height // STEP, STEP, width // STEP, STEP, out)
    parts = list(_parts(out, TILES * channels, PART))
    kernel = torch.matmul(_WEIGHT, taps) if len(parts) == 1 else None
    for one, rows in _bands(batch, height, width, channels):
        moved = _INPUT @ _tiles(pictures[one], rows)
        for part in parts:
            own = torch.matmul(_WEIGHT, taps[part]) if kernel is None else kernel
            products = torch.bmm(moved.view(TILES, -1, channels), own.permute(1, 2, 0))
            place = made[one, rows, :, :, :, part]
            place.copy_(
                (_OUTPUT @ products.view(TILES, -1))
                .view(STEP, STEP, *place.shape[::2])
                .permute(2, 0, 3, 1, 4)
            )
    if bias is not None:
        made += bias
    return made.view(batch, height, width, out).permute(0, 3, 1, 2)


def gradient(grad: Tensor, weight: Tensor) -> Tensor:
    """The gradient of `convolve`'s input from that of its output, (B, out, H, W) to (B, in, H, W):
    its steps, transposed.
    """
    (batch, height, width), (out, channels) = (grad.shape[0], *grad.shape[2:]), weight.shape[:2]
    down, across = height // STEP, width // STEP
    taps = weight.permute(0, 2, 3, 1).reshape(out, 9, channels)
    given = grad.permute(0, 2, 3, 1).reshape(batch, down, STEP, across, STEP, out)
    # One tile more each way: a tile's input reaches two pixels beyond its own.
    made = grad.new_zeros(batch, down + 1, STEP, across + 1, STEP, channels)
    parts = list(_parts(channels, TILES * out, PART))
    kernel = torch.matmul(_WEIGHT, taps) if len(parts) == 1 else None
    for one, rows in _bands(batch, height, width, out):
        moved = _OUTPUT.t() @ given[one, rows].permute(1, 3, 0, 2, 4).reshape(STEP * STEP, -1)
        below = slice(rows.start + 1, rows.stop + 1)
        for part in parts:
            own = torch.matmul(_WEIGHT, taps[:, :, part]) if kernel is None else kernel
            products = torch.bmm(moved.view(TILES, -1, out), own.permute(1, 0, 2))
            tiles = (_INPUT.t() @ products.view(TILES, -1)).view(
                SIDE, SIDE, rows.stop - rows.start, across, -1
            )
            tiles = tiles.permute(2, 0, 3, 1, 4)
            place = made[one, :, :, :, :, part]
            place[rows, :, :-1].add_(tiles[:, :STEP, :, :STEP])
            place[below, :2, :-1].add_(tiles[:, STEP:, :, :STEP])
            place[rows, :, 1:, :2].add_(tiles[:, :STEP, :, STEP:])
            place[below, :2, 1:, :2].add_(tiles[:, STEP:, :, STEP:])
    whole = made.view(batch, height + STEP, width + STEP, channels)[
        :, 1 : height + 1, 1 : width + 1
    ]
    return whole.permute(0, 3, 1, 2)


def _tiles(picture: Tensor, rows: slice) -> Tensor:
    """Overlapping squares of a picture (H + 2, W + 2, C), their pixels first: (36, tiles · C)."""
    (_, width, channels), count = picture.shape, rows.stop - rows.start
    own = picture[rows.start * STEP :]
    shape = (SIDE, SIDE, count, (width - 2) // STEP, channels)
    strides = (width * channels, channels, STEP * width * channels, STEP * channels, 1)
    return own.as_strided(shape, strides, own.storage_offset()).reshape(TILES, -1)


def _parts(channels: int, each: int, most: int) -> Iterator[slice]:
    """Channels in as few parts as have no more numbers than `most`; each: numbers of one channel."""
    count = -(-channels * each // most)
    size = -(-channels // count)
    for start in range(0, channels, size):
        yield slice(start, min(channels, start + size))


def _bands(batch: int, height: int, width: int, channels: int) -> Iterator[tuple[int, slice]]:
    """(picture, rows of tiles), in as few bands as have no more than BAND numbers."""
    for one in range(batch):
        for rows in _parts(height // STEP, TILES * (width // STEP) * channels, BAND):
            yield one, rows


@contextmanager
def winograd_convs(modules: Iterable[nn.Module]) -> Iterator[None]:
    """While inside, the modules' frozen 3 × 3 convolutions are computed so, wherever they gain by
    it.

    Works on instances, below what others put into forward or hooks; what does not gain goes on as
    it did.
    """
    changed: list[tuple[nn.Conv2d, Callable[..., Tensor] | None]] = []
    try:
        for module in modules:
            if isinstance(module, nn.Conv2d) and plain(module):
                changed.append((module, vars(module).get("_conv_forward")))
                vars(module)["_conv_forward"] = _forward(module._conv_forward)
        yield
    finally:
        for module, had in changed:
            if had is None:
                del vars(module)["_conv_forward"]
            else:
                vars(module)["_conv_forward"] = had


def plain(module: nn.Conv2d) -> bool:
    """Whether it is what `takes` expects, whatever it is given."""
    return (
        module.kernel_size == (3, 3)
        and module.stride == module.padding == module.dilation == (1, 1)
        and module.groups == 1
        and module.padding_mode == "zeros"
        and not module.weight.requires_grad
    )


def _forward(otherwise: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not takes(x, weight) or weight.requires_grad or autocasting(x.device.type):
            return otherwise(x, weight, bias)
        return frozen(x, weight, bias, convolve, gradient)

    return forward
