"""Pictures with LoRAs of their own, drawn at once: the rows of each take weights of their own.

A small network computes many rows in little more time than few.  Merging the LoRAs makes one
network for one picture's; here each module that they change has a weight for each picture.
Eight pictures of the embedded checkpoint, 128 × 128 pixels, with a LoRA each take 0.6 of the time,
at most one of 255 levels apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...host import Conditioning
from .training_model import predicted

# Of a U-Net: what the LoRAs change is held once for each picture that is drawn at once
MOST_PARAMETERS = 20_000_000

Values = MutableMapping[tuple[str, str], Tensor]  # (module, weight or bias) -> as LoRAs make it
Forward = Callable[[Tensor], Tensor]


def holds_many(unet: nn.Module) -> bool:
    """Whether a U-Net is small enough for weights of many pictures."""
    return sum(parameter.numel() for parameter in unet.parameters()) <= MOST_PARAMETERS


def can_differ(module: nn.Module) -> bool:
    """Whether the rows of a pass may have a module's weights of their own."""
    return isinstance(module, nn.Linear) or (
        isinstance(module, nn.Conv2d) and module.padding_mode == "zeros"
    )


class PassByPicture:
    """A U-Net's predictions, each picture's rows with its own weights.

    modules: of the U-Net, by canonical name; each fulfils `can_differ`.
    pictures: what the LoRAs of each make of them; what they leave is the module's own.  These
        are emptied as they are stacked, so that nothing is held twice.
    """

    def __init__(
        self, unet: nn.Module, modules: Mapping[str, nn.Module], pictures: Sequence[Values]
    ) -> None:
        self._unet = unet
        self._owners: list[int] = []
        self._forwards: list[tuple[nn.Module, Forward]] = []
        for name in dict.fromkeys(name for values in pictures for name, _ in values):
            module = modules[name]
            weights, biases = (
                _stacked(getattr(module, kind), [values.get((name, kind)) for values in pictures])
                for kind in ("weight", "bias")
            )
            assert weights is not None  # every module of these kinds has one
            for values in pictures:
                values.pop((name, "weight"), None)
                values.pop((name, "bias"), None)
            self._forwards.append((module, self._forward(module, weights, biases)))

    def __call__(
        self, noisy: Tensor, timestep: Tensor, conditioning: Conditioning, owners: Sequence[int]
    ) -> Tensor:
        """As `predicted`, for the same arguments.  owners: number of each row's picture."""
        self._owners = list(owners)
        with _replaced(self._forwards):
            return predicted(self._unet, noisy, timestep, conditioning)

    def _forward(self, module: nn.Module, weights: Tensor, biases: Tensor | None) -> Forward:
        together = _linear if isinstance(module, nn.Linear) else _convolution

        def forward(rows: Tensor) -> Tensor:
            count = len(rows) // len(weights)
            if self._owners == [n for n in range(len(weights)) for _ in range(count)]:
                return together(module, rows, weights, biases)
            # Prompts of several lengths or with AND: some of the pictures, or some with more rows
            runs = [(owner, len(list(run))) for owner, run in groupby(self._owners)]
            parts = rows.split([length for _, length in runs])
            return torch.cat(
                [
                    together(
                        module,
                        part,
                        weights[owner : owner + 1],
                        None if biases is None else biases[owner : owner + 1],
                    )
                    for part, (owner, _) in zip(parts, runs, strict=True)
                ]
            )

        return forward


def _stacked(own: Tensor | None, values: Sequence[Tensor | None]) -> Tensor | None:
    """(pictures, ...): each picture's value, the module's own where it has none."""
    if own is None:
        return None
    return torch.stack([own.detach() if value is None else value for value in values])


@contextmanager
def _replaced(forwards: Sequence[tuple[nn.Module, Forward]]) -> Iterator[None]:
    """The modules compute so, while inside."""
    before = [(module, module.__dict__.get("forward")) for module, _ in forwards]
    try:
        for module, forward in forwards:
            module.__dict__["forward"] = forward
        yield
    finally:
        for module, own in before:
            module.__dict__.pop("forward", None)
            if own is not None:
                module.__dict__["forward"] = own


def _linear(module: nn.Module, rows: Tensor, weights: Tensor, biases: Tensor | None) -> Tensor:
    """rows: (P·k, ..., I); weights: (P, O, I); biases: (P, O)."""
    by_picture = rows.reshape(len(weights), -1, rows.shape[-1])
    turned = weights.transpose(1, 2)
    output = (
        torch.bmm(by_picture, turned)
        if biases is None
        else torch.baddbmm(biases[:, None], by_picture, turned)
    )
    return output.reshape(*rows.shape[:-1], weights.shape[1])


def _convolution(module: nn.Module, rows: Tensor, weights: Tensor, biases: Tensor | None) -> Tensor:
    """rows: (P·k, I, h, w); weights: (P, O, I / groups, kh, kw); biases: (P, O).

    The pictures are the groups of one convolution, a row of each side by side.
    """
    assert isinstance(module, nn.Conv2d)
    pictures, outputs = weights.shape[:2]
    count = len(rows) // pictures
    side_by_side = rows.unflatten(0, (pictures, count)).transpose(0, 1).flatten(1, 2)
    output = F.conv2d(
        side_by_side,
        weights.flatten(0, 1),
        None if biases is None else biases.flatten(),
        module.stride,
        module.padding,
        module.dilation,
        pictures * module.groups,
    )
    apart: Tensor = output.unflatten(1, (pictures, outputs))
    return apart.transpose(0, 1).flatten(0, 1)
