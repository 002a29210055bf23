"""Reshapes that infer the batch size."""

from __future__ import annotations

import torch
from nets import Call, raw, small
from torch import Tensor, nn

from attendc.compress.graph import call_nodes, tidy
from attendc.compress.passes.free_batch import free_batch
from attendc.converters.program import inference_module

reshape = torch.ops.aten.reshape.default
sym_size = torch.ops.aten.sym_size.int


def test_the_batch_is_inferred_and_no_longer_read(seen: Tensor) -> None:
    graph = raw(small("silu"))
    assert call_nodes(graph.graph, sym_size)
    assert free_batch(graph).notes == ("freed the batch size of 1 reshapes",)
    assert not call_nodes(tidy(graph).graph, sym_size)
    assert call_nodes(graph.graph, reshape)[0].args[1] == [-1, 4]
    assert torch.equal(graph(seen[:3]), small("silu")(seen[:3]))


def test_a_traced_graph_takes_other_batch_sizes(seen: Tensor) -> None:
    graph = raw(small("silu"))
    free_batch(graph)
    traced = torch.jit.trace(inference_module(tidy(graph)), seen[:2])
    assert torch.allclose(traced(seen), small("silu")(seen), atol=1e-6)


def test_it_takes_channels_last_tensors(seen: Tensor) -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten(1))
    graph = raw(net)
    free_batch(graph)
    tidy(graph).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert torch.allclose(graph(seen.to(memory_format=torch.channels_last)), net(seen), atol=1e-6)


def test_a_reshape_that_moves_images_into_the_batch_keeps_its_sizes() -> None:
    graph = raw(nn.Sequential(Call(lambda x: x.reshape(x.shape[0] * 2, 32)), nn.Linear(32, 2)))
    assert free_batch(graph).notes == ("1 views became reshapes",)
    assert call_nodes(graph.graph, sym_size)
