"""Calibration on real images."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from nets import SMALL, Built
from torch import Tensor, nn

from attendc.compress.capture import capture
from attendc.compress.graph import call_nodes
from attendc.compress.plan import QuantPlan
from attendc.compress.ptq import RANGES, calibrate
from attendc.context import Advance, Context
from attendc.exported import constant
from attendc.metrics import top1_agreement


@pytest.fixture(scope="module")
def plans(built: Built, samples: list[Tensor]) -> dict[str, QuantPlan]:
    """Return the plan by each way to choose ranges."""
    return {r: calibrate(built.ready, samples, ranges=r, context=Context())[1] for r in RANGES}


def test_the_three_ways_give_different_scales(plans: dict[str, QuantPlan]) -> None:
    scales = [tuple(p.scale for p in plan.activations.values()) for plan in plans.values()]
    assert len(set(scales)) == 3


def test_a_percentile_range_is_not_wider_than_the_extremes(plans: dict[str, QuantPlan]) -> None:
    narrow, wide = plans["percentile"].activations, plans["minmax"].activations
    assert all(narrow[n].scale[0] <= wide[n].scale[0] * (1 + 1e-6) for n in wide)
    assert any(narrow[n].scale[0] < wide[n].scale[0] for n in wide)


def test_minmax_holds_the_extremes_of_the_images(plans: dict[str, QuantPlan], samples: list[Tensor]) -> None:
    image = torch.cat(samples)
    name = next(iter(plans["minmax"].activations))
    (scale,), (zero_point,) = plans["minmax"].activations[name].scale, plans["minmax"].activations[name].zero_point
    assert (-128 - zero_point) * scale == pytest.approx(float(image.min()), abs=2 * scale)
    assert (127 - zero_point) * scale == pytest.approx(float(image.max()), abs=2 * scale)


def test_every_tensor_and_layer_has_parameters(built: Built) -> None:
    layers = call_nodes(built.ready.graph, torch.ops.aten.conv2d.default, torch.ops.aten.linear.default)
    assert set(built.plan.weights) == {n.name for n in layers}
    assert len(built.plan.weights) == 9


def test_the_same_images_give_the_same_plan_and_biases(built: Built, samples: list[Tensor]) -> None:
    graph, plan = calibrate(built.ready, samples, ranges="mse", context=Context())
    assert plan == built.plan
    same = zip(graph.state_dict().items(), built.corrected.state_dict().items(), strict=True)
    assert all(name == other and torch.equal(a, b) for (name, a), (other, b) in same)


def test_other_images_give_another_plan(built: Built, samples: list[Tensor]) -> None:
    assert calibrate(built.ready, samples[:5], ranges="mse", context=Context())[1] != built.plan


def test_biases_are_corrected_and_weights_are_not(built: Built) -> None:
    changed = set()
    for node in call_nodes(built.ready.graph, torch.ops.aten.conv2d.default, torch.ops.aten.linear.default):
        other = next(n for n in built.corrected.graph.nodes if n.name == node.name)
        for position in (1, 2):
            pair = [constant(g, n.args[position]) for g, n in ((built.ready, node), (built.corrected, other))]
            if not torch.equal(*pair):
                changed.add(position)
    assert changed == {2}


def test_a_layer_with_one_weight_per_channel_keeps_its_bias(samples: list[Tensor]) -> None:
    """As a batch norm behind a pool is. NNCF would give it the mean of its output."""
    torch.manual_seed(0)
    norm = nn.Conv2d(4, 4, 1, groups=4)
    norm.bias.data = torch.tensor([1.0, -1.0, 0.5, -0.5])
    graph = capture(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), norm, nn.Flatten(1)).eval(), SMALL)
    corrected, _ = calibrate(graph, samples, ranges="mse", context=Context())
    first, second = call_nodes(corrected.graph, torch.ops.aten.conv2d.default)
    assert torch.equal(constant(corrected, second.args[2]), norm.bias)  # type: ignore[arg-type]
    assert not torch.equal(constant(corrected, first.args[2]), constant(graph, first.args[2]))  # type: ignore[arg-type]


def test_the_graph_that_was_given_is_not_changed(built: Built, samples: list[Tensor], seen: Tensor) -> None:
    before = built.ready(seen)
    calibrate(built.ready, samples[:2], ranges="minmax", context=Context())
    assert torch.equal(built.ready(seen), before)


def test_the_quantized_network_sees_what_the_float_one_sees(built: Built, seen: Tensor) -> None:
    assert top1_agreement(built.quantized(seen), built.net(seen)) > 0.7  # of chance 0.1; it has 8 channels


def test_each_image_is_counted_once(built: Built, samples: list[Tensor]) -> None:
    counted: list[int] = []

    @contextmanager
    def progress(title: str, total: int) -> Iterator[Advance]:
        assert (title, total) == ("calibrate", 3)
        yield lambda count, text="": counted.append(count)

    calibrate(built.ready, samples[:3], ranges="minmax", context=Context(progress=progress))
    assert counted == [1, 1, 1]


@pytest.mark.slow
def test_nncf_reports_nothing_to_anybody() -> None:
    code = (
        "from attendc.compress.ptq import import_nncf; import os, sys; assert 'nncf' not in sys.modules; "
        "import_nncf(); from nncf.telemetry import wrapper; "
        "print(os.environ['NNCF_CI'], isinstance(wrapper.telemetry, wrapper.NNCFTelemetry))"
    )
    clean = {k: v for k, v in os.environ.items() if k not in ("NNCF_CI", "NNCF_DEV", "CI")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["1", "False"]
