"""What each part is worth when it alone is taken out, and what the planner makes of the numbers."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from nets import PREPROCESS, linear, settle, some, tiny
from torch import Tensor, nn

from attendc.compress.pruning.dependencies import Dependencies, find_dependencies
from attendc.compress.pruning.groups import ChannelGroup
from attendc.compress.pruning.recover import refresh_batch_norms
from attendc.compress.pruning.sensitivity import (
    KEEP_RATIOS,
    Probe,
    Sensitivity,
    block_loss,
    channel_loss,
    judge,
    measure_pruning,
)
from attendc.context import Advance, Context
from attendc.data.images import Dataset
from attendc.data.preprocess import batches

SAMPLE = torch.zeros(1, 1, 16, 16)
IDLE, BUSY = "stages.1.1", "stages.2.1"


@pytest.fixture(scope="module")
def probe(mini: Dataset) -> Probe:
    return Probe(some(mini.train, 3), some(mini.test, 2), PREPROCESS)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    """Return a network whose first residual block adds zeros; its ReLU gets what another ReLU gave."""
    net = settle(tiny(activation="relu"))
    last = net.get_submodule(f"{IDLE}.stack.1.1")
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return net


@pytest.fixture(scope="module")
def found(net: nn.Module) -> Dependencies:
    return find_dependencies(net, SAMPLE)


@pytest.fixture(scope="module")
def rows(net: nn.Module, found: Dependencies, probe: Probe) -> list[Sensitivity]:
    scores = {g.name: torch.arange(g.size, dtype=torch.float32) for g in found.groups}
    return measure_pruning(net, found, scores, probe, SAMPLE, Context(), keep_ratios=(0.5, 0.1))


def of(rows: list[Sensitivity], part: str) -> list[Sensitivity]:
    return [r for r in rows if r.part == part]


# What is measured


def test_loss_is_the_mean_cross_entropy_in_nats(probe: Probe) -> None:
    net = linear()
    with torch.no_grad():
        (x, targets) = next(batches(probe.judged, PREPROCESS, batch_size=20))
        logits = net(x)
    of_the_class = logits.exp()[range(20), targets] / logits.exp().sum(1)
    hits = int((logits.argmax(1) == targets).sum())
    assert judge(net, probe) == (hits / 20, pytest.approx(float(-of_the_class.log().mean()), rel=1e-5))


def test_every_group_has_a_row_a_count_and_every_block_one(rows: list[Sensitivity], found: Dependencies) -> None:
    # Half, and one channel of each column where a tenth is less. Of columns of two, both are one channel.
    expected = []
    for g in found.groups:
        width = g.size // g.columns
        kept = dict.fromkeys(max(1, round(width * ratio)) / width for ratio in (0.5, 0.1))
        expected += [(g.name, "channels", keep) for keep in kept]
    expected += [(b.name, "block", 0.0) for b in found.blocks]
    assert [(r.part, r.what, r.keep) for r in rows] == expected
    assert len(of(rows, "stem.0.0")) == 1


def test_a_part_that_does_nothing_loses_nothing(rows: list[Sensitivity], net: nn.Module, probe: Probe) -> None:
    whole = copy.deepcopy(net)
    refresh_batch_norms(whole, probe.seen, PREPROCESS, Context())
    accuracy, loss = judge(whole, probe)
    (block,) = of(rows, IDLE)
    assert (block.accuracy, block.loss) == (accuracy, pytest.approx(loss, rel=1e-5))
    assert [r.loss for r in of(rows, f"{IDLE}.stack.0.0")] == pytest.approx([loss] * 2, rel=1e-5)
    assert block_loss(IDLE, rows, loss) == pytest.approx(0, abs=1e-5)


def test_a_part_that_does_something_changes_the_loss(rows: list[Sensitivity], net: nn.Module, probe: Probe) -> None:
    whole = copy.deepcopy(net)
    refresh_batch_norms(whole, probe.seen, PREPROCESS, Context())
    _, loss = judge(whole, probe)
    for part in (BUSY, "stem.0.0", "stages.3.0.features.1.0"):
        assert all(abs(r.loss - loss) > 1e-3 for r in of(rows, part))


def test_the_most_important_channels_stay(net: nn.Module, found: Dependencies, probe: Probe) -> None:
    """Channels of a group that write nothing can go, but only if the scores say so."""
    quiet, group = copy.deepcopy(net), next(g for g in found.groups if g.name == f"{BUSY}.stack.0.0")
    norm = quiet.get_submodule(f"{BUSY}.stack.0.1")
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias):
            tensor[[0, 1, 4, 5]] = 0  # half of either column
    only = Dependencies(quiet, (group,), (), {})

    def loss_with(scores: Tensor) -> float:
        (row,) = measure_pruning(quiet, only, {group.name: scores}, probe, SAMPLE, Context(), keep_ratios=(0.5,))
        return row.loss

    whole = copy.deepcopy(quiet)
    refresh_batch_norms(whole, probe.seen, PREPROCESS, Context())
    right = torch.tensor([0.0, 0, 1, 1, 0, 0, 1, 1])
    assert loss_with(right) == pytest.approx(judge(whole, probe)[1], rel=1e-5)
    assert loss_with(1 - right) != pytest.approx(judge(whole, probe)[1], rel=1e-4)


def test_the_network_stays(net: nn.Module, found: Dependencies, probe: Probe) -> None:
    before = copy.deepcopy(net.state_dict())
    only = Dependencies(net, found.groups[:1], found.blocks[:1], {})
    measure_pruning(net, only, {found.groups[0].name: torch.ones(4)}, probe, SAMPLE, Context())
    assert all(torch.equal(v, before[n]) for n, v in net.state_dict().items())


def test_progress_is_told_part_by_part(net: nn.Module, found: Dependencies, probe: Probe) -> None:
    told: list[tuple[int, str]] = []

    @contextmanager
    def progress(title: str, total: int) -> Iterator[Advance]:
        yield lambda count, text: told.append((count, text))

    some_of_it = Dependencies(net, found.groups[5:6], found.blocks[:1], {})
    stream = found.groups[5]
    scores = {stream.name: torch.ones(stream.size)}
    measure_pruning(net, some_of_it, scores, probe, SAMPLE, Context(progress=progress))
    # Columns of four: 3, 2 and 1 channels for the ratios 0.75, 0.5 and 0.25; the fourth ratio is one channel again
    assert KEEP_RATIOS == (0.75, 0.5, 0.25, 0.125)
    assert told == [(1, stream.name)] * 3 + [(1, IDLE)]


# What the planner makes of it


def measured(*points: tuple[float, float]) -> list[Sensitivity]:
    return [Sensitivity("a", "channels", keep, 0.5, loss) for keep, loss in points]


def test_between_what_was_measured_the_loss_is_a_straight_line() -> None:
    group = ChannelGroup("a", 8, 1, ())
    # With 6 of 8 the loss is 0.1 more than the 0.5 of the whole, with 4 of 8 it is 0.3 more
    lost = channel_loss(group, measured((0.5, 0.8), (0.75, 0.6)), 0.5)
    assert lost[:5] == pytest.approx([0, 0.05, 0.1, 0.2, 0.3])


def test_beyond_what_was_measured_it_goes_to_twice_the_worst() -> None:
    lost = channel_loss(ChannelGroup("a", 8, 1, ()), measured((0.75, 0.6), (0.5, 0.8)), 0.5)
    assert lost[5:] == pytest.approx([0.375, 0.45, 0.525, 0.6], abs=1e-5)  # from 0.3 to 0.6 in four steps


def test_counts_are_of_each_column() -> None:
    lost = channel_loss(ChannelGroup("a", 8, 4, ()), measured((0.5, 0.7)), 0.5)
    assert lost == pytest.approx([0, 0.2, 0.4], abs=1e-5)  # columns of two: none, one, both gone


def test_a_network_that_is_better_without_loses_nothing() -> None:
    lost = channel_loss(ChannelGroup("a", 4, 1, ()), measured((0.5, 0.4)), 0.5)
    assert lost[:3] == [0, 0, 0]
    assert 0 < lost[4] < 1e-5  # the last channel is never free
    assert block_loss("b", [Sensitivity("b", "block", 0.0, 0.9, 0.25)], 0.5) == 0


def test_rows_of_other_parts_and_of_int8_are_not_looked_at() -> None:
    others = [
        Sensitivity("b", "channels", 0.5, 0.1, 9.0),
        Sensitivity("a", "int8", 1.0, 0.1, 9.0),
        Sensitivity("a", "block", 0.0, 0.1, 0.75),
    ]
    assert channel_loss(ChannelGroup("a", 2, 1, ()), [*others, *measured((0.5, 0.6))], 0.5)[1] == pytest.approx(0.1)
    assert block_loss("a", [*others, *measured((0.5, 0.6))], 0.5) == 0.25
