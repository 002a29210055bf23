"""AttendNeXt: the published totals, the rules of the family, and that it can be trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from nets import TINY, tiny
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from attendc.models.attendnext import CHOICES, PRESETS, AttendNeXt, AttendNeXtConfig, attendnext_from_config
from attendc.models.layers import ACTIVATIONS, GATES


def without_memory(preset: str, **changed: object) -> AttendNeXt:
    """Return a preset whose tensors have shapes only."""
    with torch.device("meta"):
        return AttendNeXt(dataclasses.replace(PRESETS[preset], **changed))  # type: ignore[arg-type]


def params(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def convs(model: nn.Module) -> Iterator[nn.Conv2d]:
    found = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert found
    yield from found


# Totals (attendnext.md: 2311.11656 for the published member; the others are ours)


@pytest.mark.parametrize(
    ("preset", "classes", "expected"),
    [
        ("attendnext_xa", 1, 1_632_345),
        ("attendnext_xa", 1000, 2_376_600),
        ("attendnext", 1000, 3_901_036),
        ("attendnext_nano", 10, 185_722),
    ],
)
def test_a_preset_has_its_known_number_of_parameters(preset: str, classes: int, expected: int) -> None:
    assert params(without_memory(preset, classes=classes)) == expected


def layer(inputs: int, outputs: int, kernel: int = 1, columns: int = 1) -> int:
    """Return the parameters of a convolution and its batch norm."""
    return inputs // columns * outputs * kernel**2 + 2 * outputs


def test_attendnext_arm_has_the_parameters_of_its_layers() -> None:
    wide = layer(256, 256, 3, 2)
    opening_1 = layer(32, 64, 3, 2) + layer(64, 64, 3, 2) + layer(32, 64)  # attention; features
    opening_2, basic = 2 * layer(64, 64, 3, 2) + layer(64, 64), 2 * layer(64, 64, 3, 2)
    opening_3 = layer(64, 256) + wide + layer(256, 256) + layer(64, 256)
    opening_4 = layer(256, 256) + wide + layer(256, 256) + layer(256, 256)
    residual = layer(256, 256) + wide + layer(256, 256)
    stages = opening_1 + (opening_2 + basic) + (opening_3 + 5 * residual) + (opening_4 + residual)
    expected = layer(3, 32, 4) + stages + 256 * 1000 + 1000  # stem, stages, head
    assert params(without_memory("attendnext_arm")) == expected == 3_821_096


def test_attendnext_arm_s_has_the_parameters_of_its_layers() -> None:
    opening_1 = layer(32, 64, 3, 4) + layer(64, 64, 3, 4) + layer(32, 64)
    opening_2, basic = 2 * layer(64, 64, 3, 4) + layer(64, 64), 2 * layer(64, 64, 3, 4)
    opening_3 = layer(64, 192) + layer(192, 192, 3, 4) + layer(192, 384) + layer(64, 384)
    opening_4 = layer(384, 256) + layer(256, 256, 3, 4) + layer(256, 512) + layer(384, 512)
    bottleneck_3 = layer(384, 192) + layer(192, 192, 3, 4) + layer(192, 384)
    stages = (opening_1 + basic) + (opening_2 + basic) + (opening_3 + 2 * bottleneck_3) + opening_4
    assert params(without_memory("attendnext_arm_s")) == layer(3, 32, 4) + stages + 512 * 1000 + 1000


def early(inputs: int, width: int, blocks: int) -> int:
    """Return the parameters of a stage of basic blocks in 2 columns."""
    opening = layer(inputs, width, 3, 2) + layer(width, width, 3, 2) + layer(inputs, width)
    return opening + (blocks - 1) * 2 * layer(width, width, 3, 2)


def late(inputs: int, width: int, blocks: int) -> int:
    """Return the parameters of a stage of bottlenecks in 2 columns that puts out as many channels as it has inside."""
    inside = layer(width, width, 3, 2) + layer(width, width)
    return 2 * layer(inputs, width) + inside + (blocks - 1) * (layer(width, width) + inside)


def test_the_presets_that_were_found_by_cost_have_the_parameters_of_their_layers() -> None:
    stages_m = early(32, 32, 2) + early(32, 224, 3) + late(224, 224, 3) + late(224, 384, 1)
    assert params(without_memory("attendnext_arm_m")) == layer(3, 32, 4) + stages_m + 384 * 1000 + 1000
    stages_xs = early(32, 32, 2) + early(32, 32, 3) + late(32, 160, 4) + late(160, 384, 2)
    assert params(without_memory("attendnext_arm_xs")) == layer(3, 32, 4) + stages_xs + 384 * 1000 + 1000


@pytest.mark.parametrize(
    "preset", ["attendnext", "attendnext_arm", "attendnext_arm_m", "attendnext_arm_s", "attendnext_arm_xs"]
)
def test_a_member_for_imagenet_is_1_37_times_smaller_than_mobilenet_v3_large(preset: str) -> None:
    assert params(without_memory(preset)) * 1.37 <= 5_400_000  # as 1905.02244 counts them


@pytest.mark.parametrize(
    ("preset", "classes", "macs"),
    [
        ("attendnext_xa", 1, 318_952_524),
        ("attendnext_arm", 1000, 592_734_208),
        ("attendnext_arm_m", 1000, 355_404_288),
        ("attendnext_arm_s", 1000, 323_043_328),
        ("attendnext_arm_xs", 1000, 151_413_760),
    ],
)
def test_a_preset_has_its_known_number_of_macs(preset: str, classes: int, macs: int) -> None:
    with FlopCounterMode(display=False) as counter:
        without_memory(preset, classes=classes)(torch.empty(1, 3, 224, 224, device="meta"))
    assert counter.get_total_flops() == 2 * macs  # a multiplication and an addition each


def test_nanos_twin_for_arm_has_fewer_parameters_and_the_parameters_of_its_layers() -> None:
    stem = layer(1, 32, 2)
    opening_1, basic = layer(32, 64, 3, 4) + layer(64, 64, 3, 4) + layer(32, 64), 2 * layer(64, 64, 3, 4)
    opening_2 = 2 * layer(64, 64, 3, 4) + layer(64, 64)
    opening_3 = layer(64, 64) + layer(64, 64, 3, 4) + 2 * layer(64, 128)
    opening_4 = layer(128, 64) + layer(64, 64, 3, 4) + layer(64, 128) + layer(128, 128)
    bottleneck = layer(128, 64) + layer(64, 64, 3, 4) + layer(64, 128)
    stages = opening_1 + basic + opening_2 + basic + opening_3 + bottleneck + opening_4
    twin = params(without_memory("attendnext_nano_arm"))
    assert twin == stem + stages + 128 * 10 + 10
    assert twin < params(without_memory("attendnext_nano"))


@pytest.mark.parametrize("later", [("stem",), ("downsample", "attention", "mix")])
def test_a_spec_from_before_a_field_gives_the_same_network(later: tuple[str, ...]) -> None:
    old = {k: v for k, v in dataclasses.asdict(PRESETS["attendnext_nano"]).items() if k not in later}
    assert attendnext_from_config(**old).config == PRESETS["attendnext_nano"]


def test_strides_in_place_of_pools_and_a_sum_in_place_of_the_gate_keep_the_names_of_weights() -> None:
    names = set(tiny().state_dict())
    assert set(tiny(downsample="strided").state_dict()) == set(tiny(attention="none").state_dict()) == names


def test_without_attention_the_branches_of_the_first_block_are_added() -> None:
    block = tiny(attention="none").eval().stages[0][0]
    x = torch.rand(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(x), nn.functional.silu(block.attention(x) + block.features(x)))


def test_nano_is_small_and_gated_by_a_sigmoid() -> None:
    assert params(without_memory("attendnext_nano")) <= 200_000
    assert PRESETS["attendnext_nano"].gate == "sigmoid"


@pytest.mark.parametrize("preset", ["attendnext", "attendnext_xa"])
def test_the_members_for_imagenet_are_gated_faithfully(preset: str) -> None:
    assert PRESETS[preset].gate == "softmax"


# Shapes


def test_each_stage_condenses_the_image_as_published() -> None:
    model, shapes = without_memory("attendnext_xa"), []
    x = model.stem(torch.empty(1, 3, 224, 224, device="meta"))
    shapes.append(tuple(x.shape[1:]))
    for stage in model.stages:
        x = stage[0](x)  # the DC-AC
        shapes.append(tuple(x.shape[1:]))
        x = stage[1:](x)
        assert tuple(x.shape[1:]) == shapes[-1]
    assert shapes == [(32, 56, 56), (40, 56, 56), (84, 28, 28), (352, 14, 14), (744, 7, 7)]


def test_attendnext_arm_condenses_a_stage_earlier_and_is_deepest_at_14x14() -> None:
    model, shapes = without_memory("attendnext_arm"), []
    x = model.stem(torch.empty(1, 3, 224, 224, device="meta"))
    for stage in model.stages:
        x = stage(x)
        shapes.append((len(stage), *x.shape[1:]))
    assert shapes == [(1, 64, 28, 28), (2, 64, 14, 14), (6, 256, 14, 14), (2, 256, 7, 7)]


@pytest.mark.parametrize("preset", ["attendnext_nano", "attendnext_nano_arm"])
def test_the_nanos_take_gray_32x32_and_give_ten_logits(preset: str) -> None:
    x = torch.empty(2, 1, 32, 32, device="meta")
    assert without_memory(preset).eval()(x).shape == (2, 10)


@pytest.mark.parametrize("depths", [(1, 1, 1, 1), (1, 2, 3, 2)])
def test_depths_count_the_dcac_that_opens_each_stage(depths: tuple[int, ...]) -> None:
    assert tuple(len(stage) for stage in tiny(depths=depths).stages) == depths


# Rules of the family


@pytest.mark.parametrize("preset", PRESETS)
def test_no_pointwise_convolution_is_strided(preset: str) -> None:
    assert all(c.stride == (1, 1) for c in convs(without_memory(preset)) if c.kernel_size == (1, 1))


@pytest.mark.parametrize("preset", PRESETS)
def test_after_the_stem_only_pools_downsample(preset: str) -> None:
    assert all(c.stride == (1, 1) for c in convs(without_memory(preset).stages))


@pytest.mark.parametrize("preset", PRESETS)
def test_no_convolution_is_depthwise(preset: str) -> None:
    assert all(c.groups == 1 or c.groups < c.in_channels for c in convs(without_memory(preset)))


@pytest.mark.parametrize("preset", PRESETS)
def test_the_image_is_read_by_a_dense_convolution_and_every_3x3_after_it_runs_in_columns(preset: str) -> None:
    first, *others = convs(without_memory(preset))
    assert (first.groups, first.in_channels) == (1, PRESETS[preset].in_channels)
    assert {c.groups for c in others if c.kernel_size == (3, 3)} == {PRESETS[preset].columns}


def test_the_columns_of_the_published_members_are_four() -> None:
    assert {PRESETS[name].columns for name in ("attendnext", "attendnext_xa", "attendnext_nano")} == {4}


@pytest.mark.parametrize("preset", [name for name in PRESETS if "_arm" in name])
def test_the_columns_of_the_members_for_arm_fill_the_tile_of_16(preset: str) -> None:
    per_column = {c.out_channels // c.groups for c in convs(without_memory(preset)) if c.groups > 1}
    assert [n for n in per_column if n % 16] == []


@pytest.mark.parametrize("preset", PRESETS)
def test_channels_are_multiples_of_four(preset: str) -> None:
    assert all(c.out_channels % 4 == 0 for c in convs(without_memory(preset)))


@pytest.mark.parametrize("preset", PRESETS)
def test_no_convolution_has_a_bias_and_each_has_its_batch_norm(preset: str) -> None:
    model = without_memory(preset)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(c.bias is None for c in convs(model))
    assert len(norms) == len(list(convs(model)))
    assert {(n.eps, n.momentum) for n in norms} == {(1e-5, 0.1)}


# Training


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("gate", GATES)
def test_every_parameter_gets_a_gradient(gate: str, activation: str) -> None:
    model = tiny(gate=gate, activation=activation)
    x = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    nn.functional.cross_entropy(model(x), torch.arange(8)).backward()
    silent = [k for k, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gate_and_activation_reach_every_block(gate: str, activation: str) -> None:
    model = tiny(gate=gate, activation=activation)
    kinds = {type(m) for m in model.modules() if not list(m.children())}
    assert type(GATES[gate]()) in kinds
    assert kinds & {type(make()) for make in ACTIVATIONS.values()} == {type(ACTIVATIONS[activation]())}


def test_the_same_seed_gives_the_same_weights() -> None:
    pairs = zip(tiny(seed=1).parameters(), tiny(seed=1).parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(tiny(seed=1).head.weight, tiny(seed=2).head.weight)


# Config


def test_lists_from_a_spec_give_the_same_config_as_tuples() -> None:
    given = attendnext_from_config(**TINY).config
    assert given == AttendNeXtConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in TINY.items()})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CHOICES)
def test_what_a_field_cannot_be_is_told_with_what_it_can(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 'tanh', but there are .*{CHOICES[name][-1]}"):
        tiny(**{name: "tanh"})
