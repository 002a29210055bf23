"""Let strided convolutions over few channels read their image in wide rows: s pixels of c channels as one of s * c.

An int8 kernel for ARM pads the channels of each tap to a multiple of 8, so that the 16 taps of a 4x4 patch over 3
channels cost as much as over 8. Where a convolution moves s pixels to the right, a RESHAPE from (1, H, W, C) to
(1, H, W/s, s*C), which moves nothing in memory, makes it a convolution with fewer and wider taps that moves by one:

1. A patch, whose kernel is its stride, keeps its weights byte for byte: (O, 4, 4, 3) becomes (O, 4, 1, 12).
2. Other kernels get columns of zeros until they begin and end with a block: (O, 3, 3, 3) with stride 2 becomes
   (O, 3, 2, 6). What they read there is multiplied by zero.
3. Padding in front of it is done on the wide rows, in whole blocks: XNNPACK takes a PAD into the convolution behind it.
4. A "depthwise" convolution of one channel is an ordinary one.

The sums are the same. Source: instructions of an inference counted with LiteRT 2.3, int8, 224x224, Cortex-A76 / A72,
in millions: 4x4 patches to 64 channels 2.58 / 10.88 -> 1.51 / 4.52; a 7x7 kernel with stride 2 to 64 channels
28.1 / 126.3 -> 23.1 / 73.6; 3x3 with stride 2 to 32 channels 3.35 / 13.13 -> 3.24 / 9.39.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attendc.arm.kernels import WideRows
from attendc.converters.tflite_schema import (
    add_constant,
    constant,
    drop_unread,
    new_tensor,
    op_name,
    opcode_index,
    type_name,
)

__all__ = ["channels_of_pixels", "read_wide_rows"]

_VALID = 1
_DTYPES: dict[str, type[np.generic]] = {"INT8": np.int8, "FLOAT32": np.float32}
Pads = tuple[int, int]


@dataclass(frozen=True)
class _Window:
    """A convolution with its padding, and the tensor (1, height, width, channels) before that.

    Attributes:
        source: index of the tensor.
        weight: (outputs, rows, columns, channels).
        wide: what it does along its columns.
        rows: padding above and below.
    """

    source: int
    weight: NDArray[Any]
    wide: WideRows
    rows: Pads


def read_wide_rows(model: Any) -> int:
    """Change the convolutions where it pays, in place, and return how many."""
    graph = model.subgraphs[0]
    changed = 0
    for operator in list(graph.operators):
        window = _window(model, operator)
        if window is not None and window.wide.pays:
            _rewrite(model, operator, window)
            changed += 1
    if changed:
        _drop_unread_pads(model)
        drop_unread(model)
    return changed


def channels_of_pixels(model: Any, operator: Any) -> int:
    """Return the channels of a tap of a CONV_2D: of the pixels where it reads wide rows, of its weight elsewhere."""
    tensors = model.subgraphs[0].tensors
    wide, _ = _before_pad(model, int(operator.inputs[0]))
    maker = _maker(model, wide)
    channels = int(tensors[operator.inputs[1]].shape[3])
    if maker is None or op_name(model, maker) != "RESHAPE":
        return channels
    before, after = ([int(s) for s in tensors[i].shape] for i in (maker.inputs[0], wide))
    # An image of one row may come from another reshape.
    is_wide = len(before) == len(after) == 4 and before[:2] == after[:2] and after[1] > 1 and after[3] == channels
    return before[3] if is_wide and after[3] > before[3] else channels


def _maker(model: Any, index: int) -> Any:
    """Return the operator that writes a tensor, None of an input or constant."""
    return next((o for o in model.subgraphs[0].operators if index in map(int, o.outputs)), None)


def _window(model: Any, operator: Any) -> _Window | None:
    """Return what a convolution without groups and dilation does, None of any other operator."""
    if op_name(model, operator) not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return None
    tensors, options = model.subgraphs[0].tensors, operator.builtinOptions
    weight = _dense_weight(model, operator)
    read = tensors[operator.inputs[0]]
    is_dilated = (options.dilationHFactor, options.dilationWFactor) != (1, 1)
    if weight is None or weight.shape[3] != read.shape[3] or is_dilated:
        return None
    same = [(0, 0), (0, 0)]
    if options.padding != _VALID:
        sizes = zip(read.shape[1:3], weight.shape[1:3], (options.strideH, options.strideW), strict=True)
        same = [_same_pads(*one) for one in sizes]
    source, pads = _before_pad(model, int(operator.inputs[0]))
    if tensors[source].shape[1] == 1:  # a sequence, whose RESHAPE `channels_of_pixels` could not tell from others
        return None
    rows, columns = ((p[0] + q[0], p[1] + q[1]) for p, q in zip(pads, same, strict=True))
    width, (_, _, taps, channels) = int(tensors[source].shape[2]), weight.shape
    return _Window(source, weight, WideRows(width, channels, taps, int(options.strideW), columns), rows)


def _dense_weight(model: Any, operator: Any) -> NDArray[Any] | None:
    """Return a constant weight as (O, H, W, I), also of a depthwise convolution of one channel."""
    tensors = model.subgraphs[0].tensors
    tensor = tensors[operator.inputs[1]]
    dtype = _DTYPES.get(type_name(tensor))
    weight = None if dtype is None else constant(model, tensor, dtype)
    if weight is None or op_name(model, operator) == "CONV_2D":
        return weight
    return weight.transpose(3, 1, 2, 0) if tensors[operator.inputs[0]].shape[3] == 1 else None


def _same_pads(size: int, kernel: int, stride: int) -> Pads:
    """Return what TensorFlow's `SAME` pads before and after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _before_pad(model: Any, index: int) -> tuple[int, list[Pads]]:
    """Return the tensor that a PAD of rows and columns alone makes `index` of, with its sizes; else `index` itself."""
    maker = _maker(model, index)
    if maker is not None and op_name(model, maker) == "PAD":
        sizes = constant(model, model.subgraphs[0].tensors[maker.inputs[1]], np.int32)
        if sizes is not None and sizes.shape == (4, 2) and not sizes[[0, 3]].any():
            return int(maker.inputs[0]), [(int(a), int(b)) for a, b in sizes[1:3]]
    return index, [(0, 0), (0, 0)]


def _rewrite(model: Any, operator: Any, window: _Window) -> None:
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    image = _reshaped(model, operator, window)
    if any((*window.rows, window.wide.left, window.wide.right)):
        image = _padded_image(model, operator, image, window)
    old = operator.builtinOptions
    options = schema.Conv2DOptionsT()
    options.padding, options.strideH, options.strideW = _VALID, old.strideH, 1
    options.dilationHFactor = options.dilationWFactor = 1
    options.fusedActivationFunction = old.fusedActivationFunction
    operator.opcodeIndex = opcode_index(model, "CONV_2D")
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.Conv2DOptions, options
    operator.inputs = [image, _wide_weight(model, graph.tensors[operator.inputs[1]], window), *operator.inputs[2:]]


def _wide_weight(model: Any, like: Any, window: _Window) -> int:
    wide, (outputs, rows, columns, channels) = window.wide, window.weight.shape
    behind = wide.blocks * wide.stride - wide.shift - columns
    weight = np.pad(window.weight, ((0, 0), (0, 0), (wide.shift, behind), (0, 0)))
    index = add_constant(model, weight.reshape(outputs, rows, wide.blocks, wide.stride * channels), like)
    quantization = model.subgraphs[0].tensors[index].quantization
    if quantization is not None:
        quantization.quantizedDimension = 0
    return index


def _reshaped(model: Any, operator: Any, window: _Window) -> int:
    from ai_edge_litert import schema_py_generated as schema

    batch, height, width, channels = map(int, model.subgraphs[0].tensors[window.source].shape)
    stride = window.wide.stride
    shape = [batch, height, width // stride, channels * stride]
    options = schema.ReshapeOptionsT()
    options.newShape = shape
    return _put_before(model, operator, "RESHAPE", (window.source, np.array(shape, np.int32)), shape, options)


def _padded_image(model: Any, operator: Any, image: int, window: _Window) -> int:
    from ai_edge_litert import schema_py_generated as schema

    sizes = np.array([(0, 0), window.rows, (window.wide.left, window.wide.right), (0, 0)], np.int32)
    shape = [int(s + p.sum()) for s, p in zip(model.subgraphs[0].tensors[image].shape, sizes, strict=True)]
    return _put_before(model, operator, "PAD", (image, sizes), shape, schema.PadOptionsT())


def _put_before(
    model: Any, operator: Any, name: str, reads: tuple[int, NDArray[np.int32]], shape: list[int], options: Any
) -> int:
    """Put an operator on a tensor and a constant in front of another, and return the tensor that it makes."""
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    tensor = copy.deepcopy(graph.tensors[reads[0]])
    tensor.shape, tensor.shapeSignature, tensor.buffer = shape, None, 0
    graph.tensors.append(tensor)
    made = len(graph.tensors) - 1
    added = schema.OperatorT()
    added.opcodeIndex = opcode_index(model, name)
    added.inputs, added.outputs = [reads[0], add_constant(model, reads[1], new_tensor())], [made]
    added.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
    added.builtinOptions = options
    graph.operators.insert(next(i for i, o in enumerate(graph.operators) if o is operator), added)
    return made


def _drop_unread_pads(model: Any) -> None:
    graph = model.subgraphs[0]
    read = {int(i) for o in graph.operators for i in o.inputs} | set(map(int, graph.outputs))
    graph.operators = [o for o in graph.operators if op_name(model, o) != "PAD" or int(o.outputs[0]) in read]
