"""What goes together in networks whose wiring is known, and what is refused with a reason."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from nets import Call, Concat, linear, mixed, settle, small, tiny
from torch import Tensor, nn

from attendc.compress.pruning.channels import remove_channels
from attendc.compress.pruning.dependencies import Dependencies, find_dependencies
from attendc.compress.pruning.groups import Block, ChannelGroup, Member, Side, inner_groups
from attendc.errors import CheckpointError

IMAGE = torch.zeros(1, 1, 8, 8)


def find(net: nn.Module) -> Dependencies:
    return find_dependencies(net.eval(), IMAGE)


def chain(*parts: nn.Module, channels: int = 4) -> nn.Sequential:
    """Return 3x3 convolution to 4 channels, the parts, global pool, linear layer from `channels`."""
    ends = [nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(channels, 10)]
    return settle(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), *parts, *ends))


def group(found: Dependencies, name: str) -> ChannelGroup:
    return next(g for g in found.groups if g.name == name)


def sides(of: ChannelGroup, side: Side) -> set[str]:
    return {m.layer for m in of.members if m.side == side}


class Sum(nn.Module):
    """The sum of what the parts make of x."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        first, *others = (part(x) for part in self.parts)
        return sum(others, first)


class Around(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


class LooksInside(nn.Module):
    """A network that needs the convolution of its residual block by name."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(1, 4, 8), Around(), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.block(self.stem(x)) * self.block.conv.in_channels
        return self.head(y.flatten(1))


class Wired(nn.Module):
    """Convolution, a function of its output and of the module, global mean, linear layer."""

    def __init__(self, between: Callable[[Wired, Tensor], Tensor], *, width: int = 4, read: int = 4) -> None:
        super().__init__()
        self.between = between
        self.stem, self.again = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.scale, self.head = nn.Parameter(torch.ones(4, 1, 1)), nn.Linear(read, 10)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.between(self, self.stem(x)).mean((2, 3)))
        return y


class SideBySide(nn.Module):
    """Two convolutions of four channels side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.left(x), self.right(x)], 1)


@pytest.fixture(scope="module")
def found() -> Dependencies:
    """Return what can be pruned of the tiny AttendNeXt."""
    return find_dependencies(tiny().eval(), torch.zeros(1, 1, 16, 16))


# The tiny AttendNeXt: widths 4 8 8 8, two columns, the last two stages put out twice their width


def test_every_convolution_belongs_to_one_group(found: Dependencies) -> None:
    convs = [name for name, m in found.model.named_modules() if isinstance(m, nn.Conv2d)]
    outs = [layer for g in found.groups for layer in sides(g, "out")]
    assert sorted(outs) == sorted(convs)


def test_groups_have_the_size_of_their_stage_and_the_columns_of_their_grouped_convolutions(found: Dependencies) -> None:
    assert [(g.name, g.size, g.columns) for g in found.groups] == [
        ("stem.0.0", 4, 2),
        ("stem.1.0", 4, 2),
        ("stages.0.0.attention.1.0", 4, 2),
        ("stages.0.0.features.1.0", 4, 2),
        ("stages.1.0.attention.1.0", 8, 2),
        ("stages.1.0.features.1.0", 8, 2),
        ("stages.1.1.stack.0.0", 8, 2),
        ("stages.2.0.attention.0.0", 8, 2),
        ("stages.2.0.attention.2.0", 8, 2),
        ("stages.2.0.features.1.0", 16, 1),  # what stage 3 puts out is only read by 1x1 convolutions
        ("stages.2.1.stack.0.0", 8, 2),
        ("stages.2.1.stack.1.0", 8, 2),
        ("stages.3.0.attention.0.0", 8, 2),
        ("stages.3.0.attention.2.0", 8, 2),
        ("stages.3.0.features.1.0", 16, 1),
    ]


def test_a_group_lists_who_writes_its_channels_who_reads_them_and_what_stands_between(found: Dependencies) -> None:
    assert set(group(found, "stem.0.0").members) == {
        Member("stem.0.0", "out", (0, 1, 2, 3), (0, 1, 2, 3)),
        Member("stem.0.1", "both", (0, 1, 2, 3), (0, 1, 2, 3)),
        Member("stem.1.0", "in", (0, 1, 2, 3), (0, 1, 2, 3)),
    }


def test_both_branches_of_a_gate_go_together(found: Dependencies) -> None:
    gate = group(found, "stages.0.0.features.1.0")
    assert sides(gate, "out") == {"stages.0.0.features.1.0", "stages.0.0.attention.2.0"}
    assert sides(gate, "in") == {"stages.1.0.features.1.0", "stages.1.0.attention.1.0"}


def test_all_that_add_to_a_residual_stream_go_together(found: Dependencies) -> None:
    stream = group(found, "stages.1.0.features.1.0")
    assert sides(stream, "out") == {
        "stages.1.0.features.1.0",
        "stages.1.0.attention.2.0",
        "stages.1.1.stack.1.0",  # the end of the residual block
    }
    assert sides(stream, "in") == {"stages.1.1.stack.0.0", "stages.2.0.attention.0.0", "stages.2.0.features.1.0"}


def test_average_pools_are_known_by_their_area(found: Dependencies) -> None:
    areas = {g.name: [area for _, area in g.pools] for g in found.groups if g.pools}
    assert areas["stages.0.0.features.1.0"] == [4, 4]  # 2x2, one for each branch of the next stage
    assert areas["stages.3.0.features.1.0"] == [4]  # 16x16 halved three times is 2x2, which the global pool takes


def test_residual_blocks_can_be_left_out_gates_cannot(found: Dependencies) -> None:
    assert [b.name for b in found.blocks] == ["stages.1.1", "stages.2.1"]
    stack = [f"stages.1.1.stack.{i}.{j}" for i in (0, 1) for j in (0, 1)]
    assert found.blocks[0] == Block("stages.1.1", tuple(stack))


def test_a_group_inside_a_block_is_told_from_the_stream_through_it(found: Dependencies) -> None:
    assert [g.name for g in inner_groups(found.groups, "stages.2.1")] == [
        "stages.2.1.stack.0.0",
        "stages.2.1.stack.1.0",
    ]


def test_the_head_is_refused_since_its_outputs_are_the_classes(found: Dependencies) -> None:
    assert found.refused == {"head": "its outputs are the network's"}


def test_the_network_itself_stays_as_it_is() -> None:
    net, untouched = mixed(), mixed()
    net.stem.requires_grad_(False)
    found = find(net)
    assert repr(net) == repr(untouched)
    assert all(torch.equal(v, untouched.state_dict()[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad == (not n.startswith("stem")) for n, p in net.named_parameters())
    assert all(not m._forward_hooks for m in (*net.modules(), *found.model.modules()))


# Wirings of one idea each


def test_a_concatenation_gives_each_branch_its_own_channels_of_the_reader() -> None:
    found = find(chain(Concat(), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)))
    assert set(group(found, "1.right").members) == {
        Member("1.right", "out", (0, 1), (0, 1)),
        Member("2", "both", (2, 3), (0, 1)),
        Member("3", "in", (2, 3), (0, 1)),
    }
    assert group(found, "1.left").size == 2


def test_a_tensor_beside_itself_is_read_twice() -> None:
    found = find(chain(Call(lambda x: torch.cat([x, x], 1)), nn.Conv2d(8, 4, 1)))
    reader = next(m for m in group(found, "0").members if m.side == "in")
    assert sorted(zip(reader.channels, reader.roots, strict=True)) == [(c, c % 4) for c in range(8)]


def test_flattening_before_a_linear_layer_gives_each_channel_all_its_pixels() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(1), nn.Linear(16, 10))
    reader = next(m for m in group(find(net), "0").members if m.side == "in")
    assert reader == Member("4", "in", tuple(range(16)), tuple(c // 4 for c in range(16)))  # 2 x 2 pixels a channel


def test_a_depthwise_convolution_and_a_norm_between_belong_to_the_channels_that_pass() -> None:
    found = find(chain(nn.Conv2d(4, 4, 3, groups=4), nn.PReLU(4), nn.Conv2d(4, 4, 1)))
    first = next(g for g in found.groups if "0" in sides(g, "out"))
    assert (first.size, first.columns) == (4, 1)
    assert sides(first, "both") == {"1", "2"}
    assert sides(first, "in") == {"3"}


def test_the_columns_of_two_readers_are_both_kept_equal() -> None:
    readers = Sum(nn.Conv2d(12, 12, 1, groups=2), nn.Conv2d(12, 12, 1, groups=3))
    found = find(nn.Sequential(nn.Conv2d(1, 12, 1), readers, nn.Flatten(1), nn.Linear(768, 10)))
    assert group(found, "0").columns == 6  # 2 and 3 cut 12 channels into 6 parts of 2


def test_one_output_a_column_makes_no_depthwise_convolution() -> None:
    found = find(chain(nn.Conv2d(4, 2, 1, groups=2), nn.Conv2d(2, 4, 1)))
    assert (sides(group(found, "0"), "in"), group(found, "0").columns) == ({"1"}, 2)
    assert found.refused["1"] == "it has 1 channel a column"


def test_one_slope_for_all_channels_is_no_member() -> None:
    found = find(chain(nn.PReLU(), nn.Conv2d(4, 4, 1)))
    assert {m.layer for m in group(found, "0").members} == {"0", "2"}


def test_a_residual_around_nothing_but_a_gate_can_be_left_out() -> None:
    assert find(small("sigmoid_gate")).blocks == (Block("1", ("1.branch",)),)  # x * sigmoid(0) follows x


class WithGate(nn.Module):
    """x + project(gate(expand(x))), the gate a squeeze-and-excite, as MobileNetV3 has it."""

    def __init__(self) -> None:
        super().__init__()
        self.expand, self.gate, self.project = nn.Conv2d(4, 8, 1), Gate(), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(self.gate(self.expand(x)))


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.reduce, self.widen = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.widen(self.reduce(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


def test_a_residual_block_with_a_gate_can_be_left_out_and_so_can_the_gate() -> None:
    assert [b.name for b in find(chain(WithGate(), nn.Conv2d(4, 4, 1))).blocks] == ["1", "1.gate"]


def test_of_blocks_strung_together_each_can_be_left_out_not_the_string() -> None:
    stage = nn.Sequential(Around(), nn.Sequential(Around()))
    assert [b.name for b in find(chain(stage, nn.Conv2d(4, 4, 1))).blocks] == ["1.0", "1.1.0"]


def test_a_block_that_the_forward_looks_into_is_refused() -> None:
    found = find(LooksInside())
    assert found.blocks == ()
    assert "does not run without it" in found.refused["block"]


REFUSED: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "a convolution used twice": (lambda: Wired(lambda net, x: net.again(net.again(x))), "again", "more than once"),
    "a layer scale": (lambda: Wired(lambda net, x: x * net.scale), "stem", r"parameter of shape \(4, 1, 1\)"),
    "a transposed convolution": (lambda: chain(nn.ConvTranspose2d(4, 4, 2)), "0", "1, a ConvTranspose2d"),
    "a slice by number": (lambda: Wired(lambda _, x: x[:, :4], width=8), "stem", "does not run"),
    "halves that change places": (
        lambda: Wired(lambda _, x: torch.cat(x.chunk(2, 1)[::-1], 1), width=8, read=8),
        "stem",
        "cannot be followed",
    ),
    "pixels for channels": (
        lambda: chain(nn.Conv2d(4, 8, 1), nn.PixelShuffle(2), channels=2),
        "1",
        "does not run after pruning 1",
    ),
    "one channel a column": (lambda: chain(nn.Conv2d(4, 8, 1, groups=4), channels=8), "0", "1 channel a column"),
    "a part of the columns": (
        lambda: chain(SideBySide(), nn.Conv2d(8, 8, 1, groups=2), channels=8),
        "1.left",
        "only some of the channels of 2",
    ),
    "a part of the groups of a norm": (
        lambda: chain(SideBySide(), nn.GroupNorm(2, 8), nn.Conv2d(8, 4, 1)),
        "1.left",
        "only some of the channels of 2",
    ),
    "channels in another order": (
        lambda: chain(SideBySide(), nn.Conv2d(8, 8, 1, groups=2), channels=8),
        "1.right",
        "in another order",
    ),
    "a norm over pixels too": (lambda: chain(nn.LayerNorm([4, 8, 8])), "0", "1, a LayerNorm over more than channels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_pruned_is_refused_with_its_reason(case: str) -> None:
    factory, layer, reason = REFUSED[case]
    found = find(factory())
    assert layer not in {name for g in found.groups for name in sides(g, "out")}
    assert re.search(reason, found.refused[layer])


def test_what_is_left_around_it_can_still_be_pruned() -> None:
    found = find(chain(nn.ConvTranspose2d(4, 4, 2), nn.Conv2d(4, 6, 1), channels=6))
    assert [g.name for g in found.groups] == ["2"]


@pytest.mark.parametrize("factory", [lambda: chain(SideBySide(), nn.Conv2d(8, 4, 1)), mixed, lambda: small("residual")])
def test_every_group_that_is_offered_can_be_taken_from(factory: Callable[[], nn.Module]) -> None:
    net = factory().eval()
    for one in find(net).groups:
        remove_channels(find(net).model, one, [c for c in range(one.size) if c % (one.size // one.columns)], IMAGE)


def test_a_network_without_anything_to_prune_has_no_groups() -> None:
    found = find_dependencies(linear(), torch.zeros(1, 1, 16, 16))
    assert (found.groups, found.blocks) == ((), ())


def test_a_network_that_cannot_be_followed_is_an_error_and_stays_as_it_is() -> None:
    net = chain(Call(lambda x: torch.from_numpy(np.square(x.numpy()))))
    state = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(CheckpointError, match="cannot be grouped: RuntimeError") as e:
        find(net)
    assert "untouched" in (e.value.hint or "")
    with torch.no_grad():
        assert net(IMAGE).shape == (1, 10)
    assert net.state_dict().keys() == state.keys()
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())


def test_what_torch_pruning_warns_of_is_kept() -> None:
    found = find(Wired(lambda net, x: x * net.scale))
    assert "scale" in found.refused["(network)"]
