"""A trainable LoRA: branches beside the frozen modules of a TrainingModel, attached by forward hooks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import TrainingError
from ..naming.blocks import BASE, BlockLayout, block_of, is_text
from ..naming.keys import canonical_to_kohya

TEXT_PARTS = (".self_attn.", ".mlp.")
CONV_PARTS = (".in_layers.2", ".out_layers.3", ".emb_layers.1", ".skip_connection", ".op", ".conv")


@dataclass(frozen=True)
class LoraShape:
    """What is built.  conv_rank 0: no branches on ResBlocks and resamplers.  alpha scales by alpha / rank."""

    rank: int
    alpha: float
    conv_rank: int = 0


def is_target(name: str, residual: bool) -> bool:
    """Whether kohya looks for a branch here: attention and MLP of the text encoder, the transformers of the U-Net,
    with `residual` also its ResBlocks and resamplers.

    Source: sd-scripts networks/lora.py, UNET_TARGET_REPLACE_MODULE and TEXT_ENCODER_TARGET_REPLACE_MODULE.
    """
    if is_text(name):
        return any(part in name for part in TEXT_PARTS)
    if ".transformer_blocks." in name or name.endswith((".proj_in", ".proj_out")):
        return True
    return residual and name.endswith(CONV_PARTS) and name.startswith(("input_blocks", "middle_block", "output_blocks"))


class LoraBranch(nn.Module):
    """alpha / rank · up(down(x)) beside one Linear or Conv2d.

    `down` starts uniform in ±1/sqrt(fan_in) (kohya's Kaiming with a = sqrt 5), `up` at zero.
    """

    def __init__(self, beside: nn.Module, rank: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        weight = beside.weight
        assert isinstance(weight, Tensor)
        self.conv = isinstance(beside, nn.Conv2d)
        self.stride = beside.stride if isinstance(beside, nn.Conv2d) else 1
        self.padding = beside.padding if isinstance(beside, nn.Conv2d) else 0
        self.rank, self.alpha = rank, alpha
        ones = (1, 1) if self.conv else ()
        down = torch.rand((rank, *weight.shape[1:]), generator=generator) * 2 - 1
        self.down = nn.Parameter((down / math.sqrt(math.prod(weight.shape[1:]))).to(weight.device))
        self.up = nn.Parameter(torch.zeros((weight.shape[0], rank, *ones), device=weight.device))

    def forward(self, x: Tensor) -> Tensor:
        """The branch's share of the output, in the dtype of x."""
        down, up, scale = self.down.to(x.dtype), self.up.to(x.dtype), self.alpha / self.rank
        if self.conv:
            return F.conv2d(F.conv2d(x, down, stride=self.stride, padding=self.padding), up) * scale
        return F.linear(F.linear(x, down), up) * scale


class LoraNetwork(nn.Module):
    """All branches of one LoRA.

    blocks: label -> factor of its learning rate; a block at 0 gets no branches.  text_encoder: whether to train it.
    Raises: TrainingError, when nothing is left to train.
    """

    def __init__(self, targets: Iterable[tuple[str, nn.Module]], layout: BlockLayout, shape: LoraShape,
                 blocks: Mapping[str, float], text_encoder: bool, seed: int, unet: bool = True) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.layout = layout
        self.block_of_target: dict[str, str] = {}
        self.factors: dict[str, float] = {}
        self.branches = nn.ModuleDict()
        # As in sd-scripts: with a conv rank or with per-block rates the ResBlocks' Linears and 1x1 convolutions get
        # branches too, their 3x3 convolutions only with a conv rank.
        residual = shape.conv_rank > 0 or any(factor != 1 for label, factor in blocks.items() if label != BASE)
        for name, module in targets:
            block = block_of(name, layout)
            wanted = text_encoder if is_text(name) else unet
            if not wanted or not is_target(name, residual) or not blocks.get(block, 1.0):
                continue
            is_3x3 = isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
            if is_3x3 and not shape.conv_rank:
                continue
            rank = shape.conv_rank if is_3x3 else shape.rank
            # ModuleDict takes no dots in names.
            self.branches[name.replace(".", "/")] = LoraBranch(module, rank, shape.alpha * rank / shape.rank, generator)
            self.block_of_target[name] = block
            self.factors[name] = blocks.get(block, 1.0)
        if not self.branches:
            raise TrainingError("nothing is left to train: every block weight and the text encoder's rate are 0; "
                                "set training.block_weights or training.text_encoder_lr")

    def items(self) -> Iterator[tuple[str, LoraBranch]]:
        """(canonical name, branch)."""
        for key, branch in self.branches.items():
            assert isinstance(branch, LoraBranch)
            yield key.replace("/", "."), branch

    def blocks_trained(self) -> list[str]:
        """Labels of the blocks that have branches, in the layout's order."""
        present = set(self.block_of_target.values())
        return [label for label in ("BASE", *self.layout.labels) if label in present]

    def parameter_groups(self, unet_lr: float, text_encoder_lr: float) -> list[dict[str, object]]:
        """One group for each distinct learning rate, for a torch optimizer."""
        groups: dict[float, list[nn.Parameter]] = {}
        for name, branch in self.items():
            rate = (text_encoder_lr if is_text(name) else unet_lr) * self.factors[name]
            groups.setdefault(rate, []).extend(branch.parameters())
        return [{"params": parameters, "lr": rate, "base_lr": rate} for rate, parameters in groups.items()]

    def kohya_tensors(self) -> dict[str, Tensor]:
        """The tensors under kohya's keys, fp32 on the CPU."""
        tensors = {}
        for name, branch in self.items():
            stem = canonical_to_kohya(name, self.layout)
            tensors[f"{stem}.alpha"] = torch.tensor(float(branch.alpha))
            tensors[f"{stem}.lora_down.weight"] = branch.down.detach().float().cpu().contiguous()
            tensors[f"{stem}.lora_up.weight"] = branch.up.detach().float().cpu().contiguous()
        return tensors


@contextmanager
def attached(network: LoraNetwork, targets: Iterable[tuple[str, nn.Module]]) -> Iterator[None]:
    """Add the branches' outputs to their modules' outputs while inside; every hook is gone after the exit."""
    modules = dict(targets)
    handles = []
    try:
        for name, branch in network.items():
            handles.append(modules[name].register_forward_hook(_adder(branch)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _adder(branch: LoraBranch) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        changed: Tensor = output + branch(inputs[0])
        return changed

    return add
