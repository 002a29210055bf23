"""Files are timed and counted on made-up inputs: of every type, and of one image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from attendc.arm.guest import work
from attendc.arm.measure.timing import TimeOptions, time_job

TYPES = onnx.TensorProto


def told_of(folder: Path, node: str, kind: int, shape: list[int | str]) -> dict[str, Any]:
    """Return what guest/work.py answers to an ONNX file of one node of x."""
    x = onnx.helper.make_tensor_value_info("x", kind, shape)
    y = onnx.helper.make_tensor_value_info("y", kind, None)
    inputs = ["x", "x"] if node == "Add" else ["x"]
    graph = onnx.helper.make_graph([onnx.helper.make_node(node, inputs, ["y"])], "one", [x], [y])
    path = folder / "one.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8), path)
    (folder / "job").write_text(json.dumps(time_job([str(path)], ["onnx"], TimeOptions(warmup=0, runs=6))))
    work.main(str(folder / "job"), str(folder / "results"))
    answer: dict[str, Any] = json.loads((folder / "results").read_text().splitlines()[-1])
    return answer


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        ("Relu", TYPES.FLOAT),
        ("Relu", TYPES.FLOAT16),
        ("Relu", TYPES.DOUBLE),
        ("Relu", TYPES.INT8),
        ("Add", TYPES.UINT8),
        ("Add", TYPES.INT64),
        ("Not", TYPES.BOOL),
    ],
)
def test_inputs_of_every_type(tmp_path: Path, node: str, kind: int) -> None:
    assert len(told_of(tmp_path, node, kind, [1, 8])["milliseconds"]) == 6


def test_a_free_batch_is_one_image(tmp_path: Path) -> None:
    assert len(told_of(tmp_path, "Relu", TYPES.FLOAT, ["N", 3, 8, 8])["milliseconds"]) == 6


def test_other_free_sizes_are_refused_since_the_time_depends_on_them(tmp_path: Path) -> None:
    told = told_of(tmp_path, "Relu", TYPES.FLOAT, ["N", 3, "H", "W"])
    assert told["error"] == "ValueError: input x has free sizes, ['N', 3, 'H', 'W']: give the file one size of image"
