"""PADV2 that fills with the zero point becomes PAD; XNNPACK takes that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arm.one_op import T, one

from attendc.arm.check.partitions import partitions_of
from attendc.arm.cores import core_of
from attendc.arm.emulation.emulator import Task, emulate
from attendc.converters.tflite_pads import pad_with_zero_points
from attendc.converters.tflite_schema import op_name, read_model, write_model
from attendc.runtimes import tflite_interpreter

AROUND = np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)


def padding(
    folder: Path, *, channels: int = 3, filling: int = -128, zero: int = -128, scale: float = 0.05, dtype: str = "int8"
) -> Path:
    """Write a PADV2 of (1, 4, 4, channels) with one pixel around; `zero` and `scale` are those of the output."""
    x, y = T((1, 4, 4, channels), dtype, zero=(-128,)), T((1, 6, 6, channels), dtype, (scale,), (zero,))
    value = T((), dtype, (0.05,), (-128,), np.array(filling, dtype))
    return one(folder, "PADV2", x, y, {}, "PadV2Options", T((4, 2), "int32", (), (), AROUND), value)


def rewritten(path: Path) -> Path:
    model = read_model(path)
    pad_with_zero_points(model)
    target = path.with_name("rewritten.tflite")
    write_model(target, model)
    return target


def answer(path: Path, image: Any, kernels: Any = "xnnpack") -> np.ndarray:
    interpreter = tflite_interpreter(path, kernels=kernels)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    found: np.ndarray = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return found


def test_a_filling_that_is_the_zero_point_is_left_to_pad(tmp_path: Path) -> None:
    model = read_model(padding(tmp_path))
    assert pad_with_zero_points(model) == 1
    (operator,) = model.subgraphs[0].operators
    tensors = model.subgraphs[0].tensors
    assert (op_name(model, operator), len(operator.inputs)) == ("PAD", 2)
    assert [list(tensors[i].shape) for i in (*operator.inputs, *operator.outputs)] == [
        [1, 4, 4, 3],
        [4, 2],
        [1, 6, 6, 3],
    ]
    assert len(tensors) == 3  # the filling is gone
    assert pad_with_zero_points(model) == 0


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"filling": -127}, id="another filling"),
        pytest.param({"zero": -127}, id="another zero point of the output"),
        pytest.param({"scale": 0.06}, id="another scale of the output"),
        pytest.param({"dtype": "float32", "filling": -1e9}, id="float"),
    ],
)
def test_any_other_stays(changed: dict[str, Any], tmp_path: Path) -> None:
    model = read_model(padding(tmp_path, **changed))
    assert pad_with_zero_points(model) == 0
    assert op_name(model, model.subgraphs[0].operators[0]) == "PADV2"


@pytest.mark.parametrize("kernels", ["xnnpack", "plain", pytest.param("reference", marks=pytest.mark.slow)])
def test_the_border_is_minus_128_around_the_image(kernels: Any, tmp_path: Path) -> None:
    image = np.arange(48, dtype=np.int8).reshape(1, 4, 4, 3)
    found = answer(rewritten(padding(tmp_path)), image, kernels)
    assert np.array_equal(found, np.pad(image, AROUND, constant_values=-128))


def test_xnnpack_takes_it(tmp_path: Path) -> None:
    before = padding(tmp_path)
    assert [partitions_of(path).count for path in (before, rewritten(before))] == [0, 1]


@pytest.mark.slow
@pytest.mark.usefixtures("arm_machine")
def test_a_core_counts_a_third_and_gives_the_same_bytes(tmp_path: Path) -> None:
    before = padding(tmp_path, channels=2048)
    after = rewritten(before)
    image = np.random.default_rng(0).integers(-128, 128, (1, 4, 4, 2048)).astype(np.int8)
    core = core_of("cortex-a76")
    many, few, ran = emulate(core, [Task("count", before), Task("count", after), Task("run", after, image)])
    assert many.instructions is not None
    assert few.instructions is not None
    assert ran.outputs is not None
    assert few.instructions * 3 < many.instructions
    assert ran.outputs.tobytes() == answer(before, image).tobytes()
