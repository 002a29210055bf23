"""What XNNPACK takes of a file, why it leaves the rest, and that the emulated cores take the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from arm.one_op import Op, T, bias_of, broken_in_the_middle, conv, one, weight, write_ops

from attendc.arm.check.partitions import partitions_of
from attendc.arm.check.reasons import UNKNOWN
from attendc.arm.cores import core_of
from attendc.arm.emulation.emulator import Task, emulate
from attendc.errors import CheckpointError

SHAPE = (1, 8, 8, 16)
POOL = {"filterHeight": 2, "filterWidth": 2, "strideH": 2, "strideW": 2, "padding": 1}
HALF = (1, 4, 4, 16)


def numbers(*values: object) -> T:
    """Return a constant of int32."""
    value = np.array(values, np.int32)
    return T(value.shape, "int32", (), (), value)


def layer(
    folder: Path, w: T, bias: T | None, *, x: T | None = None, kind: str = "CONV_2D", activation: int = 0
) -> Path:
    """Write a convolution of 8x8x16, with a weight that the caller gives or that is an input too."""
    x = x or T(SHAPE)
    table = "Conv2DOptions" if kind == "CONV_2D" else "DepthwiseConv2DOptions"
    channels = w.shape[0] if kind == "CONV_2D" else w.shape[3]
    tensors = {"x": x, "w": w, "y": T((*SHAPE[:3], channels), x.dtype)} | ({"b": bias} if bias else {})
    options = conv(activation=activation) | ({} if kind == "CONV_2D" else {"depthMultiplier": 1})
    op = Op(kind, ("x", "w", *(("b",) if bias else ())), ("y",), options, table)
    return write_ops(folder / "layer.tflite", tensors, [op], ["x"] if w.value is not None else ["x", "w"], "y")


def padded(folder: Path, value: int) -> Path:
    """Write a PADV2 by a number, of what has the zero point -128."""
    x, y = (T((1, n, n, 16), zero=(-128,)) for n in (8, 10))
    places = numbers((0, 0), (1, 1), (1, 1), (0, 0))
    filling = T((), "int8", zero=(-128,), value=np.array(value, np.int8))
    return one(folder, "PADV2", x, y, {}, "PadV2Options", places, filling)


W, B = weight((32, 3, 3, 16), scales=32), bias_of(32, scales=32)
DEPTHWISE = (1, 3, 3, 16)

TAKEN: dict[str, Callable[[Path], Path]] = {
    "a scale for each channel": lambda f: layer(f, W, B),
    "one scale for all": lambda f: layer(f, weight((32, 3, 3, 16)), bias_of(32)),
    "four columns": lambda f: layer(f, weight((32, 3, 3, 4), scales=32), B),
    "float32": lambda f: layer(
        f, weight((32, 3, 3, 16), dtype="float32"), bias_of(32, dtype="float32"), x=T(SHAPE, "float32")
    ),
    "dynamic": lambda f: layer(f, W, bias_of(32, dtype="float32"), x=T(SHAPE, "float32")),
    "depthwise": lambda f: layer(
        f, weight(DEPTHWISE, scales=16, axis=3), bias_of(16, scales=16), kind="DEPTHWISE_CONV_2D"
    ),
    "sigmoid": lambda f: one(f, "LOGISTIC", T(SHAPE), T(SHAPE, scale=(1 / 256,), zero=(-128,))),
    "max pool": lambda f: one(f, "MAX_POOL_2D", T(SHAPE), T(HALF), POOL, "Pool2DOptions"),
    "transpose": lambda f: one(f, "TRANSPOSE", T(SHAPE), T((1, 16, 8, 8)), {}, "TransposeOptions", numbers(0, 3, 1, 2)),
    "softmax float32": lambda f: one(
        f, "SOFTMAX", T(SHAPE, "float32"), T(SHAPE, "float32"), {"beta": 1.0}, "SoftmaxOptions"
    ),
}

FALLEN: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "hard swish": (
        lambda f: one(f, "HARD_SWISH", T(SHAPE), T(SHAPE), {}, "HardSwishOptions"),
        "HARD_SWISH int8 has no XNNPACK kernel",
        "SiLU",
    ),
    "average pool": (
        lambda f: one(f, "AVERAGE_POOL_2D", T(SHAPE), T(HALF), POOL, "Pool2DOptions"),
        "AVERAGE_POOL_2D int8 has no XNNPACK kernel",
        "depthwise convolution with equal weights",
    ),
    "softmax at the end": (
        lambda f: one(
            f, "SOFTMAX", T(SHAPE), T(SHAPE, scale=(1 / 256,), zero=(-128,)), {"beta": 1.0}, "SoftmaxOptions"
        ),
        "SOFTMAX int8",
        "order of the logits",
    ),
    "nearest": (
        lambda f: one(
            f,
            "RESIZE_NEAREST_NEIGHBOR",
            T(SHAPE),
            T((1, 16, 16, 16)),
            {},
            "ResizeNearestNeighborOptions",
            numbers(16, 16),
        ),
        "has no RESIZE_NEAREST_NEIGHBOR",
        "RESIZE_BILINEAR",
    ),
    "padding with the zero point": (lambda f: padded(f, -128), "has no PADV2", "PAD is taken, and fills with the same"),
    "padding with another number": (lambda f: padded(f, 7), "has no PADV2", "PAD is taken; it fills with the real"),
    "squeeze": (
        lambda f: one(f, "SQUEEZE", T(SHAPE), T((8, 8, 16)), {"squeezeDims": [0]}, "SqueezeOptions"),
        "has no SQUEEZE",
        "RESHAPE",
    ),
    "int16": (lambda f: one(f, "RELU", T(SHAPE, "int16"), T(SHAPE, "int16")), "no kernels of int16", "int8"),
    "a stride larger than the window": (
        lambda f: one(
            f, "MAX_POOL_2D", T(SHAPE), T((1, 2, 2, 16)), {**POOL, "strideH": 4, "strideW": 4}, "Pool2DOptions"
        ),
        "strides by 4x4, farther than its window of 2x2",
        "window as large as the stride",
    ),
    "a scale 2000 times smaller": (
        lambda f: one(f, "ADD", T(SHAPE), T(SHAPE, scale=(100.0,)), {}, "AddOptions", T(SHAPE)),
        r"0.0005 of its output's; XNNPACK takes 0.000977 to 256",
        "Calibrate",
    ),
    "requantized to uint8": (
        lambda f: one(f, "QUANTIZE", T(SHAPE), T(SHAPE, "uint8"), {}, "QuantizeOptions"),
        "int8 and uint8 meet",
        "int8",
    ),
    "reshape with another scale": (
        lambda f: one(f, "RESHAPE", T(SHAPE), T((1, 64, 16), scale=(0.04,)), {}, "ReshapeOptions", numbers(1, 64, 16)),
        "different scales",
        "same scale",
    ),
    "a slice that strides": (
        lambda f: one(
            f,
            "STRIDED_SLICE",
            T(SHAPE),
            T(HALF),
            {},
            "StridedSliceOptions",
            numbers(0, 0, 0, 0),
            numbers(1, 8, 8, 16),
            numbers(1, 2, 2, 1),
        ),
        "neighbours alone",
        "convolution",
    ),
    "six joined": (
        lambda f: one(
            f, "CONCATENATION", T(SHAPE), T((1, 8, 8, 96)), {"axis": 3}, "ConcatenationOptions", *[T(SHAPE)] * 5
        ),
        "joins 6 tensors; XNNPACK 2 to 5",
        "at most 5",
    ),
    "seven axes": (
        lambda f: one(f, "ABS", T((1, 1, 2, 2, 2, 2, 4), "float32"), T((1, 1, 2, 2, 2, 2, 4), "float32")),
        "7 axes; XNNPACK takes 6",
        "RESHAPE",
    ),
    "tanh in a layer": (lambda f: layer(f, W, B, activation=4), "TANH is part of it", "operator of its own"),
    "a computed weight": (lambda f: layer(f, T((32, 3, 3, 16)), bias_of(32)), "weight is computed", "BATCH_MATMUL"),
    "a weight off 0": (
        lambda f: layer(
            f, weight(DEPTHWISE, scales=16, axis=3, zero=-127), bias_of(16, scales=16), kind="DEPTHWISE_CONV_2D"
        ),
        "zero point -127",
        "symmetrically",
    ),
    "depthwise dynamic": (
        lambda f: layer(
            f,
            weight(DEPTHWISE, scales=16, axis=3),
            bias_of(16, dtype="float32"),
            x=T(SHAPE, "float32"),
            kind="DEPTHWISE_CONV_2D",
        ),
        "float32 activations with int8 weights",
        "int8 throughout",
    ),
    "integers": (
        lambda f: one(
            f, "RESHAPE", T(SHAPE, "int32"), T((1, 64, 16), "int32"), {}, "ReshapeOptions", numbers(1, 64, 16)
        ),
        "this is int32",
        "",
    ),
}


@pytest.mark.parametrize("write", TAKEN.values(), ids=TAKEN)
def test_what_xnnpack_takes(write: Callable[[Path], Path], tmp_path: Path) -> None:
    found = partitions_of(write(tmp_path))
    assert (found.count, found.taken, found.fallen) == (1, ((0,),), ())


@pytest.mark.parametrize(("write", "reason", "advice"), FALLEN.values(), ids=FALLEN)
def test_what_falls_out_and_why(write: Callable[[Path], Path], reason: str, advice: str, tmp_path: Path) -> None:
    found = partitions_of(write(tmp_path))
    assert (found.count, found.taken) == (0, ())
    (fallen,) = found.fallen
    assert reason in fallen.reason
    assert advice in fallen.advice
    assert (fallen.index, fallen.name) == (0, "y")


def test_an_operator_without_a_known_reason_says_so(tmp_path: Path) -> None:
    # A TRANSPOSE_CONV whose stride is larger than its kernel: LiteRT computes it, XNNPACK does not, no rule tells why.
    tensors = {"s": numbers(1, 16, 16, 16), "w": weight((16, 1, 1, 16), dtype="float32")}
    tensors |= {"x": T(SHAPE, "float32"), "y": T((1, 16, 16, 16), "float32")}
    options = {"padding": 0, "strideH": 2, "strideW": 2}
    op = Op("TRANSPOSE_CONV", ("s", "w", "x"), ("y",), options, "TransposeConvOptions")
    (fallen,) = partitions_of(write_ops(tmp_path / "odd.tflite", tensors, [op], ["x"], "y")).fallen
    assert (fallen.reason, fallen.advice) == (UNKNOWN, "")


def test_the_parts_hold_what_lies_between_the_fallen(tmp_path: Path) -> None:
    found = partitions_of(broken_in_the_middle(tmp_path))
    assert (found.count, found.operators, found.taken) == (2, 6, ((0, 1), (3, 4, 5)))
    (fallen,) = found.fallen
    assert (fallen.index, fallen.operator, fallen.name) == (2, "SOFTMAX", "3")
    assert "gate=sigmoid" in fallen.advice  # it is not the last, so that it is a gate's


def test_a_damaged_file_is_refused_before_the_runtime_has_it(tmp_path: Path) -> None:
    path = broken_in_the_middle(tmp_path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(CheckpointError, match="damaged"):
        partitions_of(path)


@pytest.mark.parametrize("kind", ["ADD", "SUB", "SQUARED_DIFFERENCE"])
@pytest.mark.parametrize("without", ["input", "output"])
def test_int8_without_a_scale_which_ends_the_runtime_is_damage(kind: str, without: str, tmp_path: Path) -> None:
    x, y = (T(SHAPE, scale=() if without == which else (0.05,)) for which in ("input", "output"))
    table = {"ADD": "AddOptions", "SUB": "SubOptions"}.get(kind, "SquaredDifferenceOptions")
    with pytest.raises(CheckpointError, match=f"damaged: {kind} has an int8 tensor without a scale"):
        partitions_of(one(tmp_path, kind, x, y, {}, table, x))


def test_a_weight_off_0_that_the_runtime_refuses_is_named(tmp_path: Path) -> None:
    path = layer(tmp_path, weight((32, 3, 3, 16), zero=5), bias_of(32))
    with pytest.raises(CheckpointError, match=r"refuses .*A weight of CONV_2D is not quantized about 0"):
        partitions_of(path)


@pytest.mark.slow  # an emulated machine for each core
@pytest.mark.usefixtures("arm_machine")
@pytest.mark.parametrize("core", ["cortex-a72", "cortex-a76"])
def test_an_emulated_core_takes_the_same(core: str, tmp_path: Path) -> None:
    writers = {**TAKEN, **{name: write for name, (write, _, _) in FALLEN.items()}, "broken": broken_in_the_middle}
    files = []
    for number, write in enumerate(writers.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        files.append(write(folder))
    answers = emulate(core_of(core), [Task("count", file) for file in files])
    assert [a.error for a in answers] == [""] * len(files)
    assert [a.partitions for a in answers] == [partitions_of(file).count for file in files]
