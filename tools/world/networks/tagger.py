"""The tagger's network, and how it is read back from the file that it was exported to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RATINGS = ("general", "sensitive", "questionable", "explicit")


class ConvBlock(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(c_out)
        self.skip = nn.Conv2d(c_in, c_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


class Tagger(nn.Module):
    """(N, S, S, 3) BGR 0..255 -> (N, tags) probabilities; logits() without the sigmoid."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 5, 2, 2)
        self.body = nn.Sequential(
            ConvBlock(24, 48, 2),
            ConvBlock(48, 96, 2),
            ConvBlock(96, 128, 2),
            ConvBlock(128, 160, 2),
        )
        self.where = nn.Conv2d(160, 24, 1)  # a few channels keep their places: framing and pose
        self.head = nn.Linear(160 * 2 + 24 * 16, count)

    def logits(self, x: Tensor) -> Tensor:
        h = self.body(F.relu(self.stem((x.permute(0, 3, 1, 2) - 127.5) / 64)))
        return self.head(torch.cat([h.mean((2, 3)), h.amax((2, 3)), self.where(h).flatten(1)], 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).sigmoid()


def read_tagger(file: Path, count: int) -> Tagger:
    """The tagger of an exported file, without the ratings; its norms do nothing, for the file has
    them in the convolutions.
    """
    import onnx

    held = {
        one.name: torch.from_numpy(onnx.numpy_helper.to_array(one).copy())
        for one in onnx.load(str(file)).graph.initializer
    }
    tagger = Tagger(count)
    state = tagger.state_dict()
    named = {name: value for name, value in held.items() if name in state}
    for part in ("weight", "bias"):
        named[f"head.{part}"] = named[f"head.{part}"][len(RATINGS) :]
    folded = [value for name, value in held.items() if name not in state]
    with torch.no_grad():
        for number, block in enumerate(tagger.body):
            assert isinstance(block, ConvBlock)
            pairs = ((block.conv1, block.norm1), (block.conv2, block.norm2))
            for index, (conv, norm) in enumerate(pairs):
                weight, bias = folded[4 * number + 2 * index : 4 * number + 2 * index + 2]
                conv.weight.copy_(weight)
                norm.bias.copy_(bias)
                norm.weight.fill_(float((1 + norm.eps) ** 0.5))
    tagger.load_state_dict(named, strict=False)
    return tagger


@torch.no_grad()
def find_norms(tagger: Tagger, batches: Sequence[Tensor]) -> None:
    """Give the norms of `read_tagger` the statistics of these pictures, the output the same."""
    for block in tagger.body:
        assert isinstance(block, ConvBlock)
        for conv, norm in ((block.conv1, block.norm1), (block.conv2, block.norm2)):
            seen: list[Tensor] = []
            watch = conv.register_forward_hook(lambda _, __, out, seen=seen: seen.append(out))
            tagger.eval()
            for batch in batches:
                tagger.logits(batch)
            watch.remove()
            out = torch.cat(seen).transpose(0, 1).flatten(1)
            mean, variance = out.mean(1), out.var(1)
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            shift = norm.bias - norm.running_mean * scale
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.weight.copy_(scale * (variance + norm.eps).sqrt())
            norm.bias.copy_(shift + mean * scale)
