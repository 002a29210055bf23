"""Networks that attendc did not build: half of their computation goes, and the rest loads as it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import foreign
import pytest
import torch
from torch import Tensor, nn

from attendc.checkpoint import load_model, read_weights, save_checkpoint
from attendc.compress.pruning.dependencies import find_dependencies
from attendc.compress.pruning.prune import Pruned, PruneOptions, PruneTask, prune_network
from attendc.context import Context
from attendc.errors import CheckpointError
from attendc.metrics import count_macs, count_params
from attendc.models.surgery import is_depthwise
from attendc.types import Architecture, Preprocess, Spec

pytestmark = pytest.mark.slow  # seconds each

SHAPE = (3, 64, 64)
PREPROCESS = Preprocess(64, 64, 3, (0.5,) * 3, (0.5,) * 3)
TASK = PruneTask(torch.zeros(1, *SHAPE), PREPROCESS)
OPTIONS = PruneOptions("macs", "0.6", importance="l2")


def lite0(classes: int = 10) -> nn.Module:
    """Return EfficientNet-Lite0 of efficientnet_lite_pytorch, as examples/efficientnet_lite0.py does."""
    from efficientnet_lite_pytorch import EfficientNet

    torch.manual_seed(0)
    return EfficientNet.from_name("efficientnet-lite0", num_classes=classes).eval()


FACTORIES: dict[str, Callable[[], nn.Module]] = {
    "foreign:resnet18": foreign.resnet18,
    "foreign:mobilenetv3_small": foreign.mobilenetv3_small,
}
Before = tuple[nn.Module, Pruned]


@pytest.fixture(scope="module", params=FACTORIES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def both(name: str) -> Before:
    """Return the network, and what pruning makes of it."""
    net = FACTORIES[name]()
    return net, prune_network(net, TASK, OPTIONS, Context())


def images() -> Tensor:
    return torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))


def outputs(net: nn.Module) -> Tensor:
    with torch.no_grad():
        return net(images())  # type: ignore[no-any-return]


def test_the_budget_is_met_and_the_network_runs(both: Before) -> None:
    net, pruned = both
    assert 0.98 * 0.6 <= count_macs(pruned.model, SHAPE) / count_macs(net, SHAPE) <= 0.6
    assert count_params(pruned.model) < count_params(net)
    assert outputs(pruned.model).shape == (2, 10)
    assert outputs(pruned.model).isfinite().all()


def test_only_the_head_cannot_be_pruned(both: Before) -> None:
    _, pruned = both
    assert list(pruned.refused.values()) == ["its outputs are the network's"]


def test_the_first_convolution_is_guarded(both: Before) -> None:
    net, pruned = both
    first = next(n for n, m in net.named_modules() if isinstance(m, nn.Conv2d))
    assert first not in pruned.surgery.layers


def test_it_is_saved_and_built_again_with_equal_outputs(name: str, both: Before, tmp_path: Path) -> None:
    _, pruned = both
    architecture = Architecture(name, {}, pruned.surgery)
    save_checkpoint(tmp_path / "p.safetensors", pruned.model, Spec(architecture, PREPROCESS, tuple("abcdefghij")))
    weights = read_weights(tmp_path / "p.safetensors")
    assert weights.spec is not None
    with pytest.raises(CheckpointError, match=name):
        load_model(weights, weights.spec.architecture)
    again = load_model(weights, weights.spec.architecture, allow_foreign=True)
    assert torch.equal(outputs(again), outputs(pruned.model))


# Depthwise convolutions


def test_depthwise_convolutions_stay_depthwise() -> None:
    net = foreign.mobilenetv3_small()
    width = {n: m.out_channels for n, m in net.named_modules() if is_depthwise(m)}
    keep = dict.fromkeys(width, 0.5)
    pruned = prune_network(net, TASK, PruneOptions("", "", importance="l2", keep=keep), Context()).model
    assert len(width) > 10
    for name, channels in width.items():
        layer = pruned.get_submodule(name)
        assert (layer.in_channels, layer.groups, layer.out_channels) == (channels // 2,) * 3
    assert outputs(pruned).isfinite().all()


# Squeeze-and-excitation


def test_a_squeeze_and_excitation_scales_the_channels_that_are_left() -> None:
    pruned = prune_network(foreign.mobilenetv3_small(), TASK, OPTIONS, Context()).model
    squeezed = 0
    for block in pruned.modules():
        gate = getattr(block, "se", None)
        if gate is None or not hasattr(gate, "conv_reduce"):
            continue
        assert gate.conv_reduce.in_channels == gate.conv_expand.out_channels == block.conv_dw.out_channels
        assert gate.conv_expand.in_channels == gate.conv_reduce.out_channels
        squeezed += gate.conv_expand.out_channels < gate.conv_expand.weight.numel()
    assert squeezed > 0


def test_in_rounds_it_comes_to_a_plan_that_holds_at_once() -> None:
    """A round may take a squeeze-and-excitation whose layer names the channels of its block."""
    net = foreign.mobilenetv3_small()
    keep = {"blocks.0.0.se": 0.0, "blocks.2.1.se": 0.0}
    options = dataclasses.replace(OPTIONS, amount="0.5", keep=keep, steps=2, guard=())
    pruned = prune_network(net, TASK, options, Context())
    at_once = prune_network(net, TASK, options, Context(), given=pruned.plan)
    assert repr(at_once.model) == repr(pruned.model)
    assert torch.equal(outputs(at_once.model), outputs(pruned.model))


def test_with_residual_blocks_that_go_the_others_keep_their_names() -> None:
    net = foreign.resnet18()
    blocks = [b.name for b in find_dependencies(net, TASK.sample).blocks]
    assert blocks == ["layer1.0", "layer1.1", "layer2.1", "layer3.1", "layer4.1"]
    options = PruneOptions("", "", importance="l2", keep={"layer1.0": 0, "layer3.1": 0})
    pruned = prune_network(net, TASK, options, Context())
    left = [k for k in net.state_dict() if not k.startswith(("layer1.0.", "layer3.1."))]
    assert list(pruned.model.state_dict()) == left


# The network of the example


def test_efficientnet_lite0_of_another_author_is_pruned_too() -> None:
    net = lite0()
    pruned = prune_network(net, TASK, OPTIONS, Context())
    assert 0.98 * 0.6 <= count_macs(pruned.model, SHAPE) / count_macs(net, SHAPE) <= 0.6
    assert outputs(pruned.model).isfinite().all()
