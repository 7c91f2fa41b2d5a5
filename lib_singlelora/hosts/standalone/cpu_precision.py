"""bf16 on a processor that multiplies it natively (AMX, AVX512-BF16): whether it is quicker there,
which is measured, and the U-Net's weights in it.

Measured at full size on a Xeon with AMX: a step takes 0.7 of the time of a bare pass in fp32, 0.63
of the peer's in fp32 and 0.93 of the peer's in bf16.  At the embedded checkpoint's sizes it takes
twice as long as fp32: what each small product costs besides counts.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...ops.allocator import physical_memory

logger = logging.getLogger(__name__)

# bf16 must win clearly: its steps are coarser, and a busy machine measures badly
MOST_OF_FP32 = 0.85
ROUNDS = 1  # timed, after one that is not
# Of a U-Net for which it is worth measuring: the embedded checkpoint's has 17 million
MIN_PARAMETERS = 100_000_000
BYTES_OF_BOTH = 6  # of a weight in fp32, which waits, and in bf16
MEMORY_SHARE = 0.5  # of the machine's, for both: 11 GB for Stable Diffusion 1, 31 for SDXL


def has_bf16_units() -> bool:
    """True if this processor multiplies bf16 itself, and PyTorch knows."""
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # private, the only ones
    probes: list[Callable[[], bool]] = [
        getattr(torch.cpu, name) for name in names if hasattr(torch.cpu, name)
    ]
    return any(probe() for probe in probes)


def is_quicker_in_bf16(unet: nn.Module) -> bool:
    """True if this processor multiplies bf16 itself and, as measured, clearly sooner than fp32.

    False too where the memory is short for the copy: there, weights that lie in fp16 between uses
    (gradient checkpointing, `ops/fp16_storage.py`) count for more than time.
    """
    size = sum(parameter.numel() for parameter in unet.parameters())
    if size < MIN_PARAMETERS or not has_bf16_units():
        return False
    if size * BYTES_OF_BOTH > MEMORY_SHARE * physical_memory():
        return False
    share = share_of_fp32(unet)
    logger.info("a pass in bf16 takes %.2f of the time of one in fp32 on this processor", share)
    return share <= MOST_OF_FP32


def share_of_fp32(unet: nn.Module) -> float:
    """The time of a pass and back in bf16 through a part of a U-Net, as a share of fp32's.

    The part is its first residual block with attention behind it, at the checkpoint's own size: at
    a smaller one attention, in which bf16 wins least, would count too little.  At full size it
    takes less than a step of the training.
    """
    passes = {dtype: _part(unet, dtype) for dtype in (torch.float32, torch.bfloat16)}
    best = dict.fromkeys(passes, float("inf"))
    for number in range(ROUNDS + 1):
        for dtype, run in passes.items():
            started = time.perf_counter()
            run()
            if number:
                best[dtype] = min(best[dtype], time.perf_counter() - started)
    return best[torch.bfloat16] / best[torch.float32]


def _part(unet: Any, dtype: torch.dtype) -> Callable[[], None]:
    """A pass and back through copies of a U-Net's first residual block and attention."""
    level, block = next(
        (level, block)
        for level, block in enumerate(unet.down_blocks)
        if getattr(block, "attentions", None)
    )
    resnet, attention = copy.deepcopy(block.resnets[0]), copy.deepcopy(block.attentions[0])
    part = nn.ModuleList([resnet, attention]).requires_grad_(False)
    for module in part.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.contiguous(memory_format=torch.channels_last)
    for parameter in _products(part):
        parameter.data = parameter.to(dtype)
    side = unet.config.sample_size >> level
    images = torch.randn(1, resnet.conv1.in_channels, side, side).to(dtype)
    context = torch.randn(1, 77, unet.config.cross_attention_dim).to(dtype)
    times = torch.randn(1, resnet.time_emb_proj.in_features).to(dtype)

    def run() -> None:
        with torch.enable_grad():
            x = images.clone().requires_grad_()
            hidden: Tensor = resnet(x, times)
            [output] = attention(hidden, encoder_hidden_states=context, return_dict=False)
            output.float().square().mean().backward()

    return run


def _products(module: nn.Module) -> Iterator[nn.Parameter]:
    """The weights and biases of what multiplies; norms stay in fp32, and mix."""
    for child in module.modules():
        if isinstance(child, nn.Linear | nn.Conv2d):
            yield from child.parameters(recurse=False)


@contextmanager
def bf16_weights(unet: nn.Module, device: str, dtype: torch.dtype) -> Iterator[None]:
    """Where passes on a CPU are in bf16, the weights that multiply are too while inside.

    Cast anew at each pass they would cost what bf16 wins.  Afterwards the U-Net has the very
    tensors that it had. The copy takes half as much memory again; what a pass keeps is halved.
    """
    if torch.device(device).type != "cpu" or dtype != torch.bfloat16:
        yield
        return
    kept = [(parameter, parameter.data) for parameter in _products(unet)]
    try:
        for parameter, data in kept:
            parameter.data = data.to(dtype)
        yield
    finally:
        for parameter, data in kept:
            parameter.data = data
