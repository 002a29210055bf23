"""Trained ranges: where they start, how they move, when they stand still."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from nets import SMALL, Built, ChannelNorm, Slopes, build, some
from torch import Tensor, fx, nn

from attendc.compress.graph import call_nodes
from attendc.compress.plan import QuantPlan, apply_plan
from attendc.compress.qat import TrainedRange, WeightGrid, train_quantized
from attendc.context import Advance, Context
from attendc.data.images import Dataset
from attendc.exported import constant
from attendc.qdq import quant_table
from attendc.train import Task, TrainOptions
from attendc.types import QuantParams

OPTIONS = TrainOptions(epochs=2, batch_size=20, lr=5e-3, weight_decay=0.0, flip=False, shift=0)
FIRST_FROZEN = 8  # of 2 * 120 / 20 = 12 steps the last third

Ranges = dict[int, tuple[float, int]]


@dataclass
class Trained:
    """The ranges after each step (the first: before all), and what came out."""

    ranges: list[Ranges]
    graph: fx.GraphModule
    plan: QuantPlan


@pytest.fixture(scope="module")
def trained(built: Built, mini: Dataset) -> Trained:
    """Return a training of 12 steps, whose living ranges are looked at after each."""
    found: list[Ranges] = []
    older = {id(o): o for o in gc.get_objects() if type(o) is TrainedRange}  # of trainings in other tests

    @contextmanager
    def progress(title: str, total: int) -> Iterator[Advance]:
        modules = [o for o in gc.get_objects() if type(o) is TrainedRange and id(o) not in older]
        yield lambda count, text: found.append(
            {id(m): (m.params().scale[0], m.params().zero_point[0]) for m in modules}
        )

    task = Task(some(mini.train, 12), some(mini.test, 4), SMALL)
    graph, plan, _ = train_quantized(built.ready, built.plan, task, OPTIONS, Context(progress=progress))
    return Trained(found, graph, plan)


# Training


def test_it_starts_exactly_at_the_ranges_of_ptq(trained: Trained, built: Built) -> None:
    expected = {(p.scale[0], p.zero_point[0]) for p in built.plan.activations.values()}
    started = set(trained.ranges[0].values())
    assert {z for _, z in started} == {z for _, z in expected}
    for scale, zero_point in started:
        assert min(abs(scale / s - 1) for s, z in expected if z == zero_point) < 1e-6  # a few bits of a float32


def test_ranges_move_for_two_thirds_and_stand_still_for_the_last(trained: Trained) -> None:
    moves = [a != b for a, b in zip(trained.ranges, trained.ranges[1:], strict=False)]
    assert moves == [True] * FIRST_FROZEN + [False] * 4


def test_fixed_ranges_never_move(trained: Trained) -> None:
    fixed = [k for k, v in trained.ranges[0].items() if v == (1 / 256, -128)]
    assert len(fixed) == 2  # the sigmoid of SiLU and that of the gate
    assert all(step[k] == (1 / 256, -128) for step in trained.ranges for k in fixed)


def test_all_others_move(trained: Trained) -> None:
    first, last = trained.ranges[0], trained.ranges[-1]
    assert sorted(v for k, v in first.items() if last[k] == v) == [(1 / 256, -128)] * 2


def test_the_plan_has_the_trained_scales(trained: Trained) -> None:
    assert {(p.scale[0], p.zero_point[0]) for p in trained.plan.activations.values()} == set(
        trained.ranges[-1].values()
    )


def test_the_quantized_graph_has_the_trained_scales(trained: Trained) -> None:
    table = quant_table(apply_plan(trained.graph, trained.plan))
    assert set(table.activations.values()) == set(trained.ranges[-1].values())


def test_weights_are_trained_and_the_filters_of_pools_are_not(trained: Trained, built: Built) -> None:
    changed = {}
    for node in call_nodes(built.ready.graph, torch.ops.aten.conv2d.default, torch.ops.aten.linear.default):
        other = next(n for n in trained.graph.graph.nodes if n.name == node.name)
        pair = [constant(g, n.args[1]) for g, n in ((built.ready, node), (trained.graph, other))]
        changed[node.name] = not torch.equal(*pair)
    assert [n for n, moved in changed.items() if not moved] == ["conv2d_default", "conv2d_default_1"]


def test_the_float_graph_is_not_changed(trained: Trained, built: Built, seen: Tensor) -> None:
    assert trained.graph is not built.ready
    assert not torch.equal(trained.graph(seen), built.ready(seen))


class Many(nn.Module):
    """A norm, clips, PReLU, resizes and pools of every kind, and a factor for each channel, for 1x8x8."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.slopes = nn.Conv2d(1, 4, 3, padding=1), ChannelNorm(4), Slopes(0.1, 0.25, -0.3, 0.8)
        self.scale, self.head = nn.Parameter(torch.rand(4, 1, 1)), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.slopes(self.norm(self.stem(x)))
        y = nn.functional.hardtanh(self.scale * nn.functional.gelu(y))
        y = nn.functional.interpolate(y, scale_factor=2) / 2
        y = self.head(nn.functional.adaptive_avg_pool2d(y, 3).amax((2, 3)))
        assert isinstance(y, Tensor)
        return y


@pytest.mark.slow
def test_norms_clips_and_factors_train_and_what_was_trained_is_kept(
    mini: Dataset, samples: list[Tensor], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    one = build(Many().eval(), samples[:8], tmp_path)
    task = Task(some(mini.train, 4), some(mini.test, 2), SMALL)
    graph, plan, _ = train_quantized(one.ready, one.plan, task, OPTIONS, Context())
    before, after = (dict(g.named_parameters()) for g in (one.ready, graph))
    assert [n for n in before if torch.equal(before[n], after[n])] == []
    assert any(p.shape == (1, 4, 1, 1) for p in after.values())  # factors of products, not only those of layers
    assert bool(apply_plan(graph, plan)(samples[0]).isfinite().all())


def test_mixed_precision_trains_the_ranges_too(built: Built, mini: Dataset) -> None:
    task = Task(some(mini.train, 2), some(mini.test, 2), SMALL)
    results = []
    for precision in ("float32", "bfloat16"):
        options = dataclasses.replace(OPTIONS, epochs=1, batch_size=10, precision=precision)
        graph, plan, result = train_quantized(built.ready, built.plan, task, options, Context())
        assert all(v.dtype == torch.float32 for v in graph.state_dict().values())
        results.append((plan, result.curve[0]["loss"]))
    assert results[0][0] != results[1][0]
    assert results[1][1] == pytest.approx(results[0][1], rel=0.05)


# A trained range


def started(*, fixed: bool = False) -> TrainedRange:
    """Return a range of -1 .. 1.55: 255 steps of 0.01 with the zero at -28."""
    one = TrainedRange()
    one.start(QuantParams((0.01,), (-28,)), fixed=fixed)
    return one


def test_it_begins_with_the_parameters_it_is_given() -> None:
    assert started().params().scale[0] == pytest.approx(0.01, rel=1e-6)
    assert started().params().zero_point == (-28,)


def test_it_rounds_to_its_grid_and_clips_to_its_ends() -> None:
    y = started()(torch.tensor([0.0, 0.0149, 0.016, 9.0, -9.0]))
    assert y.tolist() == pytest.approx([0.0, 0.01, 0.02, 1.55, -1.0], abs=1e-6)


def test_it_rounds_to_its_grid_in_float32_whatever_it_is_given() -> None:
    """The nearest number of bfloat16 to 1.21 is 1.2109375."""
    y = started()(torch.tensor([1.21], dtype=torch.bfloat16))
    assert y.dtype == torch.float32
    assert y.tolist() == pytest.approx([1.21], abs=1e-6)


@pytest.mark.parametrize(("value", "end"), [(-5.0, 0), (5.0, 1)])
def test_what_is_clipped_at_an_end_pulls_at_that_end(value: float, end: int) -> None:
    one = started()
    one(torch.tensor([value])).sum().backward()
    assert abs(one.bounds.grad[end]) > 10 * abs(one.bounds.grad[1 - end])  # type: ignore[index]


def test_values_inside_pass_the_gradient_and_values_outside_do_not() -> None:
    x = torch.tensor([-5.0, 0.5, 5.0], requires_grad=True)
    started()(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 1.0, 0.0]


def test_a_fixed_range_is_frozen_from_the_start() -> None:
    one = started(fixed=True)
    assert one.is_frozen
    assert not one.bounds.requires_grad
    assert not started().is_frozen


def test_a_frozen_range_computes_the_same() -> None:
    one, x = started(), torch.linspace(-2, 2, 1001)
    before = one(x)
    one.freeze(one.params())
    assert torch.allclose(one(x), before, atol=1e-6)


@pytest.mark.parametrize("fixed", [True, False])
def test_a_loaded_range_is_trained_on_only_if_it_was_not_frozen(*, fixed: bool) -> None:
    one, other = started(fixed=fixed), started(fixed=not fixed)
    other.load_state_dict(one.state_dict())
    assert other.params() == one.params()
    assert other.is_frozen is fixed
    assert other.bounds.requires_grad is not fixed


# The grid of a weight


def test_a_weight_is_rounded_to_127_steps_of_its_largest_per_channel() -> None:
    y = WeightGrid()(torch.tensor([[1.27, 0.004, -0.016], [127.0, 1.4, -0.6]]))
    assert y.flatten().tolist() == pytest.approx([1.27, 0.0, -0.02, 127.0, 1.0, -1.0])


def test_the_gradient_passes_through_the_grid() -> None:
    weight = torch.randn(2, 3, requires_grad=True)
    WeightGrid()(weight).sum().backward()
    assert torch.equal(weight.grad, torch.ones(2, 3))  # type: ignore[arg-type]


def test_a_frozen_grid_keeps_its_scale() -> None:
    grid = WeightGrid()
    grid(torch.ones(1, 1))
    grid.frozen = True
    assert grid(torch.full((1, 1), 5.0)).item() == pytest.approx(1.0)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_new_grid_takes_scales_and_state_of_another(*, frozen: bool) -> None:
    grid, other = WeightGrid(), WeightGrid()
    grid(torch.tensor([[1.27], [12.7]]))
    grid.frozen = frozen
    other.load_state_dict(grid.state_dict())
    assert other.scale.tolist() == pytest.approx([0.01, 0.1])
    assert other.frozen is frozen
