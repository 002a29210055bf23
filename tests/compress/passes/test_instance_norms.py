"""Instance norms as what they are."""

from __future__ import annotations

import pytest
import torch
from nets import distance, ops, raw
from torch import Tensor, nn

from attendc.compress.graph import call_nodes, tidy
from attendc.compress.passes.instance_norms import spell_out_instance_norms


def normed(**said: bool) -> nn.Sequential:
    """Return an instance norm over 3 channels behind a convolution, its statistics and factors drawn at random."""
    torch.manual_seed(0)
    norm = nn.InstanceNorm2d(3, **said)
    for tensor in norm.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    return nn.Sequential(nn.Conv2d(1, 3, 1), norm, nn.Flatten(1)).eval()


@pytest.mark.parametrize("affine", [False, True])
def test_one_of_the_image_is_a_group_norm_with_a_group_for_each_channel(seen: Tensor, *, affine: bool) -> None:
    net = normed(affine=affine)
    graph = raw(net)
    assert spell_out_instance_norms(graph).notes == ("gave 1 instance norms another spelling",)
    (norm,) = call_nodes(tidy(graph).graph, torch.ops.aten.group_norm.default)
    assert norm.args[1] == 3
    assert distance(graph, net, seen) < 1e-4  # an image of one colour is divided by the square root of eps


@pytest.mark.parametrize("affine", [False, True])
def test_one_with_statistics_of_training_is_a_product_and_a_sum(seen: Tensor, *, affine: bool) -> None:
    net = normed(affine=affine, track_running_stats=True)
    graph = raw(net)
    spell_out_instance_norms(graph)
    assert ops(tidy(graph)) == ["conv2d", "mul", "add", "view"]
    assert distance(graph, net, seen) < 2e-6
