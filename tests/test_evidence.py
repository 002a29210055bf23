"""Errors and ranges by layer, agreement, and the images that float and int8 call differently; numbers by hand.

The network by hand is one convolution over two pixels, x -> (x0, x0 / 2 - x1 / 4), whose pixels are 0 or 1. In int8
its weights have scales of 1/64 and 3/8, so that the second row becomes (3/8, -3/8); its output has a scale of 1/8 and a
zero point of 121, so that nothing above (127 - 121) / 8 = 3/4 can be said:

    x        float          int8
    (0, 0)   (0, 0)         (0, 0)
    (1, 0)   (1, 1/2)       (3/4, 3/8)
    (0, 1)   (0, -1/4)      (0, -3/8)
    (1, 1)   (1, 1/4)       (3/4, 0)
"""

from __future__ import annotations

import copy
import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from nets import SMALL, Built, reloaded
from torch import fx, nn
from two_pixels import TWO_PIXELS, evidence, four_images, logits, two_pixels

from attendc.compress.capture import capture
from attendc.compress.passes import INT8_PASSES, run_passes
from attendc.compress.plan import QuantPlan, apply_plan
from attendc.compress.tensors import quantized_nodes
from attendc.context import Context
from attendc.data.images import Dataset, Images, evenly
from attendc.data.preprocess import batches
from attendc.evidence import gather_evidence
from attendc.layer_spread import MOST_IMAGES
from attendc.metrics import sqnr_db
from attendc.parity import Candidate, Gates, verify
from attendc.qdq import layer_nodes
from attendc.types import QuantParams

pytestmark = pytest.mark.slow  # graphs are run and looked into


@pytest.fixture(scope="module")
def four() -> Images:
    """Return the four images."""
    return four_images()


def by_hand(net: nn.Module) -> fx.GraphModule:
    ready = run_passes(capture(net, TWO_PIXELS), INT8_PASSES)
    tensors = {n.name: QuantParams((0.125,), (121,)) for n in quantized_nodes(ready.graph)}
    tensors[next(iter(tensors))] = QuantParams((1 / 64,), (-128,))  # the input
    layer = next(n.name for n in ready.graph.nodes if n.target is torch.ops.aten.conv2d.default)
    return apply_plan(ready, QuantPlan(tensors, {layer: QuantParams((1 / 64, 0.375), (0, 0), -127, 127, 0)}))


@pytest.fixture(scope="module")
def found(four: Images) -> dict[str, Any]:
    """Return the evidence of the network by hand."""
    net = two_pixels()
    return evidence(net, by_hand(net), four)


def counts(**bins: int) -> list[int]:
    """Return 40 counts: `_8=3` is three values in bin 8."""
    return [bins.get(f"_{i}", 0) for i in range(40)]


# Layers


def test_the_error_of_a_layer_is_that_by_hand(found: dict[str, Any]) -> None:
    signal = 1 + 1 / 4 + 1 / 16 + 1 + 1 / 16
    noise = (1 / 4) ** 2 + (1 / 8) ** 2 + (1 / 8) ** 2 + (1 / 4) ** 2 + (1 / 4) ** 2
    assert found["layers"] == [
        {"layer": "0", "op": "conv2d", "sqnr_db": round(10 * math.log10(signal / noise), 2), "shape": [2, 1, 1]}
    ]
    assert found["layers"][0]["sqnr_db"] == 10.36


def test_a_layer_without_error_has_999_decibels(four: Images) -> None:
    """Of the first image only zeros come out."""
    net = two_pixels()
    assert evidence(net, by_hand(net), evenly(four, 1))["layers"][0]["sqnr_db"] == 999


def test_the_last_layer_has_the_error_of_the_outputs(built: Built, mini: Dataset) -> None:
    images = evenly(mini.test, 2 * MOST_IMAGES)
    last = evidence(built.net, built.quantized, images, SMALL)["layers"][-1]
    x, _ = next(batches(images, SMALL, batch_size=MOST_IMAGES))  # the first ones
    with torch.no_grad():
        expected = sqnr_db(built.net(x), built.quantized(x.contiguous()))
    assert (last["layer"], last["op"], last["shape"]) == ("head", "linear", [10])
    assert last["sqnr_db"] == pytest.approx(expected, abs=0.02)


def test_layers_are_those_of_the_network_in_order(built: Built, mini: Dataset) -> None:
    rows = evidence(built.net, built.quantized, evenly(mini.test, 8), SMALL)["layers"]
    assert [(row["layer"], row["op"]) for row in rows] == [
        ("stem.0", "conv2d+relu"),
        ("depthwise.0", "conv2d+hardtanh"),
        ("add", "add"),
        ("sigmoid", "sigmoid"),
        ("mul", "mul"),
        ("gate.branch", "conv2d"),
        ("gate.gate", "sigmoid"),
        ("gate", "mul"),
        ("max_pool2d", "max_pool2d"),
        ("concat.left", "conv2d"),
        ("concat.right", "conv2d"),
        ("concat", "cat"),
        ("grouped", "conv2d"),
        ("conv2d_6", "conv2d"),  # pools in the network itself, as convolutions
        ("conv2d_7", "conv2d"),
        ("head", "linear"),
    ]
    assert all(10 < row["sqnr_db"] < 999 for row in rows)


@pytest.mark.parametrize("source", ["captured", "read from a file"])
def test_a_captured_network_gives_the_same_as_the_module(
    built: Built, mini: Dataset, tmp_path: Path, source: str
) -> None:
    images = evenly(mini.test, 8)
    graph = capture(built.net, SMALL) if source == "captured" else reloaded(built.floating, tmp_path)
    before = copy.deepcopy(graph).code
    first, second = (evidence(n, built.quantized, images, SMALL) for n in (built.net, graph))
    assert first == second
    assert graph.code == before  # what was handed in is left as it is


def test_every_layer_with_weights_tells_of_them(built: Built, mini: Dataset) -> None:
    rows = evidence(built.net, built.quantized, evenly(mini.test, 8), SMALL)["ranges"]
    weights = [row["weight"] for row in rows if row["weight"]]
    assert len(weights) == len(layer_nodes(built.quantized.graph))
    for weight in weights:  # PTQ: the largest of a channel is 127 steps
        assert max(weight["max"], -weight["min"]) == pytest.approx(127 * max(weight["scale"]), rel=1e-6)


def test_names_of_layers_are_told_apart(four: Images) -> None:
    net = two_pixels(nn.SiLU(), nn.SiLU())
    graph = run_passes(capture(net, TWO_PIXELS), INT8_PASSES)
    names = [n.name for n in quantized_nodes(graph.graph)]
    layer = next(n.name for n in graph.graph.nodes if n.target is torch.ops.aten.conv2d.default)
    plan = QuantPlan(
        {n: QuantParams((1 / 64,), (0,)) for n in names},
        {layer: QuantParams((1 / 64, 1 / 64), (0, 0), -127, 127, 0)},
    )
    rows = evidence(net, apply_plan(graph, plan), four)["ranges"]
    assert [row["layer"] for row in rows] == ["input", "0", "1 (sigmoid)", "1 (mul)", "2 (sigmoid)", "2 (mul)"]


def test_where_operators_differ_layers_are_known_by_their_modules(four: Images, found: dict[str, Any]) -> None:
    """The float network has one more at its end, which the int8 graph does not know."""
    other = evidence(two_pixels(nn.Hardswish()), by_hand(two_pixels()), four)
    assert other["layers"] == found["layers"]
    assert other["ranges"] == found["ranges"]


def test_an_int8_graph_is_no_float_network(four: Images) -> None:
    graph = by_hand(two_pixels())
    shown = evidence(graph, graph, four)
    assert (shown["layers"], shown["ranges"]) == ([], [])


def test_a_tensor_with_infinite_values_is_left_out(four: Images) -> None:
    net = two_pixels()
    graph = by_hand(net)
    net[0].weight.data[0, 0, 0, 0] = math.inf
    shown = evidence(net, graph, four)
    assert [row["layer"] for row in shown["ranges"]] == ["input"]


# Ranges


def test_ranges_are_those_by_hand(found: dict[str, Any]) -> None:
    entry, layer = found["ranges"]
    ends = {"min": -0.25, "max": 1.0, "edges": [-0.25 + i / 32 for i in range(41)]}
    assert layer == {
        "layer": "0",
        "weight": {
            **ends,  # -1/4, 0, 1/2 and 1, in parts of 1/32
            "counts": counts(_0=1, _8=1, _24=1, _39=1),
            "scale": [1 / 64, 0.375],
            "zero_point": 0,
            "clipped": 0.0,
        },
        "activation": {
            **ends,
            "counts": counts(_0=1, _8=3, _16=1, _24=1, _39=2),
            "scale": 0.125,
            "zero_point": 121,
            "clipped": 2 / 8,
        },
    }
    assert (entry["layer"], entry["weight"]) == ("input", None)
    assert entry["activation"]["counts"] == counts(_0=4, _39=4)
    assert (entry["activation"]["scale"], entry["activation"]["zero_point"]) == (1 / 64, -128)
    assert entry["activation"]["clipped"] == 0


def test_values_below_the_range_are_clipped_too(four: Images) -> None:
    """With a zero point of -128 nothing below 0 can be said: that is one value of eight."""
    net = two_pixels()
    graph = by_hand(net)
    for node in graph.graph.nodes:
        node.args = tuple(-128 if a == 121 else a for a in node.args)
    graph.recompile()
    assert evidence(net, graph, four)["ranges"][1]["activation"]["clipped"] == 1 / 8


def test_what_rounds_to_the_end_of_the_range_is_not_clipped(four: Images) -> None:
    """The range ends at 6/8 in steps of 1/8: 0.8 is nearer to it than to the step beyond, 1.0 is not."""
    net = two_pixels()
    graph = by_hand(net)
    net[0].weight.data[net[0].weight == 1.0] = 0.8
    assert evidence(net, graph, four)["ranges"][1]["activation"]["clipped"] == 0


def test_weights_that_int8_cannot_say_are_counted(four: Images) -> None:
    """The scale of the first row allows 127/64; the float weight is 2 there, that of one value in four."""
    net = two_pixels()
    graph = by_hand(net)
    net[0].weight.data[0, 0, 0, 0] = 2.0
    assert evidence(net, graph, four)["ranges"][1]["weight"]["clipped"] == 1 / 4


def test_a_tensor_of_one_value_has_a_histogram(four: Images) -> None:
    net = two_pixels()
    activation = evidence(net, by_hand(net), evenly(four, 1))["ranges"][0]["activation"]
    assert (activation["min"], activation["max"], sum(activation["counts"])) == (0, 0, 2)
    assert len(activation["edges"]) == 41
    assert all(a < b for a, b in pairwise(activation["edges"]))


def test_only_some_images_are_looked_at(mini: Dataset, built: Built) -> None:
    for given, seen in ((3, 3), (MOST_IMAGES + 9, MOST_IMAGES)):
        entry = evidence(built.net, built.quantized, evenly(mini.test, given), SMALL)["ranges"][0]
        assert sum(entry["activation"]["counts"]) == seen * 64


# Agreement


def test_agreement_is_measured_on_the_images_that_both_saw(four: Images) -> None:
    shown = evidence(two_pixels(), None, four, float=logits(0, 1, 2, 0), tflite=logits(0, 1, 1, 0), seen=logits(1, 1))
    assert shown["agreement"] == {
        "names": ["float", "tflite", "seen"],
        "matrix": [[1.0, 0.75, 0.5], [0.75, 1.0, 0.5], [0.5, 0.5, 1.0]],
        "images": [[4, 4, 2], [4, 4, 2], [2, 2, 2]],
    }


def test_without_a_quantized_graph_there_are_no_layers(four: Images) -> None:
    outputs = {"float": logits(0, 1, 2, 0), "onnx_float32": logits(0, 1, 2, 0)}
    shown = evidence(two_pixels(), None, four, **outputs)
    assert (shown["layers"], shown["ranges"]) == ([], [])
    assert shown["agreement"]["matrix"] == [[1.0, 1.0], [1.0, 1.0]]
    assert shown["disagreements"] == {"of": 0, "total": 0, "shown": []}


def test_the_outputs_of_verification_are_those_it_judged(built: Built, mini: Dataset, files: dict[str, Path]) -> None:
    images = evenly(mini.test, 20)
    given: dict[str, Any] = {
        "network": built.net,
        "graph": built.quantized,
        "images": images,
        "preprocess": SMALL,
        "gates": Gates(0, 100),
        "context": Context(),
    }
    candidates = [Candidate("onnx", "int8", files["onnx"])]
    report, outputs = verify(candidates, **given)
    assert report == verify(candidates, **given)[0]
    assert {name: tuple(o.shape) for name, o in outputs.items()} == dict.fromkeys(("float", "graph", "onnx"), (20, 10))
    shown = gather_evidence(
        network=built.net,
        graph=built.quantized,
        outputs=outputs,
        images=images,
        preprocess=SMALL,
        labels=mini.labels,
        context=Context(),
    )
    names = shown["agreement"]["names"]
    for pair in report.pairs:
        assert shown["agreement"]["matrix"][names.index(pair.a)][names.index(pair.b)] == pair.top1_agreement
    assert json.loads(json.dumps(shown)) == shown
