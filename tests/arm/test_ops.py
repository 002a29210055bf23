"""The operators that the runtime carries out, from small files whose counts show what is folded."""

from __future__ import annotations

from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema
from arm.cost_nets import NETS, Net, add, silu
from arm_costs.plain import PLAIN

from attendc.arm.ops import SILU, Op, ops_of_model, ops_of_tflite
from attendc.errors import CheckpointError


def kinds(net: Net) -> list[str]:
    return [op.kind for op in ops_of_model(net.finished())]


def test_a_convolution_of_columns() -> None:
    net = Net("int8", (1, 12, 20, 40))
    net.conv(24, (3, 1), groups=4, stride=(2, 1))
    (op,) = ops_of_model(net.finished())
    assert op == Op("CONV_2D", "int8", 40, 24, 4, (3, 1), (2, 1), 6, 20, op.name, (0,))
    assert op.macs == 6 * 20 * 24 * 3 * (40 // 4)  # outputs, and for each 3 taps of the 10 channels of its column


def test_depthwise_has_a_group_a_channel() -> None:
    net = Net("float32", (1, 8, 8, 12))
    net.depthwise((5, 5), (2, 2))
    (op,) = ops_of_model(net.finished())
    assert (op.kind, op.dtype, op.groups, op.kernel, op.height) == ("DEPTHWISE_CONV_2D", "float32", 12, (5, 5), 4)
    assert op.macs == 4 * 4 * 12 * 25


@pytest.mark.parametrize(("shape", "pixels"), [((1, 30), 1), ((1, 7, 30), 7), ((2, 3, 5, 30), 30)])
def test_a_linear_layer_works_on_all_axes_but_the_last(shape: tuple[int, ...], pixels: int) -> None:
    net = Net("int8", shape)
    net.linear(10)
    (op,) = ops_of_model(net.finished())
    assert (op.inputs, op.outputs, op.pixels, op.macs) == (30, 10, pixels, pixels * 300)


def test_int8_silu_is_one_look_up_and_float_is_two_operators() -> None:
    net, floating = Net("int8", (1, 4, 4, 8)), Net("float32", (1, 4, 4, 8))
    silu(net)
    silu(floating)
    (op,) = ops_of_model(net.finished())
    assert (op.kind, op.index, op.macs, op.broadcast) == (SILU, (0, 1), 0, "")
    assert kinds(floating) == ["LOGISTIC", "MUL"]


def test_a_sigmoid_that_something_else_reads_is_no_silu() -> None:
    net = Net("int8", (1, 4, 4, 8))
    silu(net)
    sigmoid = int(net.graph.operators[0].outputs[0])
    add(net, net.last, sigmoid)
    assert kinds(net) == ["LOGISTIC", "MUL", "ADD"]


def test_a_gate_by_the_sigmoid_of_something_else_is_no_silu() -> None:
    net = Net("int8", (1, 4, 4, 8))
    x = net.last
    net.conv(8)
    PLAIN["LOGISTIC"][1](net)
    net.op("MUL", [x, net.last], net.tensor(net.shape(x)), schema.MulOptionsT())
    assert kinds(net) == ["CONV_2D", "LOGISTIC", "MUL"]


def test_a_pad_is_part_of_the_convolution_behind_it() -> None:
    net = Net("int8", (1, 4, 4, 8))
    PLAIN["PAD"][1](net)
    net.conv(8, (3, 3), same=False)
    (op,) = ops_of_model(net.finished())
    assert (op.kind, op.index, op.height) == ("CONV_2D", (0, 1), 4)


def test_a_pad_copies_before_a_pool_before_more_padding_and_for_two_readers() -> None:
    pooled, padded, read_twice = (Net("int8", (1, 4, 4, 8)) for _ in range(3))
    for net in (pooled, padded, read_twice):
        PLAIN["PAD"][1](net)
    pooled.pool("MAX_POOL_2D", 3, 1, same=False)
    padded.conv(8, (3, 3))
    both = read_twice.last
    add(read_twice, read_twice.conv(8, (3, 3), same=False), read_twice.conv(8, (3, 3), same=False, source=both))
    assert kinds(pooled) == ["PAD", "MAX_POOL_2D"]
    assert kinds(padded) == ["PAD", "CONV_2D"]
    assert kinds(read_twice) == ["PAD", "CONV_2D", "CONV_2D", "ADD"]


@pytest.mark.parametrize("broadcast", ["", "pixel", "channel", "all"])
def test_what_the_smaller_of_two_inputs_has_a_number_for(broadcast: str) -> None:
    net = Net("int8", (1, 4, 6, 8))
    PLAIN[f"MUL {broadcast}".strip()][1](net)
    (op,) = ops_of_model(net.finished())
    assert (op.broadcast, op.elements) == (broadcast, 4 * 6 * 8)


def test_a_quantizer_is_told_by_what_it_takes() -> None:
    to_int8, again, back = Net("float32", (1, 2, 2, 3)), Net("int8", (1, 2, 2, 3)), Net("int8", (1, 2, 2, 3))
    PLAIN["QUANTIZE"][1](to_int8)
    PLAIN["QUANTIZE"][1](again)
    PLAIN["DEQUANTIZE"][1](back)
    found = [ops_of_model(net.finished())[0] for net in (to_int8, again, back)]
    assert [op.dtype for op in found] == ["float32", "int8", "int8"]


def test_a_mean_looks_at_the_whole_image() -> None:
    net = Net("int8", (1, 5, 7, 8))
    PLAIN["MEAN"][1](net)
    (op,) = ops_of_model(net.finished())
    assert (op.kernel, op.pixels, op.outputs) == ((5, 7), 1, 8)


def test_each_operator_of_a_file_stands_in_one_op(tmp_path: Path) -> None:
    net = NETS["columns"]()
    ops = ops_of_tflite(net.write(tmp_path / "net.tflite"))
    assert sorted(i for op in ops for i in op.index) == list(range(len(net.graph.operators)))


def test_a_file_that_is_no_network(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(b"not a network")
    with pytest.raises(CheckpointError, match="is no TFLite file"):
        ops_of_tflite(path)


def test_a_damaged_file(tmp_path: Path) -> None:
    net = Net("int8", (1, 4, 4, 8))
    net.conv(8)
    net.graph.operators[0].inputs = [999]
    with pytest.raises(CheckpointError, match="is damaged"):
        ops_of_tflite(net.write(tmp_path / "net.tflite"))
