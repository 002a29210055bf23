"""The cores as data, and that files run on them."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from arm.one_op import T, bias_of, conv, one, weight
from onnx import TensorProto, helper, numpy_helper, save

from attendc.arm.cores import CORES, Core, core_of
from attendc.arm.emulation.emulator import Task, emulate
from attendc.errors import UsageError
from attendc.recipe import CoreName


def test_a_recipe_may_name_every_core_and_no_other() -> None:
    assert get_args(CoreName) == tuple(CORES)


def test_those_with_a_dot_product_are_of_armv8_2() -> None:
    dot = {core.name for core in CORES.values() if core.has_dot_product}
    assert dot == {core.name for core in CORES.values() if core.has_fp16}
    assert dot == {"cortex-a55", "cortex-a76", "neoverse-n1"}


@pytest.mark.parametrize("core", CORES.values(), ids=lambda core: core.name)
def test_each_has_boards_caches_a_clock_and_their_source(core: Core) -> None:
    assert core.boards
    assert core.l1d_kib < core.l2_kib + core.l3_kib
    assert 1000 <= core.max_mhz <= 3000
    assert core.source.startswith("https://")
    assert core.as_json()["has_fp16"] == core.has_fp16


def test_only_the_a55_is_emulated_as_another() -> None:
    others = {core.name: core.emulated_as for core in CORES.values() if core.emulated_as}
    assert others == {"cortex-a55": "cortex-a76"}
    a55, a76 = core_of("cortex-a55"), core_of("cortex-a76")
    assert (a55.features, a55.part) == (a76.features, 0xD05)


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no core 'cortex-a73'\. Did you mean cortex-a7\d\? Cores: cortex-a35, "):
        core_of("cortex-a73")
    with pytest.raises(UsageError, match=r"no core 'pentium'\. Cores: cortex-a35, "):
        core_of("pentium")


@pytest.mark.slow
@pytest.mark.usefixtures("arm_machine")
@pytest.mark.parametrize(("name", "macs_an_instruction"), [("cortex-a53", 8), ("cortex-a55", 16)])
def test_both_formats_run_at_what_the_core_can_do(tmp_path: Path, name: str, macs_an_instruction: int) -> None:
    x = T((1, 8, 8, 16))
    int8 = one(tmp_path, "CONV_2D", x, x, conv(), "Conv2DOptions", weight((16, 3, 3, 16)), bias_of(16))
    tflite, onnx = emulate(core_of(name), [Task("count", int8), Task("count", onnx_conv(tmp_path / "conv.onnx"))])
    assert (tflite.error, tflite.partitions, onnx.error) == ("", 1, "")
    macs = 8 * 8 * 3 * 3 * 16 * 16
    assert tflite.instructions is not None
    assert 1.2 * macs / macs_an_instruction < tflite.instructions < 4 * macs / macs_an_instruction
    assert onnx.instructions is not None
    assert macs / 4 < onnx.instructions  # a vector holds four floats


def onnx_conv(path: Path) -> Path:
    """Write the convolution in float32."""
    weights = np.zeros((16, 16, 3, 3), np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16, 8, 8]) for name in "xy")
    graph = helper.make_graph([node], "conv", [x], [y], [numpy_helper.from_array(weights, "w")])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path
