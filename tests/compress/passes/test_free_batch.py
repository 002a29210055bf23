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


def test_what_lies_in_the_batch_is_freed_with_it(seen: Tensor) -> None:
    net = nn.Sequential(Call(lambda x: x.reshape(x.shape[0] * 2, 32)), nn.Linear(32, 2))
    graph = raw(net)
    assert free_batch(graph).notes == ("freed the batch size of 1 reshapes",)
    assert call_nodes(tidy(graph).graph, reshape)[0].args[1] == [-1, 32]
    assert torch.equal(graph(seen), net(seen))


def test_squeezes_and_the_like_become_reshapes(seen: Tensor) -> None:
    net = Call(lambda x: x.squeeze(1).unsqueeze(2).unflatten(1, (4, 2)).flatten(1))
    graph = raw(net)
    free_batch(graph)
    shapes = [n.args[1] for n in call_nodes(tidy(graph).graph)]
    assert shapes == [[-1, 8, 8], [-1, 8, 1, 8], [-1, 4, 2, 1, 8], [-1, 64]]
    assert torch.equal(graph(seen), net(seen))


def test_a_reshape_to_the_same_shape_goes() -> None:
    graph = raw(Call(lambda x: x.reshape(x.shape[0], 1, 8, 8).flatten(1)))
    assert free_batch(graph).notes[1:] == ("dropped 1 reshapes to the same shape",)
    assert len(call_nodes(tidy(graph).graph)) == 1


def test_a_reshape_with_two_free_sizes_keeps_them() -> None:
    graph = raw(Call(lambda x: (x.flatten(1) @ x.flatten(1).T).reshape(1, x.shape[0], x.shape[0]).sum((0, 2))))
    assert free_batch(graph).changed  # the flattens
    kept = [n for n in call_nodes(tidy(graph).graph, reshape) if n.args[1] != [-1, 64]]
    assert len(kept) == 1
    assert kept[0].args[1][0] == 1
    assert all(size.target is sym_size for size in kept[0].args[1][1:])
