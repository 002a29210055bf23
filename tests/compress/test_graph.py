"""Small questions and edits on an exported graph."""

from __future__ import annotations

import pytest
import torch
from nets import SMALL, mixed, raw, small
from torch import fx, nn

from attendc.compress.capture import capture
from attendc.compress.graph import (
    add_constant,
    call_nodes,
    insert_call,
    is_constant,
    module_path,
    replace_node,
    set_constant,
    tidy,
)
from attendc.exported import constant

aten = torch.ops.aten


@pytest.fixture
def gm() -> fx.GraphModule:
    return raw(small("silu"))


def node(gm: fx.GraphModule, name: str) -> fx.Node:
    return next(n for n in gm.graph.nodes if n.name == name)


def test_calls_are_found_by_operator_in_order() -> None:
    graph = capture(mixed(), SMALL).graph
    assert [n.name for n in call_nodes(graph, aten.cat.default, aten.max_pool2d.default)] == ["max_pool2d", "cat"]


def test_a_layer_reads_its_weight_as_a_constant(gm: fx.GraphModule) -> None:
    weight = node(gm, "conv2d").args[1]
    assert is_constant(weight)
    assert not is_constant(node(gm, "conv2d").args[0])
    assert torch.equal(constant(gm, weight), small("silu")[0].weight)


def test_a_parameter_stays_a_parameter_and_a_buffer_a_buffer(gm: fx.GraphModule) -> None:
    weight = node(gm, "conv2d").args[1]
    buffer = add_constant(gm, "two", torch.tensor([2.0]), node(gm, "conv2d"))
    set_constant(gm, weight, torch.zeros(4, 1, 3, 3))
    set_constant(gm, buffer, torch.tensor([3.0]))
    assert isinstance(constant(gm, weight), nn.Parameter)
    assert not isinstance(constant(gm, buffer), nn.Parameter)
    assert (constant(gm, weight).sum().item(), constant(gm, buffer).item()) == (0.0, 3.0)


def test_a_name_that_is_taken_gets_a_number(gm: fx.GraphModule) -> None:
    before = node(gm, "conv2d")
    made = [add_constant(gm, "one", torch.ones(1), before) for _ in range(3)]
    assert [n.target for n in made] == ["one", "one_1", "one_2"]


def test_an_inserted_call_knows_its_shape_and_its_module(gm: fx.GraphModule) -> None:
    silu = node(gm, "silu")
    made = insert_call(gm, silu, aten.relu.default, (silu.args[0],), silu)
    assert tuple(made.meta["val"].shape)[1:] == (4, 8, 8)
    assert module_path(made) == "1 (SiLU)"


def test_a_replaced_node_is_gone_and_its_users_read_the_new_one(gm: fx.GraphModule) -> None:
    silu = node(gm, "silu")
    new = insert_call(gm, silu, aten.relu.default, (silu.args[0],), silu)
    replace_node(gm, silu, new)
    assert not call_nodes(gm.graph, aten.silu.default)
    assert [u.name for u in new.users] == ["adaptive_avg_pool2d"]


def test_tidying_drops_what_nothing_reads(gm: fx.GraphModule) -> None:
    add_constant(gm, "unread", torch.ones(1), node(gm, "conv2d"))
    assert "unread" not in dict(tidy(gm).named_buffers())
    assert "unread" not in [n.name for n in gm.graph.nodes]
