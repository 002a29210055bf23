"""From an int8 TFLite file to int16 activations: the same operators and weights, wider integers between them.

LiteRT runs such a file with its own reference-like integer kernels; XNNPACK has none for int16.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attendc.converters.tflite_schema import (
    add_constant,
    change_activations,
    constant,
    drop_unread,
    op_name,
    set_constant,
    type_name,
)
from attendc.derived import INT16_MAX, INT16_MIN, int16_scale, on_grid
from attendc.errors import CheckpointError, ConversionError
from attendc.runtimes import tflite_interpreter

__all__ = ["check_kernels", "widen_activations"]

_HINT = "Leave int16 out of --dtype"
_FAILED = re.compile(r"Node number \d+ \((\w+)\) failed to|builtin opcode '(\w+)'")
_Q = torch.ops.quantized_decomposed
_SCALELESS = ("DIV", "FLOOR_DIV", "PRELU")
"""Operators whose int16 kernels run without an error, and compute with the integers as if they were the numbers."""
_POWER_OF_TWO_FLAG = {"ADD": "AddOptionsT", "SUB": "SubOptionsT"}


def widen_activations(model: Any) -> None:
    """Make every int8 activation of `model` int16; `attendc.derived.int16_graph` is what is then computed.

    Biases become int64: that is the accumulator which LiteRT then uses, and int32 may overflow.

    Raises:
        ConversionError: naming an operator whose int16 kernel is known to be wrong.
    """
    change_activations(model, _wide_bias, _widen)
    _refuse_scaleless(model)
    for operator in model.subgraphs[0].operators:
        _allow_any_scale(model, operator)
    drop_unread(model)


def _refuse_scaleless(model: Any) -> None:
    for operator in model.subgraphs[0].operators:
        name, output = op_name(model, operator), model.subgraphs[0].tensors[operator.outputs[0]]
        if name in _SCALELESS and type_name(output) == "INT16":
            raise ConversionError(f"LiteRT's int16 kernel for {name} leaves the scales out", hint=_HINT)


def check_kernels(path: Path) -> None:
    """Run a file once by LiteRT's own kernels, which know best what they can.

    Raises:
        ConversionError: naming the operator that LiteRT has no int16 kernel for.
    """
    try:
        interpreter = tflite_interpreter(path, kernels="plain")
        source = interpreter.get_input_details()[0]
        interpreter.set_tensor(source["index"], np.zeros(source["shape"], source["dtype"]))
        interpreter.invoke()
    except (CheckpointError, RuntimeError) as e:
        found = _FAILED.search(str(e))
        reason = " ".join(str(e).split())
        what = f"has no int16 kernel for {found[1] or found[2]}" if found else f"refuses int16 activations: {reason}"
        raise ConversionError(f"LiteRT {what}", hint=_HINT) from e


def _wide_bias(model: Any, operator: Any) -> int:
    """Add the bias of a layer in steps of the int16 input's scale x the weight's, and return its tensor's index."""
    source, weight, bias = (model.subgraphs[0].tensors[i] for i in operator.inputs[:3])
    narrow, weight_scale = float(source.quantization.scale[0]), _float64(weight.quantization.scale)
    real = (_float64(constant(model, bias, np.int32)) * (weight_scale * narrow)).float()  # as it stands in the graph
    step = weight_scale * int16_scale(narrow, int(source.quantization.zeroPoint[0]))
    steps = torch.round(on_grid(real, step).double() / step)
    index = add_constant(model, steps.numpy().astype(np.int64), bias)
    model.subgraphs[0].tensors[index].quantization.scale = step.float().numpy()
    return index


def _widen(model: Any, tensor: Any) -> None:
    """Make a tensor int16, and the value of one that is constant too."""
    from ai_edge_litert import schema_py_generated as schema

    narrow = float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])
    scale, value = int16_scale(*narrow), constant(model, tensor, np.int8)
    if value is not None:
        real = _Q.dequantize_per_tensor.default(torch.from_numpy(value.copy()), *narrow, -128, 127, torch.int8)
        wide = _Q.quantize_per_tensor.default(real, scale, 0, INT16_MIN, INT16_MAX, torch.int16)
        set_constant(model, tensor, wide.numpy())
    tensor.type = schema.TensorType.INT16
    tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [0]


def _allow_any_scale(model: Any, operator: Any) -> None:
    """Tell an int16 ADD or SUB that its scales are no powers of two, which it takes for granted otherwise."""
    from ai_edge_litert import schema_py_generated as schema

    name = op_name(model, operator)
    if name not in _POWER_OF_TWO_FLAG:
        return
    if operator.builtinOptions is None:
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, _POWER_OF_TWO_FLAG[name][:-1])
        operator.builtinOptions = getattr(schema, _POWER_OF_TWO_FLAG[name])()
    operator.builtinOptions.potScaleInt16 = False


def _float64(values: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(values, np.float64))
