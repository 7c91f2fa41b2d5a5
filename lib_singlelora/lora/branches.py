"""The trainable branch beside one frozen module: a LoRA, or one of LyCORIS' algorithms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import TrainingError
from ..settings.training import TrainingSettings
from .active_ranks import ActiveRanks, RankSchedule
from .functional import dora_delta, module_delta


@dataclass(frozen=True)
class LoraShape:
    """The algorithm and size of a LoRA's branches.

    alpha: ΔW is scaled by alpha / rank.
    conv_rank: rank on 3×3 convolutions; 0 for no branches there.
    conv_alpha: alpha on 3×3 convolutions; 0 keeps alpha / rank.
    factor: of LoKr; -1 lets LyCORIS choose.
    dropout, rank_dropout, module_dropout: shares, 0 to 1, while the network trains.
    ranks: how many ranks of the U-Net's branches act at a timestep while the network trains; None
        for all.
    """

    rank: int
    alpha: float
    conv_rank: int = 0
    conv_alpha: float = 0.0
    algorithm: str = "LoRA"
    factor: int = -1
    dropout: float = 0.0
    rank_dropout: float = 0.0
    module_dropout: float = 0.0
    ranks: RankSchedule | None = None

    @property
    def random(self) -> bool:
        """True if steps leave something out at random."""
        return bool(self.dropout or self.rank_dropout or self.module_dropout)

    def of(self, beside: nn.Module) -> tuple[int, float]:
        """(rank, alpha) of the branch beside a module."""
        if not is_3x3(beside):
            return self.rank, self.alpha
        return self.conv_rank, self.conv_alpha or self.alpha * self.conv_rank / self.rank


def shape_of(settings: TrainingSettings) -> LoraShape:
    """The shape that settings ask for; LoCon without a conv_rank uses the rank."""
    conv = settings.conv_rank or (settings.rank if settings.algorithm == "LoCon" else 0)
    ranks = RankSchedule(settings.timestep_rank_min, settings.timestep_rank_power)
    return LoraShape(
        settings.rank,
        settings.alpha,
        conv,
        settings.conv_alpha,
        settings.algorithm,
        settings.lokr_factor,
        settings.dropout,
        settings.rank_dropout,
        settings.module_dropout,
        ranks if settings.timestep_rank else None,
    )


def is_3x3(module: nn.Module) -> bool:
    """True for a convolution over more than one pixel."""
    return isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)


class Branch(nn.Module):
    """A trainable change of one frozen module's output.

    zero_start: the matrix that starts at zero; None where LyCORIS' algorithm has several halves.
    """

    zero_start: nn.Parameter | None = None

    def __init__(self, beside: nn.Module, shape: LoraShape) -> None:
        super().__init__()
        self.rank, self.alpha = shape.of(beside)
        self.rank_dropout = shape.rank_dropout
        self.module_dropout = shape.module_dropout
        self.conv = isinstance(beside, nn.Conv2d)
        self.stride = beside.stride if isinstance(beside, nn.Conv2d) else (1, 1)
        self.padding = beside.padding if isinstance(beside, nn.Conv2d) else (0, 0)

    def is_dropped(self) -> bool:
        """True if this pass leaves the branch out; draws a number with module_dropout."""
        return (
            self.training
            and self.module_dropout > 0
            and float(torch.rand(())) < self.module_dropout
        )

    def add_to(self, output: Tensor, x: Tensor) -> Tensor:
        """The module's output with the branch's added; x: the module's input."""
        total: Tensor = output + self(x)
        return total

    def tensors(self) -> Mapping[str, Tensor]:
        """Name in the file, without the module's stem -> tensor, with gradients."""
        raise NotImplementedError

    def weight_delta(self) -> Tensor:
        """ΔW at strength 1, in the module's shape."""
        raise NotImplementedError

    def delta_square(self) -> Tensor:
        """‖ΔW‖², the squared Frobenius norm at strength 1, a scalar with its gradient."""
        return self.weight_delta().square().sum()

    def scale_delta(self, factor: float) -> None:
        """Multiply ΔW by a factor, in place."""
        raise NotImplementedError


class LoraBranch(Branch):
    """alpha / rank · up(down(x)) beside one Linear or Conv2d.

    active: tells which ranks act in a pass; None for all of them.
    down: (rank, in) or (rank, in, kh, kw); starts uniform in ±1/sqrt(fan_in), kohya's Kaiming with
        a = sqrt 5.
    up: (out, rank) or (out, rank, 1, 1); starts at zero.
    Source: Hu et al. 2021, "LoRA", section 4.1; sd-scripts networks/lora.py, LoRAModule.
    """

    def __init__(self, beside: nn.Module, shape: LoraShape, generator: torch.Generator) -> None:
        super().__init__(beside, shape)
        weight = beside.weight
        assert isinstance(weight, Tensor)
        self.dropout = shape.dropout
        self.active: ActiveRanks | None = None
        ones = (1, 1) if self.conv else ()
        down = torch.rand((self.rank, *weight.shape[1:]), generator=generator) * 2 - 1
        self.down = nn.Parameter((down / math.sqrt(math.prod(weight.shape[1:]))).to(weight.device))
        self.up = nn.Parameter(
            torch.zeros((weight.shape[0], self.rank, *ones), device=weight.device)
        )
        # Past nn.Module, which would register it a second time, under a second name
        object.__setattr__(self, "zero_start", self.up)

    def forward(self, x: Tensor) -> Tensor:
        """The branch's share of the output, in the dtype of x."""
        inner = self._inner(x)
        up = self.up.to(x.dtype)
        return F.conv2d(inner, up) if self.conv else F.linear(inner, up)

    def add_to(self, output: Tensor, x: Tensor) -> Tensor:
        """Multiplied and added in one pass over the output."""
        if self.conv or output.dtype != x.dtype:
            return super().add_to(output, x)
        inner = self._inner(x)
        rows = output.reshape(-1, output.shape[-1]), inner.reshape(-1, inner.shape[-1])
        return torch.addmm(*rows, self.up.to(x.dtype).t()).view(output.shape)

    def _inner(self, x: Tensor) -> Tensor:
        # The small matrix is scaled, not the large output
        down = self.down.to(x.dtype) * (self.alpha / self.rank)
        inner = (
            F.conv2d(x, down, stride=self.stride, padding=self.padding)
            if self.conv
            else F.linear(x, down)
        )
        if self.training and self.dropout:
            inner = F.dropout(inner, self.dropout)
        places = (
            (x.shape[0], self.rank, 1, 1)
            if self.conv
            else (x.shape[0], *[1] * (x.dim() - 2), self.rank)
        )
        if self.training and self.rank_dropout:
            kept = (torch.rand((x.shape[0], self.rank), device=x.device) >= self.rank_dropout).to(
                x.dtype
            )
            inner = inner * kept.view(places) / (1 - self.rank_dropout)
        if (mask := self.rank_mask()) is not None:
            inner = inner * mask.to(x.dtype).view(places)
        return inner

    def rank_mask(self) -> Tensor | None:
        """1 for each rank that acts on each sample of this pass, else 0, (B, rank).

        None where all act.
        """
        return self.active.mask(self.rank) if self.active and self.training else None

    def tensors(self) -> Mapping[str, Tensor]:
        """alpha, down and up."""
        return {
            "alpha": torch.tensor(float(self.alpha)),
            "lora_down.weight": self.down,
            "lora_up.weight": self.up,
        }

    def weight_delta(self) -> Tensor:
        """up · down · alpha / rank."""
        return module_delta(self.tensors(), (self.up.shape[0], *self.down.shape[1:]))

    def delta_square(self) -> Tensor:
        """From rank × rank products, without ΔW: ‖up down‖² = Σ (upᵀ up) ∘ (down downᵀ)."""
        up = self.up.flatten(1)
        down = self.down.flatten(1)
        square = ((up.t() @ up) * (down @ down.t())).sum()
        return square * (self.alpha / self.rank) ** 2

    def scale_delta(self, factor: float) -> None:
        """By its square root in both halves, so that neither outgrows the other."""
        self.down.data.mul_(math.sqrt(factor))
        self.up.data.mul_(math.sqrt(factor))


class LycorisBranch(Branch):
    """LyCORIS' parameters for LoHa, LoKr and DoRA, with ΔW computed as from their file.

    So what is trained is what a host later loads, whatever LyCORIS' version computes (some apply
    alpha twice).
    """

    def __init__(self, beside: nn.Module, shape: LoraShape, generator: torch.Generator) -> None:
        super().__init__(beside, shape)
        weight = beside.weight
        assert isinstance(weight, Tensor)
        self.shape = tuple(weight.shape)
        # LyCORIS draws from the global generator, and prints
        with torch.random.fork_rng(devices=[]), redirect_stdout(StringIO()):
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            module = _lycoris_class(shape.algorithm)(
                "branch",
                _as_pytorchs(beside),
                lora_dim=self.rank,
                alpha=self.alpha,
                factor=shape.factor,
                use_tucker=False,
                weight_decompose=shape.algorithm == "DoRA",
                wd_on_out=False,
            )
        self.inner: Any = module.to(weight.device)
        # In a list: the frozen module is not ours to hold as a child.
        self._beside = [beside] if shape.algorithm == "DoRA" else []

    def forward(self, x: Tensor) -> Tensor:
        """The branch's share of the output, in the dtype of x."""
        delta = self.weight_delta(self.rank_dropout if self.training else 0.0).to(x.dtype)
        return (
            F.conv2d(x, delta, stride=self.stride, padding=self.padding)
            if self.conv
            else F.linear(x, delta)
        )

    def tensors(self) -> Mapping[str, Tensor]:
        """As LyCORIS names them."""
        return {str(name): tensor for name, tensor in self.inner.custom_state_dict().items()}

    def weight_delta(self, dropout: float = 0.0) -> Tensor:
        """ΔW by the formulas that read files.

        dropout: share of ΔW's rows that are left out; the others are not scaled up for it, and
            DoRA's magnitude sees what is left.
        Source: LyCORIS 3.2 to 4.1, loha.py, lokr.py and locon.py, rank_dropout with
            rank_dropout_scale=False.
        """
        parts = dict(self.tensors())
        magnitude = parts.pop("dora_scale", None)
        delta = module_delta(parts, self.shape)
        if dropout:
            kept = (torch.rand(delta.shape[0], device=delta.device) > dropout).to(delta)
            delta = delta * kept.view(-1, *[1] * (delta.dim() - 1))
        if magnitude is None:
            return delta
        weight = self._beside[0].weight
        assert isinstance(weight, Tensor)
        return dora_delta(weight.detach().float(), delta, magnitude)

    def scale_delta(self, factor: float) -> None:
        """In the tensor that ΔW is linear in."""
        for name in ("hada_w1_a", "lokr_w1", "lokr_w1_a"):
            if hasattr(self.inner, name):
                getattr(self.inner, name).data.mul_(factor)
                return
        self.inner.lora_up.weight.data.mul_(factor)


def new_branch(beside: nn.Module, shape: LoraShape, generator: torch.Generator) -> Branch:
    """The branch that a shape asks for.

    Raises: TrainingError, when LyCORIS is missing.
    """
    if shape.algorithm in ("LoRA", "LoCon"):
        return LoraBranch(beside, shape, generator)
    return LycorisBranch(beside, shape, generator)


def _as_pytorchs(beside: nn.Module) -> nn.Module:
    """The module, or PyTorch's Linear on its very weight: LyCORIS asks for the class.

    Forge's Linear derives from nn.Module alone.
    """
    if isinstance(beside, (nn.Linear, nn.Conv2d)):  # of a packed attention's, no parameter
        return beside
    weight = beside._parameters["weight"]
    if weight is None or weight.dim() != 2:
        return beside
    twin = nn.Linear(weight.shape[1], weight.shape[0], device="meta")  # nothing is allocated
    twin.weight = weight
    twin.bias = beside._parameters.get("bias")  # type: ignore[assignment]
    return twin


def _lycoris_class(algorithm: str) -> type[nn.Module]:
    try:
        from lycoris.modules.locon import LoConModule
        from lycoris.modules.loha import LohaModule
        from lycoris.modules.lokr import LokrModule
    except ImportError as error:
        raise TrainingError(
            f"training.algorithm={algorithm}: found no {error.name}, expected lycoris-lora; install"
            " it with pip install lycoris-lora (below 4.1 for torch before 2.4), or choose LoRA"
        ) from error
    classes: dict[str, type[nn.Module]] = {
        "LoHa": LohaModule,
        "LoKr": LokrModule,
        "DoRA": LoConModule,
    }
    return classes[algorithm]
