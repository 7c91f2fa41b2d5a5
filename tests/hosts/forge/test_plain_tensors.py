"""Networks that were loaded or patched under `torch.inference_mode` can be trained on, and come
back as the very tensors that they were.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lib_singlelora.hosts.forge.plain_tensors import plain_tensors


def inference_network() -> nn.Module:
    """Two Linears and a buffer whose tensors are inference tensors.

    A change of dtype makes new tensors; a move that changes nothing would leave plain ones.
    """
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    network.register_buffer("positions", torch.arange(4.0))
    with torch.inference_mode():
        network.half()
        network.float()
    assert all(parameter.is_inference() for parameter in network.parameters())
    return network


def test_an_inference_tensor_cannot_be_trained_through_without_it() -> None:
    network = inference_network()
    with pytest.raises(RuntimeError, match="nference tensor"):
        network(torch.zeros(1, 3, requires_grad=True)).sum().backward()


def test_gradients_flow_through_and_nothing_is_copied() -> None:
    network = inference_network()
    places = [parameter.data_ptr() for parameter in network.parameters()]
    with plain_tensors([network]):
        assert not any(tensor.is_inference() for tensor in network.state_dict().values())
        assert [parameter.data_ptr() for parameter in network.parameters()] == places
        x = torch.ones(1, 3, requires_grad=True)
        network(x).sum().backward()
    assert x.grad is not None and bool(x.grad.abs().sum() > 0)


def test_the_very_objects_come_back_after_an_error_too() -> None:
    network = inference_network()
    before = [id(tensor) for tensor in (*network.parameters(), *network.buffers())]
    with pytest.raises(ValueError, match="mine"), plain_tensors([network]):
        raise ValueError("mine")
    assert [id(tensor) for tensor in (*network.parameters(), *network.buffers())] == before


def test_a_tensor_that_two_modules_share_stays_shared() -> None:
    network = inference_network()
    assert isinstance(network, nn.Sequential)
    network.append(nn.Module())
    network[2].weight = network[0].weight  # as an embedding and what wraps it
    with plain_tensors([network]):
        assert network[2].weight is network[0].weight
    assert network[2].weight is network[0].weight


def test_plain_tensors_stay_as_they_are() -> None:
    network = nn.Linear(2, 2)
    weight = network.weight
    with plain_tensors([network]):
        assert network.weight is weight


def test_strides_of_a_view_are_kept() -> None:
    network = nn.Linear(2, 3)
    with torch.inference_mode():
        network.weight = nn.Parameter(torch.arange(6.0).view(2, 3).t(), requires_grad=False)
    with plain_tensors([network]):
        assert network.weight.stride() == (1, 3)
        assert network.weight.tolist() == [[0, 3], [1, 4], [2, 5]]
