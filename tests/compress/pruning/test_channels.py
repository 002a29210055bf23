"""Removing channels equals silencing them, for every way in which layers can share channels."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import pytest
import torch
from nets import MIDDLES, Concat, distance, mixed, settle, tiny
from torch import Tensor, nn

from attendc.compress.pruning.channels import check_runs, remove_channels
from attendc.compress.pruning.dependencies import find_dependencies
from attendc.compress.pruning.groups import ChannelGroup, Member
from attendc.errors import CheckpointError
from attendc.models.surgery import layer_shape


def image(side: int) -> Tensor:
    return torch.randn(3, 1, side, side, generator=torch.Generator().manual_seed(5))


def chain(*parts: nn.Module, channels: int) -> nn.Sequential:
    torch.manual_seed(0)
    return settle(nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(channels, 10)))


def some_of_each_column(group: ChannelGroup) -> list[int]:
    """Return half of each column, other places in each: 0 1 of the first, 1 2 of the second, ..."""
    width = group.size // group.columns
    half = range(max(1, width // 2))
    return sorted(column * width + (column + i) % width for column in range(group.columns) for i in half)


@torch.no_grad()
def silenced(net: nn.Module, group: ChannelGroup, kept: Sequence[int]) -> nn.Module:
    """Return a copy whose layers give zeros in the channels that do not stay; SiLU, ReLU and their like leave zeros."""
    quiet = copy.deepcopy(net)
    for member in group.members:
        layer = quiet.get_submodule(member.layer)
        rows = [c for c, r in zip(member.channels, member.roots, strict=True) if r not in kept]
        if member.side == "in":
            continue
        layer.weight[rows] = 0
        if getattr(layer, "bias", None) is not None:
            layer.bias[rows] = 0
    return quiet


def bottleneck() -> nn.Module:
    """1x1, depthwise, 1x1, each with a batch norm, as in MobileNet."""
    parts = [nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU6()]
    parts += [nn.Conv2d(6, 6, 3, groups=6, bias=False), nn.BatchNorm2d(6), nn.Hardswish()]
    return chain(*parts, nn.Conv2d(6, 8, 1), nn.PReLU(8), channels=8)


def flattened() -> nn.Module:
    parts = [nn.Conv2d(1, 6, 3, padding=1), nn.SiLU(), nn.AvgPool2d(2), nn.Flatten(1), nn.Linear(96, 8), nn.ReLU()]
    torch.manual_seed(0)
    return nn.Sequential(*parts, nn.Linear(8, 10)).eval()


def columns() -> nn.Module:
    """Two and four columns, one after the other."""
    parts = [nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.SiLU(), nn.Conv2d(16, 32, 3, groups=4), nn.ReLU()]
    return chain(*parts, nn.Conv2d(32, 8, 1, groups=2), channels=8)


NETS: dict[str, Callable[[], nn.Module]] = {
    "AttendNeXt": lambda: settle(tiny(widths=[8, 16, 16, 16], depths=[1, 2, 1, 1], columns=4, stem_width=16)),
    "mixed": mixed,
    "columns": columns,
    "depthwise": bottleneck,
    "concatenation": lambda: chain(nn.Conv2d(1, 4, 3), Concat(), nn.BatchNorm2d(4), nn.SiLU(), channels=4),
    "flattened": flattened,
}


@pytest.mark.parametrize("name", NETS)
def test_removing_channels_of_any_group_equals_silencing_them(name: str) -> None:
    net = NETS[name]().double()  # so that rounding explains nothing
    x = image(8).double()
    groups = find_dependencies(net, x[:1]).groups
    assert groups
    for group in groups:
        kept = some_of_each_column(group)
        pruned = copy.deepcopy(net)
        changed = remove_channels(pruned, group, kept, x[:1])
        assert changed == {m.layer: layer_shape(pruned.get_submodule(m.layer)) for m in group.members}
        quiet = silenced(net, group, kept)
        assert distance(quiet, net, x) > 1e-7, f"the channels of {group.name} say nothing"
        assert distance(pruned, quiet, x) < 1e-12, group.name


def test_all_groups_at_once_equal_all_silenced() -> None:
    net, x = NETS["AttendNeXt"]().double(), image(8).double()
    pruned, quiet = copy.deepcopy(net), net
    for group in find_dependencies(net, x[:1]).groups:
        kept = some_of_each_column(group)
        remove_channels(pruned, group, kept, x[:1])
        quiet = silenced(quiet, group, kept)
    assert distance(quiet, net, x) > 1e-7
    assert distance(pruned, quiet, x) < 1e-12


# By hand: a grouped convolution of 4 inputs and 4 outputs in two columns


def test_the_inputs_that_stay_in_a_column_are_the_ones_its_outputs_multiply() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1, groups=2), nn.Flatten(1), nn.Linear(4, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[10.0, 11], [20, 21], [32, 33], [42, 43]])[..., None, None])
    group = ChannelGroup("0", 4, 2, (member("0", "out"), member("1", "in")))
    changed = remove_channels(net, group, [1, 2], torch.zeros(1, 1, 1, 1))
    assert changed == {"0": (2, 1, 1), "1": (4, 2, 2)}
    # Input 1 is the second of the first column, input 2 the first of the second.
    assert net[1].weight.flatten().tolist() == [11, 21, 32, 42]


def test_outputs_go_with_their_weights_and_biases() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1, groups=2), nn.Flatten(1), nn.Linear(4, 2))
    bias, weight = net[1].bias.detach().clone(), net[3].weight.detach().clone()
    group = ChannelGroup("1", 4, 2, (member("1", "out"), member("3", "in")))
    remove_channels(net, group, [0, 3], torch.zeros(1, 1, 1, 1))
    assert torch.equal(net[1].bias, bias[[0, 3]])
    assert torch.equal(net[3].weight, weight[:, [0, 3]])


def test_norms_keep_factors_offsets_and_statistics_of_what_stays() -> None:
    net = chain(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), channels=4)
    state = {k: v.clone() for k, v in net[1].state_dict().items()}
    net[1].num_batches_tracked.fill_(7)
    group = ChannelGroup("0", 4, 1, (member("0", "out"), member("1", "both"), member("4", "in")))
    remove_channels(net, group, [0, 2, 3], image(4)[:1])
    for name in ("weight", "bias", "running_mean", "running_var"):
        assert torch.equal(net[1].state_dict()[name], state[name][[0, 2, 3]])
    assert net[1].num_batches_tracked == 7


def member(layer: str, side: str) -> Member:
    return Member(layer, side, (0, 1, 2, 3), (0, 1, 2, 3))  # type: ignore[arg-type]


def test_nothing_changes_where_all_channels_stay() -> None:
    net = mixed()
    state = copy.deepcopy(net.state_dict())
    group = find_dependencies(net, image(8)[:1]).groups[0]
    assert remove_channels(net, group, range(group.size), image(8)[:1]) == {}
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())


# What does not fit


def test_a_group_that_forgets_a_reader_is_noticed_when_the_network_runs() -> None:
    net = chain(nn.Conv2d(1, 4, 1), channels=4)
    with pytest.raises(CheckpointError, match="does not run after pruning 0: RuntimeError"):
        remove_channels(net, ChannelGroup("0", 4, 1, (member("0", "out"),)), [0, 1], image(4)[:1])


def test_so_is_one_that_would_remove_classes() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten(1))
    with pytest.raises(CheckpointError, match=r"after pruning 0 the network gives \(1, 2\), not \(1, 4\)"):
        remove_channels(net, ChannelGroup("0", 4, 1, (member("0", "out"),)), [0, 1], torch.zeros(1, 1, 1, 1))


def test_the_shape_of_the_output_is_told() -> None:
    assert check_runs(mixed(), image(8), "now") == (3, 10)


def test_every_kind_of_middle_runs_without_half_of_what_can_go() -> None:
    x, pruned = image(8)[:1], 0
    for middle in MIDDLES.keys() - {"fixed_beside_own"}:  # takes channels by their numbers, which are others then
        net = chain(nn.Conv2d(1, 4, 3, padding=1), MIDDLES[middle](), channels=4)
        for group in find_dependencies(net, x).groups:
            trial = copy.deepcopy(net)
            remove_channels(trial, group, some_of_each_column(group), x)
            pruned += 1
    assert pruned >= len(MIDDLES) - 1
