"""Attention and products, spelled out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from nets import Call, distance, ops, raw
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from attendc.compress.graph import call_nodes, tidy
from attendc.compress.passes.attention import spell_out_attention, spell_out_products
from attendc.compress.passes.free_batch import free_batch
from attendc.exported import constant

aten = torch.ops.aten


def attention(**options: Any) -> Call:
    """Return attention of an image's rows with themselves; the values are its columns."""
    return Call(lambda x: scaled_dot_product_attention(x, x, x.transpose(2, 3), **options))


def test_attention_is_two_products_around_a_softmax(seen: Tensor) -> None:
    graph = raw(attention())
    assert spell_out_attention(graph).notes == ("spelled out 1 attentions",)
    assert ops(tidy(graph)) == ["transpose", "permute", "mul", "matmul", "softmax", "matmul"]
    (scale,) = graph.buffers()
    assert scale.item() == pytest.approx(8**-0.5)  # keys of 8 numbers
    assert distance(graph, attention(), seen) < 1e-5


@pytest.mark.parametrize(
    "options",
    [
        {"scale": 0.25},
        {"is_causal": True},
        {"attn_mask": torch.linspace(-2, 2, 64).reshape(8, 8)},
        {"attn_mask": torch.eye(8).bool() | torch.ones(8, 8).tril(-3).bool()},
    ],
)
def test_scale_and_masks_are_kept(options: dict[str, Any], seen: Tensor) -> None:
    graph = raw(attention(**options))
    spell_out_attention(graph)
    assert "scaled_dot_product_attention" not in ops(tidy(graph))
    assert distance(graph, attention(**options), seen) < 1e-5
    assert distance(graph, attention(), seen) > 1e-3


def test_a_causal_mask_is_minus_infinity_above_the_diagonal() -> None:
    graph = raw(attention(is_causal=True))
    spell_out_attention(graph)
    (add,) = call_nodes(tidy(graph).graph, aten.add.Tensor)
    mask = constant(graph, add.all_input_nodes[1])
    assert torch.equal(mask == -torch.inf, torch.ones(1, 1, 8, 8).triu(1).bool())
    assert float(mask.nan_to_num(0, 0, 0).abs().max()) == 0


def test_a_product_with_a_constant_is_a_linear_layer(seen: Tensor) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(8, 3)
    graph = raw(Call(lambda x: x @ matrix))
    assert spell_out_products(graph).notes == ("1 products with constants became linear layers",)
    assert ops(tidy(graph)) == ["linear"]
    assert [p.shape for p in graph.parameters()] == [(3, 8)]  # outputs first
    assert torch.allclose(graph(seen), seen @ matrix, atol=1e-6)


def test_a_product_with_a_constant_on_the_left_stays(seen: Tensor) -> None:
    matrix = torch.ones(3, 8)
    graph = raw(Call(lambda x: matrix @ x))
    assert not spell_out_products(graph).changed


def test_products_of_batches_have_one_name_and_sums_their_factors(seen: Tensor) -> None:
    net = Call(lambda x: torch.baddbmm(x[:, 0], torch.bmm(x[:, 0], x[:, 0]), x[:, 0], beta=0.5, alpha=2))
    graph = raw(net)
    spell_out_products(graph)
    assert [o for o in ops(tidy(graph)) if o not in ("slice", "select")] == ["matmul", "matmul", "mul", "mul", "add"]
    assert distance(graph, net, seen) < 1e-4


def test_the_attention_of_torch_nn_is_spelled_out(seen: Tensor) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(1, 2), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)).eval()
    graph = raw(net)
    free_batch(graph)  # its views are of tensors that this pass transposes
    assert spell_out_attention(graph).changed
    assert ops(tidy(graph)).count("matmul") == 2
    assert distance(graph, net, seen) < 1e-5


def test_attention_to_a_single_position_is_that_position(seen: Tensor) -> None:
    net = Call(lambda x: scaled_dot_product_attention(x[:, :, :1], x[:, :, 1:2], x[:, :, 2:3]))
    graph = raw(net)
    assert spell_out_attention(graph).notes[1] == "dropped 1 attentions to a single position"
    assert "softmax" not in ops(tidy(graph))
    assert distance(graph, net, seen) == 0


def test_two_positions_that_see_a_single_one_keep_the_softmax(seen: Tensor) -> None:
    graph = raw(Call(lambda x: scaled_dot_product_attention(x[:, :, :2], x[:, :, 1:2], x[:, :, 2:3])))
    spell_out_attention(graph)
    assert "softmax" in ops(tidy(graph))
