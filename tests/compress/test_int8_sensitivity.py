"""One part int8, the rest float: which tensors that are, and what it costs."""

from __future__ import annotations

import copy
import dataclasses
import itertools

import pytest
import torch
from nets import SMALL, Built, distance, small, some
from torch import Tensor, fx, nn

from attendc.compress.capture import capture
from attendc.compress.int8_sensitivity import Calibrated, Int8Part, int8_parts, measure_int8, quantize_part
from attendc.compress.passes import INT8_PASSES, run_passes
from attendc.compress.plan import apply_plan, plan_from_ranges
from attendc.compress.pruning.sensitivity import Probe, judge
from attendc.compress.tensors import quantized_nodes, weighted_layers
from attendc.context import Context
from attendc.data.images import Dataset
from attendc.exported import constant
from attendc.qdq import quant_table
from attendc.types import QuantParams

BLOCKS = ["gate", "concat"]


class Twice(nn.Module):
    """The same convolution two times."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 1, 3, padding=1), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.conv(self.conv(x)).flatten(1))
        return y


@pytest.fixture(scope="session")
def calibrated(built: Built) -> Calibrated:
    return Calibrated(built.ready, built.corrected, built.plan)


@pytest.fixture(scope="session")
def parts(calibrated: Calibrated) -> dict[str, Int8Part]:
    return {p.name: p for p in int8_parts(calibrated.graph, calibrated.plan, BLOCKS)}


@pytest.fixture(scope="session")
def probe(mini: Dataset) -> Probe:
    images = some(mini.train, 10)
    return Probe(images, images, SMALL)


def uncalibrated(net: nn.Module) -> Calibrated:
    """Return a network with made-up ranges, where only names matter."""
    graph = run_passes(capture(net.eval(), SMALL), INT8_PASSES)
    wide = {n.name: QuantParams((0.1,), (0,)) for n in quantized_nodes(graph.graph)}
    return Calibrated(graph, graph, plan_from_ranges(graph, wide))


def biases(graph: fx.GraphModule) -> dict[str, Tensor]:
    return {n.name: constant(graph, n.args[2]) for n in weighted_layers(graph.graph)}  # type: ignore[arg-type]


# Which parts there are


def test_parts_are_layers_and_blocks_in_the_order_of_the_network(parts: dict[str, Int8Part]) -> None:
    assert list(parts) == [
        "stem.0",
        "depthwise.0",
        "gate",
        "gate.branch",
        "concat",
        "concat.left",
        "concat.right",
        "grouped",
        "conv2d_default",  # the average pool and the mean of the network's own forward: they have no module
        "conv2d_default_1",
        "head",
    ]


def test_every_layer_is_in_one_part_beside_its_blocks(parts: dict[str, Int8Part], built: Built) -> None:
    layers = itertools.chain.from_iterable(p.layers for p in parts.values() if p.name not in BLOCKS)
    assert sorted(layers) == sorted(n.name for n in weighted_layers(built.ready.graph))


def test_a_block_has_the_layers_below_its_name(parts: dict[str, Int8Part]) -> None:
    assert parts["gate"].layers == parts["gate.branch"].layers
    assert parts["concat"].layers == parts["concat.left"].layers + parts["concat.right"].layers


def test_a_layer_that_is_used_twice_is_one_part() -> None:
    twice = uncalibrated(Twice())
    conv, head = int8_parts(twice.graph, twice.plan, [])
    assert (conv.name, conv.layers) == ("conv", ("conv2d", "conv2d_1"))
    assert head.name == "head"


def test_the_output_of_a_layer_with_a_relu_is_the_relu_s() -> None:
    net = uncalibrated(small("conv_bn_relu"))
    (conv,) = [p for p in int8_parts(net.graph, net.plan, []) if p.name == "1.0"]
    assert conv.layers == ("conv2d_1",)
    assert conv.tensors == (
        "conv2d",
        "relu",
    )  # it reads the convolution before it; between conv2d_1 and relu is nothing


# What is int8


@pytest.mark.parametrize("name", ["stem.0", "gate.branch", "conv2d_default", "head", *BLOCKS])
def test_only_the_part_is_int8_with_the_plan_s_parameters(
    calibrated: Calibrated, parts: dict[str, Int8Part], name: str
) -> None:
    part = parts[name]
    found = quant_table(quantize_part(calibrated, part))
    known = calibrated.plan.activations
    assert found.activations == {n: (known[n].scale[0], known[n].zero_point[0]) for n in part.tensors}
    assert sorted(found.layers) == sorted(part.layers)


def test_int8_of_one_layer_changes_the_output(
    calibrated: Calibrated, parts: dict[str, Int8Part], built: Built, seen: Tensor
) -> None:
    for part in parts.values():
        assert distance(quantize_part(calibrated, part), built.ready, seen) > 0, part.name


def test_int8_of_all_layers_and_tensors_is_the_quantized_graph(calibrated: Calibrated, seen: Tensor) -> None:
    everything = Int8Part("all", tuple(calibrated.plan.weights), tuple(calibrated.plan.activations))
    quantized = apply_plan(calibrated.corrected, calibrated.plan)
    assert distance(quantize_part(calibrated, everything), quantized, seen) == 0


def test_int8_of_nothing_is_the_float_graph(calibrated: Calibrated, built: Built, seen: Tensor) -> None:
    assert distance(quantize_part(calibrated, Int8Part("none", (), ())), built.ready, seen) == 0


def test_biases_are_corrected_only_where_it_is_int8(calibrated: Calibrated, parts: dict[str, Int8Part]) -> None:
    part = parts["grouped"]
    shifted = copy.deepcopy(calibrated.corrected)
    for bias in biases(shifted).values():
        bias.data += 1.0
    now = biases(quantize_part(dataclasses.replace(calibrated, corrected=shifted), part))
    for name, before in biases(calibrated.graph).items():
        expected = biases(shifted)[name] if name in part.layers else before
        assert torch.allclose(now[name], expected, atol=1e-3), name  # rounded to steps of input scale x weight scale


def test_the_float_graph_stays_as_it_is(calibrated: Calibrated, parts: dict[str, Int8Part], seen: Tensor) -> None:
    before = calibrated.graph(seen)
    quantize_part(calibrated, parts["gate"])
    assert torch.equal(calibrated.graph(seen), before)


# What it costs


def test_there_is_one_row_a_part(calibrated: Calibrated, parts: dict[str, Int8Part], probe: Probe) -> None:
    rows = measure_int8(calibrated, BLOCKS, probe, Context())
    assert [r.part for r in rows] == list(parts)
    assert {(r.what, r.keep) for r in rows} == {("int8", 1.0)}
    head = rows[-1]
    assert (head.accuracy, head.loss) == judge(quantize_part(calibrated, parts["head"]), probe)


def test_a_layer_with_hopeless_parameters_is_the_one_that_loses(calibrated: Calibrated, probe: Probe) -> None:
    plan = calibrated.plan
    coarse = QuantParams((1e4,), (0,))  # every logit is rounded to 0, and the first class wins: 10 of 100 images
    (output,) = [n.args[0][0].name for n in calibrated.graph.graph.nodes if n.op == "output"]  # type: ignore[union-attr,index]
    hopeless = dataclasses.replace(plan, activations={**plan.activations, output: coarse})
    rows = measure_int8(dataclasses.replace(calibrated, plan=hopeless), [], probe, Context())
    whole, _ = judge(calibrated.graph, probe)
    assert rows[-1].accuracy == 0.1
    assert all(r.accuracy > whole - 0.1 for r in rows[:-1])
