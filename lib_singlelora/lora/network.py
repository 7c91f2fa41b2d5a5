"""A trainable LoRA: branches beside a TrainingModel's frozen modules, attached by hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..errors import TrainingError
from ..naming.blocks import BlockLayout, block_of, is_text, text_encoder_of
from ..naming.keys import canonical_to_kohya
from ..naming.modules import RESIDUAL
from ..ops.frozen_linear import autocast_enabled, uses_onednn
from ..ops.patch import patched
from .active_ranks import ActiveRanks
from .branches import Branch, LoraBranch, LoraShape, new_branch
from .fused import fused_forward, fusible

Value = TypeVar("Value", bool, float)
TEXT_PARTS = (".self_attn.", ".mlp.")
POOLED = "label_emb.0.0"  # where SDXL's pooled text enters the U-Net


def is_target(name: str, with_conv: bool) -> bool:
    """True if kohya puts a branch on the module of this canonical name.

    That is attention and MLP of the text encoder, and the transformers of the U-Net; with_conv also
    its ResBlocks and resamplers, their Linears and 1×1 convolutions included.
    Source: sd-scripts networks/lora.py, UNET_TARGET_REPLACE_MODULE and
        TEXT_ENCODER_TARGET_REPLACE_MODULE.
    """
    if is_text(name):
        return any(part in name for part in TEXT_PARTS)
    if ".transformer_blocks." in name or name.endswith((".proj_in", ".proj_out")):
        return True
    in_blocks = name.startswith(("input_blocks", "middle_block", "output_blocks"))
    return with_conv and in_blocks and name.endswith(RESIDUAL)


class LoraNetwork(nn.Module):
    """All branches of one LoRA.

    targets: (canonical name, module).
    blocks: label -> factor of its learning rate; a block at 0 gets no branches.
    text_encoder: True to train it; with several of them one entry each, or one for all.
    unet: True to train it.
    seed: of the branches' first weights.
    active_ranks: tells the U-Net's branches which ranks act in a pass, where the shape has a
        schedule of them.
    Raises: TrainingError, when nothing is left to train.
    """

    def __init__(
        self,
        targets: Iterable[tuple[str, nn.Module]],
        layout: BlockLayout,
        shape: LoraShape,
        blocks: Mapping[str, float],
        text_encoder: bool | Sequence[bool],
        seed: int,
        unet: bool = True,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.layout = layout
        self.shape = shape
        self.enabled = True
        self.active_ranks = ActiveRanks(shape.ranks) if shape.ranks else None
        self.block_of_target: dict[str, str] = {}
        self.factors: dict[str, float] = {}
        self.branches = nn.ModuleDict()
        with_conv = shape.conv_rank > 0
        texts = _for_each(text_encoder, layout)
        for name, module in targets:
            block = block_of(name, layout)
            wanted = texts[text_encoder_of(name, layout)] if is_text(name) else unet
            if not wanted or not is_target(name, with_conv) or not blocks.get(block, 1.0):
                continue
            # ModuleDict takes no dots in names.
            branch = new_branch(module, shape, generator)
            if isinstance(branch, LoraBranch) and not is_text(name):
                branch.active = self.active_ranks
            self.branches[name.replace(".", "/")] = branch
            self.block_of_target[name] = block
            self.factors[name] = blocks.get(block, 1.0)
        if not self.branches:
            raise TrainingError(
                "nothing is left to train: every block weight and the text encoder's rate are 0; "
                "set training.block_weights or training.text_encoder_lr"
            )

    def items(self) -> Iterator[tuple[str, Branch]]:
        """(canonical name, branch)."""
        for key, branch in self.branches.items():
            assert isinstance(branch, Branch)
            yield key.replace("/", "."), branch

    def blocks_trained(self) -> list[str]:
        """Labels of the blocks that have branches, in the layout's order."""
        present = set(self.block_of_target.values())
        return [label for label in ("BASE", *self.layout.labels) if label in present]

    @contextmanager
    def switched_off(self) -> Iterator[None]:
        """While inside, the model computes without the LoRA."""
        self.enabled = False
        try:
            yield
        finally:
            self.enabled = True

    def at(self, timesteps: Tensor) -> AbstractContextManager[None]:
        """While inside, the U-Net computes on samples at these timesteps, (B,)."""
        return self.active_ranks.at(timesteps) if self.active_ranks else nullcontext()

    def again(self) -> AbstractContextManager[None]:
        """Entered later, the U-Net computes on the samples of now once more."""
        return self.active_ranks.again() if self.active_ranks else nullcontext()

    def block_norms(self) -> dict[str, float]:
        """Block -> mean Frobenius norm of its modules' ΔW."""
        norms: dict[str, list[float]] = {}
        with torch.no_grad():
            for name, branch in self.items():
                norms.setdefault(self.block_of_target[name], []).append(
                    float(branch.weight_delta().norm())
                )
        return {label: sum(norms[label]) / len(norms[label]) for label in self.blocks_trained()}

    @torch.no_grad()
    def limit_norms(self, longest: float) -> int:
        """Scale every ΔW down to a Frobenius norm of at most `longest`; gives how many were longer.

        Source: sd-scripts' scale_weight_norms.
        """
        branches = [branch for _, branch in self.items()]
        # One list, so that a GPU is waited for once
        squares = torch.stack([branch.delta_square() for branch in branches]).clamp(min=0)
        norms = squares.sqrt().tolist()
        for branch, norm in zip(branches, norms, strict=True):
            if norm > longest:
                branch.scale_delta(longest / norm)
        return sum(norm > longest for norm in norms)

    def delta_square(self) -> Tensor:
        """Σ ‖ΔW‖² over all modules, a scalar with its gradient."""
        return torch.stack([branch.delta_square() for _, branch in self.items()]).sum()

    def parameter_groups(
        self,
        unet_lr: float,
        text_encoder_lr: float | Sequence[float],
        one_rate: bool = False,
        up_ratio: float = 1.0,
    ) -> list[dict[str, object]]:
        """One group for each distinct learning rate, for a torch optimizer.

        text_encoder_lr: with several text encoders one rate each, or one for all.
        one_rate: all take the U-Net's, whole.
        up_ratio: the rate of matrices that start at zero, as a multiple of the others'.
        Source: Hayou et al. 2024, "LoRA+: Efficient Low Rank Adaptation of Large Models".
        """
        groups: dict[float, list[nn.Parameter]] = {}
        texts = _for_each(text_encoder_lr, self.layout)
        for name, branch in self.items():
            own = texts[text_encoder_of(name, self.layout)] if is_text(name) else unet_lr
            rate = own * self.factors[name]
            if one_rate:
                rate = unet_lr or next((text for text in texts if text), 0.0)
            for parameter in branch.parameters():
                ratio = up_ratio if parameter is branch.zero_start else 1.0
                groups.setdefault(rate * ratio, []).append(parameter)
        return [
            {"params": parameters, "lr": rate, "base_lr": rate}
            for rate, parameters in groups.items()
        ]

    def kohya_tensors(self) -> dict[str, Tensor]:
        """The tensors under kohya's keys, fp32 on the CPU."""
        tensors = {}
        for name, branch in self.items():
            stem = canonical_to_kohya(name, self.layout)
            for part, tensor in branch.tensors().items():
                tensors[f"{stem}.{part}"] = tensor.detach().float().cpu().contiguous()
        return tensors


def _for_each(value: Value | Sequence[Value], layout: BlockLayout) -> Sequence[Value]:
    """A value for each text encoder of a layout."""
    return value if isinstance(value, Sequence) else (value,) * len(layout.text)


@contextmanager
def attached(
    network: LoraNetwork, targets: Iterable[tuple[str, nn.Module]], cut_text: bool = False
) -> Iterator[None]:
    """Add the branches' outputs to their modules' outputs while inside.

    Every hook and replaced forward is gone after the exit.
    cut_text: the text encoder's gradient comes from the trained blocks only; the others then keep
        nothing for a backward pass.  What a pooled text adds to the time embedding, which all
        blocks read, is cut as soon as one block is.
    """
    modules = dict(targets)
    cut = _cut_inputs(network, modules) if cut_text else []
    handles: list[Any] = []

    def fused_branches() -> Iterator[tuple[nn.Module, str, Callable[[Tensor], Tensor]]]:
        for name, branch in network.items():
            module = modules[name]
            if (
                isinstance(module, nn.Linear)
                and isinstance(branch, LoraBranch)
                and fusible(module, branch)
            ):
                yield module, "forward", _fused(network, module, branch)
            else:
                handles.append(module.register_forward_hook(_adding_hook(network, branch)))

    try:
        with patched(fused_branches()):
            handles.extend(module.register_forward_pre_hook(_detach) for module in cut)
            yield
    finally:
        for handle in handles:
            handle.remove()


def _cut_inputs(network: LoraNetwork, modules: Mapping[str, nn.Module]) -> list[nn.Module]:
    """The modules by which text enters blocks that are not trained."""
    trained = set(network.block_of_target.values())
    layout = network.layout
    cut = [
        module
        for name, module in modules.items()
        if name.endswith((".attn2.to_k", ".attn2.to_v")) and block_of(name, layout) not in trained
    ]
    if cut and POOLED in modules:
        cut.append(modules[POOLED])
    return cut


def _fused(
    network: LoraNetwork, module: nn.Linear, branch: LoraBranch
) -> Callable[[Tensor], Tensor]:
    plain = module.forward
    by_onednn = uses_onednn(module)

    def forward(x: Tensor) -> Tensor:
        # Under autocast or in mixed precision PyTorch's own functions know what to do.
        if not network.enabled or x.dtype != module.weight.dtype or autocast_enabled(x.device.type):
            return plain(x) if not network.enabled else branch.add_to(plain(x), x)
        return fused_forward(module, branch, x, by_onednn)

    return forward


def _adding_hook(
    network: LoraNetwork, branch: Branch
) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if not network.enabled or branch.is_dropped():
            return output
        return branch.add_to(output, inputs[0])

    return add


def _detach(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (inputs[0].detach(), *inputs[1:])
