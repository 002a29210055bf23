"""Every operator with an int8 rule: integer in TFLite, close to its graph everywhere, and as docs/operators.md says.

Each specimen is quantized once and goes to all targets. With ATTENDC_WRITE_DOCS=1 the tests write their rows of the
page instead of comparing them (not in several processes at once).
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from pathlib import Path

import pytest
import torch
from layout_nets import LAYOUTS, layout_net
from nets import FLOAT_MIDDLES, MIDDLES, STAMP, Built, build, small
from torch import Tensor, fx, nn

from attendc.compress.capture import capture
from attendc.compress.passes import INT8_PASSES, run_passes
from attendc.compress.tensors import check_supported, unsupported
from attendc.converters.read_onnx import inspect_onnx, load_onnx, onnx_quant_table
from attendc.converters.read_tflite import inspect_tflite, tflite_quant_table
from attendc.converters.read_torchscript import inspect_torchscript
from attendc.converters.tflite_dynamic import float_activations
from attendc.converters.tflite_int16 import check_kernels, widen_activations
from attendc.converters.tflite_layout import permutes
from attendc.converters.tflite_pools import is_mean_of_image
from attendc.converters.tflite_schema import op_name, read_model, write_model
from attendc.converters.to_onnx import write_onnx
from attendc.converters.to_tflite import write_tflite
from attendc.converters.to_torchscript import write_torchscript
from attendc.derived import dynamic_graph, int16_graph
from attendc.errors import ConversionError
from attendc.qdq import output_params, quant_table
from attendc.read_back import unequal_layers
from attendc.runtimes import onnx_runner, tflite_runner, torchscript_runner

PAGE = Path(__file__).parent.parent.parent / "docs" / "operators.md"
WRITE = os.environ.get("ATTENDC_WRITE_DOCS") == "1"

TITLES = {
    "conv_bn_relu": "convolution, batch norm, ReLU",
    "conv_relu6": "convolution, ReLU6",
    "depthwise": "depthwise convolution, ReLU",
    "grouped": "grouped convolution, stride 2",
    "silu": "SiLU",
    "hardswish": "HardSwish",
    "sigmoid_gate": "sigmoid, as a gate",
    "softmax_gate": "softmax over channels, as a gate",
    "hardsigmoid_gate": "hard-sigmoid, as a gate",
    "residual": "sum of two tensors, ReLU",
    "concat": "concatenation of convolutions",
    "max_pool": "max pool",
    "average_pool": "average pool, padded",
    "norm_after_pool": "batch norm behind a pool",
    "dropout": "dropout",
    "relu6_as_function": "sum, ReLU6",
    "clamp": "clamp(0, 6)",
    "numbers": "product and sum with numbers",
    "activations": "leaky ReLU, tanh, GELU (erf and tanh)",
    "prelu": "PReLU",
    "elu": "ELU",
    "clamps": "clamp and hardtanh to other limits",
    "arithmetic": "differences, division by a constant, squares, x / sqrt(y)",
    "norms": "layer norm of channels, group norm, instance norm",
    "group_norm": "group norm, ReLU",
    "border_pools": "average pools without the padding, rounded up",
    "adaptive_pools": "adaptive average and max pools to any size",
    "reductions": "mean and maximum over positions or channels",
    "fixed_beside_own": "concatenation with a sigmoid, slice",
    "nearest": "nearest resize to sizes and by factors",
    "bilinear": "bilinear resize, with and without aligned corners",
    "pool_twice": "one pool read twice",
    "self_attention": "masked self-attention",
    "transformer_block": "torch.nn.TransformerEncoderLayer",
    "class_token": "class token and learned positions",
    "windows": "attention in shifted windows (roll, permute, bias by position)",
    "channel_shuffle": "split into halves, channel shuffle",
    "pixel_shuffles": "pixel unshuffle and shuffle",
    "transposed": "transposed convolution, grouped, with batch norm and ReLU",
    "sequence": "convolution of a sequence",
    "pads": "pads: reflected, replicated, circular, by a number",
    "erf": "erf",
    "cubes": "x ** 3",
}
"""Specimen -> its name on the page."""

HEADER = ("operator", "int8 LiteRT", "ONNX Runtime", "TorchScript", "int16 LiteRT")
SPECIMENS = [*MIDDLES, *LAYOUTS]
NO_INT16_KERNEL = {"hardswish": "HARD_SWISH"}
FRAME = Counter({"DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1})
"""What stands around a specimen: a convolution of one channel, a linear layer, and before it a global pool."""


def specimen(name: str) -> nn.Module:
    return layout_net(name) if name in LAYOUTS else small(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECIMENS)
def test_an_operator_is_integer_and_close_to_its_graph_everywhere(
    name: str, samples: list[Tensor], seen: Tensor, tmp_path: Path
) -> None:
    one = build(specimen(name), samples, tmp_path)
    kernels = check_tflite(name, one, seen, tmp_path / "tflite")
    int16 = check_int16(name, tmp_path / "tflite", int16_graph(one.quantized), seen)
    check_dynamic(tmp_path / "tflite", dynamic_graph(one.quantized), seen, output_params(one.quantized.graph)[0])
    onnx, script = check_onnx(one, seen, tmp_path / "onnx"), check_torchscript(one, seen, tmp_path / "script")
    check_row(name, kernels, onnx, script, int16)


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOAT_MIDDLES)
def test_an_operator_without_a_kernel_is_refused_with_its_reason(name: str) -> None:
    graph = run_passes(capture(small(name), STAMP.preprocess), INT8_PASSES).graph
    (one,) = unsupported(graph)
    with pytest.raises(ConversionError, match=r"^1 operations cannot be int8"):
        check_supported(graph)
    check_row(name, f"refused: {one.reason}", "float", "float", "float")


def test_the_page_has_a_row_for_each_specimen_and_no_other() -> None:
    assert set(TITLES) == {*SPECIMENS, *FLOAT_MIDDLES}
    assert sorted(rows()) == sorted(TITLES.values())


def off(run: object, graph: fx.GraphModule, x: Tensor) -> float:
    """Return the largest difference in steps of the graph's output."""
    with torch.no_grad():
        return float((run(x) - graph(x)).abs().max()) / output_params(graph.graph)[0]  # type: ignore[operator]


def check_tflite(name: str, one: Built, seen: Tensor, path: Path) -> str:
    """Check the int8 file, and return its kernels without those of the frame."""
    write_tflite(path, one.quantized, STAMP)
    facts = inspect_tflite(path)
    assert (facts["float_ops"], facts["inner_quantize_ops"]) == (0, 0)
    assert facts["transposes"] <= permutes(one.quantized)
    assert name in LAYOUTS or facts["transposes"] == 0
    assert off(tflite_runner(path), one.quantized, seen) <= 2.01
    table = tflite_quant_table(path)
    assert set(table.activations.values()) == set(quant_table(one.quantized).activations.values())
    own = Counter(facts["ops"]) - FRAME - global_pool(path)
    return ", ".join(f"{count} {op}" if count > 1 else op for op, count in sorted(own.items())) or "nothing"


def global_pool(path: Path) -> Counter[str]:
    """Return the last mean of images: MEAN of more than 25 pixels, else a depthwise convolution."""
    model = read_model(path)
    operators = reversed(model.subgraphs[0].operators)
    pools = (o for o in operators if is_mean_of_image(model, o) or op_name(model, o) == "DEPTHWISE_CONV_2D")
    return Counter(op_name(model, o) for o in itertools.islice(pools, 1))


def check_int16(name: str, int8: Path, graph: fx.GraphModule, seen: Tensor) -> str:
    """Of the same file with int16 activations: four of its steps, or a refusal."""
    model, path = read_model(int8), int8.with_suffix(".int16")
    widen_activations(model)
    write_model(path, model)
    if name in NO_INT16_KERNEL:
        with pytest.raises(ConversionError, match=f"no int16 kernel for {NO_INT16_KERNEL[name]}"):
            check_kernels(path)
        return f"no {NO_INT16_KERNEL[name]}"
    check_kernels(path)
    assert name in LAYOUTS or off(tflite_runner(path), graph, seen) <= 4.01
    expected, found = quant_table(graph), tflite_quant_table(path)
    assert set(found.activations.values()) == set(expected.activations.values())
    assert unequal_layers(expected, found) == ""
    return "yes"


def check_dynamic(int8: Path, graph: fx.GraphModule, seen: Tensor, step: float) -> None:
    """Of the same file with float activations: a step of the int8 file's output."""
    model, path = read_model(int8), int8.with_suffix(".dynamic")
    float_activations(model)
    write_model(path, model)
    with torch.no_grad():
        assert (tflite_runner(path)(seen) - graph(seen)).abs().max() <= 1.01 * step
    assert unequal_layers(quant_table(graph), tflite_quant_table(path)) == ""


def check_onnx(one: Built, seen: Tensor, path: Path) -> str:
    """Check the QDQ file, and return the operators that onnxruntime computes in float."""
    assert write_onnx(path, one.quantized, STAMP, layers=quant_table(one.quantized).layers) == []
    assert off(onnx_runner(path), one.quantized, seen) <= 2.01
    assert onnx_quant_table(path).layers == quant_table(one.quantized).layers
    kinds = {node.name: node.op_type for node in load_onnx(path).graph.node}
    return in_float(kinds[name] for name in inspect_onnx(path)["float_op_names"])


def check_torchscript(one: Built, seen: Tensor, path: Path) -> str:
    """Check the TorchScript file, and return the operators that have no quantized kernel."""
    write_torchscript(path, one.quantized, STAMP)
    assert off(torchscript_runner(path), one.quantized, seen) <= 2.01
    return in_float(told.split(" %")[0] for told in inspect_torchscript(path)["float_op_names"])


def in_float(names: object) -> str:
    found = sorted(set(names))  # type: ignore[call-overload]
    return f"float: {', '.join(found)}" if found else "integer"


def check_row(name: str, *columns: str) -> None:
    """Compare a row of the page, or write it."""
    row = [TITLES[name], *columns]
    if not WRITE:
        assert rows()[row[0]] == row
        return
    found = {**rows(), row[0]: row}
    order = [title for title in TITLES.values() if title in found]
    head = PAGE.read_text().split("\n| ", 1)[0].rstrip()
    first, *others = [[*HEADER], *(found[title] for title in order)]
    lines = [f"| {' | '.join(cells)} |" for cells in others]
    PAGE.write_text("\n".join([head, "", f"| {' | '.join(first)} |", "|-" * len(HEADER) + "|", *lines, ""]))


def rows() -> dict[str, list[str]]:
    """Return the cells of each row of the page's table by their first."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]
    return {row[0]: row for row in cells}
