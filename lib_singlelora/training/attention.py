"""A loss on where the trigger's words are attended to: within the character's mask.

Works on any host's networks: hooks on `to_q` and `to_k` keep what cross-attention computes with,
and the probabilities are computed from it anew, whatever attention the host uses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import TrainingError
from ..host import TrainingModel

SIDE = 16  # of the maps that are compared with the mask: there attention shows things, not texture
SMALLEST = 1e-6  # of a map's maximum, by which it is divided


@dataclass(frozen=True)
class _CrossAttention:
    """The modules of one cross-attention."""

    to_q: nn.Module
    to_k: nn.Module
    heads: int


@dataclass
class Products:
    """What one cross-attention computed in a pass.

    q: (B, N, heads · d), of N places in the picture.
    k: (B, S, heads · d), of S tokens.
    """

    heads: int
    q: Tensor | None = None
    k: Tensor | None = None


class AttentionLoss:
    """The mean squared error between the trigger's attention maps and the character's mask.

    Source: Avrahami et al. 2023, "Break-A-Scene", arXiv 2305.16311, section 3.3 and eq. 2.
    Raises: TrainingError, for a model whose cross-attention cannot be found.
    """

    def __init__(self, model: TrainingModel) -> None:
        self._model = model
        self._attentions = list(_cross_attentions(model))
        if not self._attentions:
            raise TrainingError(
                "training.attention_loss: found no cross-attention in this checkpoint's U-Net,"
                " expected modules with heads, to_q and to_k; set it to 0"
            )

    @contextmanager
    def recorded(self) -> Iterator[list[Products]]:
        """While inside, a pass fills the list; hooks are gone after the exit.

        Blocks that gradient checkpointing computes again later are not recorded again.
        """
        products = []
        handles = []
        try:
            for attention in self._attentions:
                made = Products(attention.heads)
                products.append(made)
                handles += [
                    attention.to_q.register_forward_hook(_keeping(made, "q")),
                    attention.to_k.register_forward_hook(_keeping(made, "k")),
                ]
            yield products
        finally:
            for handle in handles:
                handle.remove()

    def losses(
        self,
        products: Sequence[Products],
        captions: Sequence[str],
        triggers: Sequence[str],
        masks: Tensor,
    ) -> Tensor:
        """The loss of each row, (B,), fp32; 0 where there is no trigger.

        captions: B of them, as they were encoded.
        triggers: B of them, "" for none.
        masks: (B, 1, h, w), where the character is, at the latents' size.
        """
        words = [
            self._model.token_positions(caption, trigger) if trigger else []
            for caption, trigger in zip(captions, triggers, strict=True)
        ]
        rows = [row for row, positions in enumerate(words) if positions]
        losses = torch.zeros(len(captions), device=masks.device)
        if not rows:
            return losses
        height, width = map_size(products, (masks.shape[-2], masks.shape[-1]))
        places = height * width
        chosen = [made for made in products if made.q is not None and made.q.shape[1] == places]
        maps = torch.stack([_map(chosen, row, words[row]) for row in rows])
        maps = maps / maps.amax(dim=1, keepdim=True).clamp(min=SMALLEST)
        wanted = F.interpolate(masks[rows].float(), (height, width), mode="area").flatten(1)
        losses[rows] = (maps - wanted).square().mean(dim=1)
        return losses


def map_size(products: Sequence[Products], latents: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the attention maps nearest to SIDE, of those that the pass has.

    latents: (h, w).  Each level of a U-Net halves it, rounded up.
    Raises: TrainingError, where no map has the size of a level.
    """
    present = {made.q.shape[1] for made in products if made.q is not None}
    sizes = [latents]
    while max(sizes[-1]) > 1:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    fitting = [size for size in sizes if math.prod(size) in present]
    if not fitting:
        raise TrainingError(
            f"training.attention_loss: found attention maps of {sorted(present)} places for latents"
            f" of {latents[1]}x{latents[0]}, expected the U-Net's sizes; set it to 0, or switch off"
            " what changes the host's attention"
        )
    return min(fitting, key=lambda size: abs(math.log2(math.sqrt(math.prod(size)) / SIDE)))


def _map(products: Sequence[Products], row: int, words: Sequence[int]) -> Tensor:
    """The attention of each place to the words, (N,), fp32: mean over attentions, heads, words.

    Source: softmax(q kᵀ / √d), Vaswani et al. 2017, eq. 1.
    """
    maps = []
    for made in products:
        assert made.q is not None and made.k is not None
        q, k = (x[row].float().unflatten(-1, (made.heads, -1)) for x in (made.q, made.k))
        scores = torch.einsum("nhd,shd->hns", q, k) / math.sqrt(q.shape[-1])
        maps.append(scores.softmax(dim=-1)[..., list(words)].mean(dim=(0, 2)))
    return torch.stack(maps).mean(dim=0)


def _cross_attentions(model: TrainingModel) -> Iterator[_CrossAttention]:
    """Those of the U-Net; how many heads one has, the module that holds it tells."""
    modules = dict(model.targets())
    heads: dict[int, int] = {}
    for block in model.blocks():
        for module in block.modules():
            count = getattr(module, "heads", None)
            if isinstance(count, int) and hasattr(module, "to_q"):
                heads[id(module.to_q)] = count
    for name, to_q in modules.items():
        to_k = modules.get(f"{name[: -len('to_q')]}to_k")
        if name.endswith(".attn2.to_q") and to_k is not None and id(to_q) in heads:
            yield _CrossAttention(to_q, to_k, heads[id(to_q)])


def _keeping(made: Products, name: str) -> Callable[[nn.Module, object, Tensor], None]:
    def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
        setattr(made, name, output)

    return keep
