"""Weights in fp16 between uses give the same bits, and the host gets its own weights back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.lora.network import attached
from lib_singlelora.ops.checkpointing import checkpointed
from lib_singlelora.ops.fp16_storage import fp16_storage
from lib_singlelora.ops.frozen_autograd import frozen_autograd
from lib_singlelora.training.epoch_plan import Sample
from tests.training.test_saving import borrowed_networks
from tests.training.test_trainer import settings


def test_half_weights_compute_in_fp32_and_are_the_same_tensors_after() -> None:
    block = nn.Sequential(nn.Linear(4, 4), nn.Conv1d(4, 2, 1)).half().requires_grad_(False)
    before = [parameter.data for parameter in block.parameters()]
    x = torch.randn(3, 4)
    with fp16_storage([block[0]], halves=True):
        found = block[0](x)
        assert found.dtype == torch.float32
    assert torch.equal(found, block[0].float()(x))
    with fp16_storage([block[1]]):
        assert block[1].weight.dtype == torch.float16  # without it they stay as they are
    assert all(a.dtype == torch.float16 for a in before)


def test_whatever_the_weights_were_they_are_again_when_halves_are_unpacked_too() -> None:
    """A block may hold both: Forge and half checkpoints keep norms in fp32."""
    block = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4).half()).requires_grad_(False)
    for parameter in block[0].parameters():
        parameter.data = parameter.data.half().float()
    before = [(parameter.dtype, parameter.data.clone()) for parameter in block.parameters()]
    with fp16_storage([block], halves=True):
        assert {parameter.dtype for parameter in block.parameters()} == {torch.float16}
        assert block(torch.randn(3, 4)).dtype == torch.float32
    after = [(parameter.dtype, parameter.data) for parameter in block.parameters()]
    assert [dtype for dtype, _ in after] == [dtype for dtype, _ in before]
    assert all(torch.equal(one, other) for (_, one), (_, other) in zip(after, before, strict=True))


def weights(blocks: list[nn.Module]) -> list[nn.Parameter]:
    return [parameter for block in blocks for parameter in block.parameters()]


@pytest.fixture(autouse=True)
def fp16_weights(standalone_host: StandaloneHost) -> None:
    """The checkpoint's weights as a file of fp16 has them."""
    for network in (standalone_host.networks.unet, standalone_host.networks.text):
        for parameter in network.parameters():
            parameter.data = parameter.data.half().float()


def test_loss_and_gradients_are_the_same_bits_whether_weights_are_packed_or_not(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    runs: list[list[Tensor]] = []
    with borrowed_networks(standalone_host, tmp_path, settings(text_encoder_lr=1e-4)) as trainer:
        for pack in (False, True, True):
            with ExitStack() as stack:
                stack.enter_context(
                    frozen_autograd(trainer.model.targets(), trainer.model.blocks())
                )
                if pack:
                    stack.enter_context(fp16_storage(trainer.model.blocks()))
                stack.enter_context(checkpointed(trainer.model.blocks()))
                stack.enter_context(attached(trainer.network, trainer.model.targets()))
                loss = trainer.loss([Sample(trainer.pictures[0], 3)])
                loss.backward()
            runs.append(
                [
                    loss.detach(),
                    *(p.grad.clone() for p in trainer.network.parameters() if p.grad is not None),
                ]
            )
            trainer.network.zero_grad()
    assert len(runs[0]) > 100
    for packed_run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], packed_run, strict=True))


class Failing(nn.Module):
    """Runs out of memory after its third weight."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        yield from list(self.block.parameters())[:3]
        raise MemoryError


def test_inside_weights_take_half_and_outside_they_are_what_they_were(
    standalone_host: StandaloneHost,
) -> None:
    with standalone_host.open_for_training() as model:
        blocks = list(model.blocks())
        before = [(p.data.clone(), p.stride(), p.dtype) for p in weights(blocks)]
        odd = weights(blocks)[0]
        odd.data.view(-1)[0] = 1 / 3
        with suppress(MemoryError), fp16_storage([*blocks[:2], Failing(blocks[2])]):
            raise AssertionError("unreachable")
        assert all(p.dtype == torch.float32 for p in weights(blocks)), (
            "an error in the middle loses nothing"
        )
        with suppress(RuntimeError), fp16_storage(blocks):
            assert odd.dtype == torch.float32, "fp16 cannot hold it"
            assert all(p.dtype == torch.float16 for p in weights(blocks) if p is not odd)
            raise RuntimeError
        odd.data.copy_(before[0][0])
        for parameter, (value, stride, dtype) in zip(weights(blocks), before, strict=True):
            assert torch.equal(parameter, value) and (parameter.stride(), parameter.dtype) == (
                stride,
                dtype,
            )
        assert all("forward" not in block.__dict__ for block in blocks)
        assert len({p.untyped_storage().data_ptr() for p in weights(blocks)}) == len(before), (
            "one still lies in shared memory"
        )
