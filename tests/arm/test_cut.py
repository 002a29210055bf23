"""Files cut off after each of their layers: what stands in a cut, and that it computes what the file computes there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from arm.bench_nets import SIDE, chain, gated, silu_net

from attendc.arm.measure.cut import Cuttable
from attendc.converters.tflite_schema import op_name, read_model
from attendc.tflite_check import check_tflite

X = np.random.default_rng(0).integers(-128, 128, (1, SIDE, SIDE, 16)).astype(np.int8)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """Return a file of first, silu, second, and the sum of first and second."""
    return silu_net(tmp_path)


def names(path: Path) -> tuple[list[str], list[str], list[str]]:
    """Return the operators of a file, and the names of its inputs and outputs."""
    model = read_model(path)
    graph = model.subgraphs[0]
    inputs, outputs = ([graph.tensors[int(i)].name.decode() for i in side] for side in (graph.inputs, graph.outputs))
    return [op_name(model, operator) for operator in graph.operators], inputs, outputs


def computed(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Run a file on x86 and return every tensor by its name."""
    interpreter = Interpreter(
        str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    for told in interpreter.get_input_details():
        interpreter.set_tensor(told["index"], given[told["name"]])
    interpreter.invoke()
    return {told["name"]: interpreter.get_tensor(told["index"]) for told in interpreter.get_tensor_details()}


def test_a_product_with_its_own_sigmoid_is_one_layer(net: Path) -> None:
    cuttable = Cuttable(net)
    assert [(op.kind, op.index) for op in cuttable.layers] == [
        ("CONV_2D", (0,)),
        ("SILU", (1, 2)),
        ("CONV_2D", (3,)),
        ("ADD", (4,)),
    ]
    assert [cuttable.shape(op) for op in cuttable.layers] == [(1, SIDE, SIDE, 16)] * 4


def test_a_cut_gives_back_whatever_is_read_after_it(net: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tflite"
    found = []
    for end in range(1, 5):
        Cuttable(net).write(cut, end)
        found.append(names(cut))
    assert found == [
        (["CONV_2D"], ["x"], ["first"]),
        (["CONV_2D", "LOGISTIC", "MUL"], ["x"], ["first", "silu"]),  # the sum reads first
        (["CONV_2D", "LOGISTIC", "MUL", "CONV_2D"], ["x"], ["first", "second"]),
        (["CONV_2D", "LOGISTIC", "MUL", "CONV_2D", "ADD"], ["x"], ["sum"]),
    ]


def test_a_cut_computes_what_the_file_computes(net: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tflite"
    Cuttable(net).write(cut, 3)
    check_tflite(cut)
    whole, part = computed(net, {"x": X}), computed(cut, {"x": X})
    assert len(np.unique(whole["second"])) > 100
    assert np.array_equal(part["first"], whole["first"])
    assert np.array_equal(part["second"], whole["second"])


def test_a_cut_leaves_the_file_as_it_was(net: Path, tmp_path: Path) -> None:
    cuttable = Cuttable(net)
    for end in (1, 2, 4):
        cuttable.write(tmp_path / f"{end}.tflite", end)
    content = net.read_bytes()
    assert names(tmp_path / "4.tflite") == names(net)
    assert net.read_bytes() == content


def test_parts_begin_where_one_tensor_goes_on(tmp_path: Path) -> None:
    # Nine convolutions in a row: parts of three, the square root. In silu_net two tensors go on at every place. In
    # gated the product reads the input again, and only the product goes on to the last of four layers.
    assert Cuttable(chain(tmp_path, 9)).parts() == [(0, 3), (3, 6), (6, 9)]
    assert Cuttable(silu_net(tmp_path)).parts() == [(0, 4)]
    assert Cuttable(gated(tmp_path, "SOFTMAX")).parts() == [(0, 3), (3, 4)]


def test_a_part_computes_its_layers_of_the_file(tmp_path: Path) -> None:
    net, part = chain(tmp_path, 9), tmp_path / "part.tflite"
    Cuttable(net).write(part, 5, first=3)
    assert names(part) == (["CONV_2D"] * 2, ["conv3"], ["conv5"])
    whole = computed(net, {"x": X})
    assert np.array_equal(computed(part, {"conv3": whole["conv3"]})["conv5"], whole["conv5"])
