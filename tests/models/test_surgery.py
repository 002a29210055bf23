"""Layers of other shapes, blocks taken out, and a checkpoint that brings both with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from nets import ARCHITECTURE, SMALL, SMALL_SPEC, SPEC, mixed, tiny
from torch import Tensor, nn

from attendc.checkpoint import load_model, read_weights, save_checkpoint, spec_from_json, spec_to_json
from attendc.errors import CheckpointError
from attendc.models.registry import build
from attendc.models.surgery import is_depthwise, layer_shape, merged, operate
from attendc.types import Surgery

Shape = tuple[int, ...]
Row = tuple[Callable[[], nn.Module], tuple[int, int, int], Shape, Shape]

LAYERS: dict[str, Row] = {
    "conv": (lambda: nn.Conv2d(6, 8, 3, 2, 1), (5, 4, 1), (2, 4, 9, 9), (2, 5, 5, 5)),
    "conv without bias": (lambda: nn.Conv2d(6, 8, 1, bias=False), (5, 4, 1), (2, 4, 3, 3), (2, 5, 3, 3)),
    "grouped": (lambda: nn.Conv2d(6, 8, 3, padding=1, groups=2), (6, 4, 2), (2, 4, 3, 3), (2, 6, 3, 3)),
    "depthwise": (lambda: nn.Conv2d(6, 6, 3, groups=6), (4, 4, 4), (2, 4, 3, 3), (2, 4, 1, 1)),
    "linear": (lambda: nn.Linear(6, 8), (5, 4, 1), (2, 4), (2, 5)),
    "batch norm": (lambda: nn.BatchNorm2d(6, eps=0.5), (4, 4, 1), (2, 4, 3, 3), (2, 4, 3, 3)),
    "batch norm of rows": (lambda: nn.BatchNorm1d(6, affine=False), (4, 4, 1), (2, 4), (2, 4)),
    "layer norm": (lambda: nn.LayerNorm(6, eps=0.5), (4, 4, 1), (2, 3, 4), (2, 3, 4)),
    "group norm": (lambda: nn.GroupNorm(2, 6, eps=0.5), (4, 4, 2), (2, 4, 3, 3), (2, 4, 3, 3)),
    "PReLU": (lambda: nn.PReLU(6), (4, 4, 1), (2, 4, 3, 3), (2, 4, 3, 3)),
}
"""Layer, the shape it is given, the shapes of an input and of the output that it then has."""

SETTINGS = ("kernel_size", "stride", "padding", "dilation", "eps", "momentum", "affine", "training")


def operated(name: str) -> tuple[nn.Module, nn.Module]:
    """Return the layer as it was and as it is after surgery."""
    factory, shape, _, _ = LAYERS[name]
    net = nn.Sequential(factory())
    operate(net, Surgery(layers={"0": shape}))
    return factory(), net[0]


def image(side: int = 16) -> Tensor:
    return torch.randn(2, 1, side, side, generator=torch.Generator().manual_seed(1))


# Every kind of layer


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_takes_and_gives_the_channels_of_its_new_shape(name: str) -> None:
    _, shape, given, expected = LAYERS[name]
    _, layer = operated(name)
    assert layer_shape(layer) == shape
    assert layer(torch.ones(given)).shape == expected


@pytest.mark.parametrize("name", LAYERS)
def test_it_keeps_its_class_its_settings_and_the_names_of_its_state(name: str) -> None:
    before, after = operated(name)
    assert type(after) is type(before)
    assert list(after.state_dict()) == list(before.state_dict())
    assert [n for n, _ in after.named_parameters()] == [n for n, _ in before.named_parameters()]
    assert {s: getattr(after, s, None) for s in SETTINGS} == {s: getattr(before, s, None) for s in SETTINGS}


@pytest.mark.parametrize("name", LAYERS)
def test_it_is_what_its_class_builds_with_these_channels(name: str) -> None:
    build_in: dict[str, Callable[[], nn.Module]] = {
        "conv": lambda: nn.Conv2d(4, 5, 3, 2, 1),
        "conv without bias": lambda: nn.Conv2d(4, 5, 1, bias=False),
        "grouped": lambda: nn.Conv2d(4, 6, 3, padding=1, groups=2),
        "depthwise": lambda: nn.Conv2d(4, 4, 3, groups=4),
        "linear": lambda: nn.Linear(4, 5),
        "batch norm": lambda: nn.BatchNorm2d(4, eps=0.5),
        "batch norm of rows": lambda: nn.BatchNorm1d(4, affine=False),
        "layer norm": lambda: nn.LayerNorm(4, eps=0.5),
        "group norm": lambda: nn.GroupNorm(2, 4, eps=0.5),
        "PReLU": lambda: nn.PReLU(4),
    }
    torch.manual_seed(0)
    twin = build_in[name]()
    _, layer = operated(name)
    layer.load_state_dict(twin.state_dict())  # strict: every name and shape fits
    x = torch.randn(LAYERS[name][2], generator=torch.Generator().manual_seed(2))
    assert torch.equal(layer.eval()(x), twin.eval()(x))
    assert repr(layer) == repr(twin)


def test_what_was_frozen_and_its_precision_stay_so() -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 1).double().requires_grad_(False), nn.BatchNorm2d(4))
    operate(net, Surgery(layers={"0": (3, 2, 1), "1": (3, 3, 1)}))
    assert (net[0].weight.dtype, net[0].weight.requires_grad) == (torch.float64, False)
    assert net[1].weight.requires_grad
    assert not net[1].running_mean.requires_grad


def test_layers_that_are_not_named_stay() -> None:
    net, untouched = mixed(), mixed()
    operate(net, Surgery(layers={"depthwise.0": (2, 2, 2)}))
    changed = {k for k, v in untouched.state_dict().items() if not torch.equal(v, net.state_dict()[k])}
    assert changed == {"depthwise.0.weight", "depthwise.0.bias"}


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(4, 4, 3, groups=4), True),
        (nn.Conv2d(4, 8, 3, groups=4), False),  # two outputs an input
        (nn.Conv2d(4, 4, 3, groups=2), False),
        (nn.Conv2d(1, 1, 3), False),  # one group of one is any convolution
        (nn.Linear(1, 1), False),
    ],
)
def test_depthwise_is_one_input_for_each_of_several_outputs(layer: nn.Module, expected: bool) -> None:
    assert is_depthwise(layer) is expected


def test_an_activation_has_no_shape() -> None:
    with pytest.raises(TypeError, match="SiLU"):
        layer_shape(nn.SiLU())


# Damage


@pytest.mark.parametrize(
    ("surgery", "named"),
    [
        (Surgery(layers={"stem.9": (2, 2, 1)}), r"stem\.9"),  # no such layer
        (Surgery(removed=("gates",)), "gates"),
        (Surgery(removed=("",)), "''"),  # the network itself
        (Surgery(layers={"stem.2": (2, 2, 1)}), r"stem\.2 .*ReLU"),  # has no channels
        (Surgery(layers={"stem": (2, 2, 1)}), "stem .*Sequential"),
        (Surgery(layers={"head": (0, 8, 1)}), r"head .*\(0, 8, 1\)"),
        (Surgery(layers={"head": (10, -8, 1)}), "head"),
        (Surgery(layers={"grouped": (7, 4, 2)}), "grouped"),  # 7 outputs in 2 groups
        (Surgery(layers={"grouped": (8, 3, 2)}), "grouped"),
        (Surgery(layers={"grouped": (8, 4, 0)}), "grouped"),
        (Surgery(layers={"grouped": (10**15, 4, 2)}), "grouped"),  # pruning never makes a layer larger
        (Surgery(layers={"head": (10, 10**15, 1)}), "head"),
        (Surgery(removed=("gate",), layers={"gate.branch": (2, 2, 1)}), r"gate\.branch"),  # which went with its block
    ],
)
def test_a_damaged_surgery_is_refused_by_name(surgery: Surgery, named: str) -> None:
    with pytest.raises(CheckpointError, match=named) as e:
        operate(mixed(), surgery)
    assert "another --model" in (e.value.hint or "")


def test_a_spec_whose_surgery_does_not_fit_builds_nothing() -> None:
    spec = dataclasses.replace(ARCHITECTURE, surgery=Surgery(layers={"stages.9.0": (2, 2, 1)}))
    with pytest.raises(CheckpointError, match=r"stages\.9\.0"):
        build(spec)


# Blocks


def test_a_removed_block_passes_its_input_on_and_the_names_of_the_others_stay() -> None:
    net, whole = tiny().eval(), tiny().eval()
    operate(net, Surgery(removed=("stages.1.1",)))
    x = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    assert net.stages[1][1](x) is x
    left = [k for k in whole.state_dict() if not k.startswith("stages.1.1.")]
    assert list(net.state_dict()) == left
    with torch.no_grad():
        before_it = whole.stages[1][0](whole.stages[0](whole.stem(image())))
        after_it = whole.stages[3](whole.stages[2](before_it))
        assert torch.equal(net(image()), whole.head(whole.flatten(whole.pool(after_it))))


# In a checkpoint

SURGERY = Surgery(("stages.1.1",), {"stages.0.0.attention.1.0": (2, 4, 2), "head": (10, 16, 1)})


def test_a_spec_with_a_surgery_survives_json() -> None:
    spec = dataclasses.replace(SPEC, architecture=dataclasses.replace(ARCHITECTURE, surgery=SURGERY))
    assert spec_from_json(spec_to_json(spec)) == spec


def test_a_spec_from_before_there_was_pruning_has_none() -> None:
    text = spec_to_json(SPEC).replace(', "surgery": {"layers": {}, "removed": []}', "")
    assert "surgery" not in text
    assert spec_from_json(text).architecture.surgery == Surgery()


@pytest.mark.parametrize("shape", ["[2, 2]", "[2, 2, 1, 1]", '["two", 2, 1]', "2"])
def test_a_damaged_surgery_in_json_is_named(shape: str) -> None:
    spec = dataclasses.replace(SPEC, architecture=dataclasses.replace(ARCHITECTURE, surgery=SURGERY))
    damaged = spec_to_json(spec).replace("[2, 4, 2]", shape)
    with pytest.raises(CheckpointError, match=r"architecture\.surgery\.layers"):
        spec_from_json(damaged)


def test_a_pruned_checkpoint_needs_no_code_of_its_own(tmp_path: Path) -> None:
    surgery = Surgery(
        ("stages.2.1",),
        {
            "stages.0.0.attention.1.0": (2, 4, 2),
            "stages.0.0.attention.1.1": (2, 2, 1),
            "stages.0.0.attention.2.0": (4, 2, 2),
        },
    )
    net = tiny(seed=3)
    operate(net, surgery)
    for p in net.parameters():
        nn.init.normal_(p)
    net.eval()
    architecture = dataclasses.replace(ARCHITECTURE, surgery=surgery)
    save_checkpoint(tmp_path / "p.safetensors", net, dataclasses.replace(SPEC, architecture=architecture))
    weights = read_weights(tmp_path / "p.safetensors")
    assert weights.spec is not None
    again = load_model(weights, weights.spec.architecture)
    assert type(again) is type(net)
    with torch.no_grad():
        assert torch.equal(again(image()), net(image()))


def test_weights_of_the_whole_network_do_not_fit_the_pruned_one(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "p.safetensors", tiny(), SPEC)
    architecture = dataclasses.replace(ARCHITECTURE, surgery=Surgery(layers={"head": (10, 14, 1)}))
    with pytest.raises(CheckpointError, match=r"head.weight \(10, 16\) instead of \(10, 14\)"):
        load_model(read_weights(tmp_path / "p.safetensors"), architecture)


def test_a_pruned_network_from_elsewhere_needs_its_factory_to_be_allowed() -> None:
    surgery = Surgery(layers={"1.0": (2, 4, 1), "1.1": (2, 2, 1), "4": (10, 2, 1)})
    architecture = dataclasses.replace(SMALL_SPEC.architecture, args={"middle": "conv_bn_relu"}, surgery=surgery)
    with pytest.raises(CheckpointError, match="nets:small"):
        build(architecture)
    assert build(architecture, allow_foreign=True).eval()(torch.zeros(1, *SMALL.input_shape)).shape == (1, 10)


# One operation after another


def test_merged_does_both() -> None:
    first = Surgery(("a",), {"b.0": (8, 8, 1), "c": (6, 8, 1)})
    second = Surgery(("b",), {"c": (6, 4, 1), "d": (2, 2, 2)})
    assert merged(first, second) == Surgery(("a", "b"), {"c": (6, 4, 1), "d": (2, 2, 2)})


def test_merged_names_a_block_once_and_keeps_what_only_begins_like_it() -> None:
    both = merged(Surgery(("a", "b")), Surgery(("b",), {"b1.0": (2, 2, 1)}))
    assert both == Surgery(("a", "b"), {"b1.0": (2, 2, 1)})


def test_a_block_that_goes_takes_the_blocks_inside_it_along() -> None:
    assert merged(Surgery(("a.gate", "b")), Surgery(("a",), {"a1": (2, 2, 1)})) == Surgery(
        ("b", "a"), {"a1": (2, 2, 1)}
    )


def test_merged_at_once_builds_what_both_in_turn_build() -> None:
    first = Surgery(("stages.1.1",), {"stages.2.1.stack.0.0": (4, 16, 1), "head": (10, 12, 1)})
    second = Surgery(("stages.2.1",), {"head": (10, 8, 1)})
    in_turn, at_once = tiny(), tiny()
    operate(in_turn, first)
    operate(in_turn, second)
    operate(at_once, merged(first, second))
    assert repr(at_once) == repr(in_turn)
