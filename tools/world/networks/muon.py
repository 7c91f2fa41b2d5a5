"""Muon for weights, AdamW for the rest, as one optimizer with one state dict."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def orthogonalise(g: Tensor, steps: int = 5) -> Tensor:
    """Nearest semi-orthogonal matrices, roughly; g: (B, rows, columns).

    Source: Jordan et al. 2024 (Muon), the quintic Newton-Schulz iteration.
    """
    a = 3.4445
    b = -4.7750
    c = 2.0315
    x = g / (g.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    tall = x.size(1) > x.size(2)
    if tall:
        x = x.mT
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """params: named parameters. Those with two or more dimensions, embeddings and depthwise aside,
    are orthogonalised.

    lr: of the orthogonalised part, on AdamW's scale; adam_lr: of the rest.  A step may be recorded
        in a CUDA graph when a group's lr is a tensor.
    """

    def __init__(
        self,
        named: Iterable[tuple[str, nn.Parameter]],
        lr: float = 0.02,
        adam_lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        matrices = []
        others = []
        for name, p in named:
            (
                matrices
                if p.ndim >= 2 and "embedding" not in name and min(p.shape[0], p[0].numel()) >= 16
                else others
            ).append(p)
        defaults = {
            "lr": lr,
            "base_lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "muon": True,
        }
        super().__init__(
            [
                {"params": matrices},
                {"params": others, "lr": adam_lr, "base_lr": adam_lr, "muon": False},
            ],
            defaults,
        )

    def schedule(self, factor: float) -> None:
        """Sets every learning rate to factor × its base."""
        for group in self.param_groups:
            group["lr"] = group["base_lr"] * factor

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            if group["muon"]:
                self._muon(group)
                continue
            for p in group["params"]:
                if p.grad is not None:
                    self._adam(p, group)

    def _muon(self, group: dict) -> None:
        """All matrices of one shape at once: there are some two hundred of sixteen shapes."""
        same: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
        for p in group["params"]:
            if p.grad is None:
                continue
            momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
            momentum.lerp_(p.grad, 1 - group["momentum"])
            g = p.grad.lerp(momentum, group["momentum"]).flatten(1)
            same.setdefault(g.shape, []).append((p, g))
        for shape, members in same.items():
            updates = orthogonalise(torch.stack([g for _, g in members]))
            # An update as large as AdamW's (Liu et al. 2025, Muon is scalable)
            scale = 0.2 * max(shape) ** 0.5
            updates.mul_(group["lr"] * scale)
            for (p, _), update in zip(members, updates, strict=True):
                if group["weight_decay"]:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(update.view(p.shape))

    def _adam(self, p: Tensor, group: dict) -> None:
        state = self.state[p]
        if not state:
            state["m"], state["v"] = torch.zeros_like(p), torch.zeros_like(p)
            # A tensor, so that a recorded step counts too
            state["step"] = torch.zeros((), device=p.device)
        state["step"] += 1
        state["m"].lerp_(p.grad, 0.1)
        state["v"].lerp_(p.grad.square(), 0.01)
        m = state["m"] / (1 - 0.9 ** state["step"])
        v = state["v"] / (1 - 0.99 ** state["step"])
        p.sub_(m / (v.sqrt() + 1e-8) * group["lr"])
