"""The layers by arithmetic against the networks that are built."""

from __future__ import annotations

import dataclasses
import random

import pytest
import torch
from torch import nn

from attendc.metrics import count_macs, count_params
from attendc.models.attendnext import CHOICES, PRESETS, AttendNeXt, AttendNeXtConfig
from attendc.models.layout import Layer, layout, macs_of, params_of
from attendc.models.registry import input_of

PLAIN = AttendNeXtConfig(
    widths=(16, 32, 32, 64), depths=(2, 1, 2, 1), stem_width=16, stem_stride=1, stem_pool=False, gate="sigmoid"
)


def drawn(seed: int) -> tuple[AttendNeXtConfig, tuple[int, int]]:
    """Return a member with every field drawn, and an image that its strides leave something of."""
    rng = random.Random(seed)
    columns = rng.choice((1, 2, 4))

    def four(*choices: int) -> tuple[int, int, int, int]:
        return (rng.choice(choices), rng.choice(choices), rng.choice(choices), rng.choice(choices))

    config = AttendNeXtConfig(
        widths=four(8, 12, 20),
        depths=four(1, 2, 3),
        columns=columns,
        stem_width=rng.choice((4, 12)),
        stem_stride=rng.choice((1, 2, 3, 4)),
        stem_pool=rng.random() < 0.5,
        stage_strides=four(1, 2),
        expansion=rng.choice((1, 2, 3)),
        classes=rng.choice((2, 10)),
        in_channels=rng.choice((1, 3)),
        **{name: rng.choice(choices) for name, choices in CHOICES.items()},
    )
    return config, (rng.randint(128, 150), rng.randint(128, 150))


def built(config: AttendNeXtConfig) -> nn.Module:
    with torch.device("meta"):
        return AttendNeXt(config).eval()


def agree(config: AttendNeXtConfig, height: int, width: int) -> bool:
    layers, model = layout(config, height, width), built(config)
    shape = (config.in_channels, height, width)
    return (params_of(layers), macs_of(layers)) == (count_params(model), count_macs(model, shape))


@pytest.mark.parametrize("preset", PRESETS)
def test_parameters_and_macs_of_a_preset_are_those_of_its_network(preset: str) -> None:
    assert agree(PRESETS[preset], *input_of(preset)[1:])


@pytest.mark.parametrize("seed", range(30))
def test_parameters_and_macs_of_a_drawn_member_are_those_of_its_network(seed: int) -> None:
    config, (height, width) = drawn(seed)
    assert agree(config, height, width), config


def test_the_layers_of_the_stem_and_of_a_stage_come_in_the_order_in_which_they_run() -> None:
    layers = layout(PLAIN, 32, 32)
    assert [(one.kind, one.kernel[0], one.groups) for one in layers if one.part == "stem"] == [
        *(("conv", 3, 1), ("activation", 1, 1), ("conv", 3, 4), ("activation", 1, 1))
    ]
    assert [(one.kind, one.part.removeprefix("stage3.")) for one in layers if one.part.startswith("stage3.")] == [
        *((kind, "0.attention") for kind in ("conv", "activation", "avg_pool", "conv", "activation", "conv", "gate")),
        *((kind, "0.features") for kind in ("avg_pool", "conv")),
        *((kind, "0") for kind in ("mul", "activation")),
        *((kind, "1") for kind in ("conv", "activation", "conv", "activation", "conv", "add", "activation")),
    ]
    assert [(one.kind, one.height, one.width, one.outputs) for one in layers if one.part == "head"] == [
        *(("global_pool", 1, 1, 128), ("linear", 1, 1, 1000))
    ]


def test_strides_stand_where_pools_did() -> None:
    strided = layout(dataclasses.replace(PLAIN, downsample="strided"), 32, 32)
    assert not any(one.kind == "avg_pool" for one in strided)
    skipping = [(one.part, one.kernel, one.groups) for one in strided if one.stride == (2, 2)]
    both = [((3, 3), 4), ((1, 1), 1)]
    branches = [f"stage{n}.0.{branch}" for n in (2, 3, 4) for branch in ("attention", "features")]
    assert skipping == [(part, *how) for part, how in zip(branches, both * 3, strict=True)]


def parts_with(kind: str, layers: tuple[Layer, ...]) -> list[str]:
    return [one.part for one in layers if one.kind == kind]


def test_attention_at_the_entry_of_a_stage_in_every_block_and_in_none() -> None:
    entry, every, none = (
        layout(dataclasses.replace(PLAIN, attention=choice), 32, 32) for choice in ("entry", "every", "none")
    )
    opens = [f"stage{n}.0" for n in (1, 2, 3, 4)]
    assert (parts_with("mul", entry), parts_with("add", entry)) == (opens, ["stage1.1", "stage3.1"])
    assert parts_with("mul", every) == ["stage1.0", "stage1.1", "stage2.0", "stage3.0", "stage3.1", "stage4.0"]
    assert (parts_with("add", every), parts_with("gate", none), parts_with("mul", none)) == ([], [], [])
    assert params_of(none) == params_of(entry)


def test_columns_mix_inside_early_stages_only_where_the_convolutions_are_dense() -> None:
    mixed = layout(dataclasses.replace(PLAIN, mix="block"), 32, 32)
    square = [(one.part, one.groups) for one in mixed if one.kernel == (3, 3)]
    early = {"stage1.0.attention": [4, 1], "stage1.1": [1, 1], "stage2.0.attention": [4, 1], "stage3.1": [4]}
    assert {part: [n for p, n in square if p == part] for part in early} == early


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"columns": 3}, "16 channels of stem_width do not divide into 3 columns"),
        ({"widths": (16, 30, 32, 64)}, "30 channels of widths do not divide into 4 columns"),
        ({"widths": (16, 32, 32)}, r"widths is \(16, 32, 32\), but each of 4 stages"),
        ({"depths": (2, 0, 2, 1)}, r"depths is \(2, 0, 2, 1\), but each of 4 stages has a number of 1 or more"),
        ({"stem_stride": 0}, "stem_stride is 0, but must be 1 or more"),
        ({"gate": "tanh"}, "gate is 'tanh', but there are softmax, sigmoid and hardsigmoid"),
        ({"stage_strides": (4, 4, 4, 4)}, "nothing is left of 2x2 pixels behind stride 4 of stage3.0.attention"),
    ],
)
def test_what_cannot_be_built_is_refused_with_its_reason(changed: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        layout(dataclasses.replace(PLAIN, **changed), 32, 32)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["downsample", "attention", "mix"])
def test_a_network_with_an_unknown_choice_is_refused_by_name(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is 'sideways', but there are {CHOICES[field][0]}"):
        AttendNeXt(dataclasses.replace(PLAIN, **{field: "sideways"}))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(4))
def test_every_parameter_of_a_drawn_member_learns(seed: int) -> None:
    config, _ = drawn(seed)
    torch.manual_seed(seed)
    model = AttendNeXt(dataclasses.replace(config, stem_stride=1, stem_pool=False))
    model(torch.rand(2, config.in_channels, 32, 32)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
