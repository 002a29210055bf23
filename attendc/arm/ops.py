"""The operators of a TFLite file as the runtime on a core carries them out: kind, type, shape; what costs are told of.

Three things that XNNPACK folds are folded here too; each was seen in the counts of LiteRT 2.3, see docs/arm.md:

1. int8 `x * sigmoid(x)`, LOGISTIC and MUL, is one look-up in a table, `SILU` here, if nothing else reads the sigmoid.
   In float32 both are computed, and stay two.
2. A PAD that only one convolution without padding of its own reads costs nothing: it stands in that convolution's
   `index`. Before pools and where two read it, it copies.
3. A DEQUANTIZE of a constant (float16 weights) is done once, when the file is opened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attendc.converters.damage import names_damage
from attendc.converters.tflite_schema import op_name, read_model, type_name

__all__ = ["LAYERS", "SILU", "Op", "ops_of_model", "ops_of_tflite"]

SILU = "SILU"
LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL", "TRANSPOSE_CONV")
"""What multiplies and accumulates."""
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_BY_INPUT = ("QUANTIZE", "DEQUANTIZE", "CAST")
"""Operators told apart by the type they take, not the one they give."""


@dataclass(frozen=True)
class Op:
    """One operator, for one image.

    Attributes:
        kind: its name in TFLite, or SILU.
        dtype: `int8`, `float32`, or another type's name; of what it puts out, of QUANTIZE and DEQUANTIZE what it takes;
            `dynamic` where int8 weights meet float activations.
        inputs: channels of the first input, of all groups.
        outputs: channels of the output, of all groups.
        groups: of a convolution; a DEPTHWISE_CONV_2D has as many as inputs.
        kernel: height and width of what one output looks at.
        stride: vertical and horizontal.
        height: of the output, images and further axes multiplied in.
        width: of the output.
        name: of the output's tensor.
        index: operators of the file that it stands for, in order.
        broadcast: of two inputs with unlike shapes, what the smaller has one number for: `pixel`, `channel` or `all`.
    """

    kind: str
    dtype: str
    inputs: int
    outputs: int
    groups: int = 1
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    height: int = 1
    width: int = 1
    name: str = ""
    index: tuple[int, ...] = ()
    broadcast: str = ""

    @property
    def pixels(self) -> int:
        """Return height times width of the output."""
        return self.height * self.width

    @property
    def elements(self) -> int:
        """Return how many numbers it puts out."""
        return self.pixels * self.outputs

    @property
    def macs(self) -> int:
        """Return its multiply-accumulates; 0 of what is no layer."""
        if self.kind not in LAYERS:
            return 0
        each = self.inputs // self.groups * math.prod(self.kernel)
        skipped = math.prod(self.stride) if self.kind == "TRANSPOSE_CONV" else 1
        return self.elements * each // skipped


@names_damage
def ops_of_tflite(path: Path) -> list[Op]:
    """Return the operators of a file in order.

    Raises:
        CheckpointError: if it is no TFLite file, or damaged.
    """
    return ops_of_model(read_model(path))


def ops_of_model(model: Any) -> list[Op]:
    """Return the operators of a ModelT in order."""
    graph = model.subgraphs[0]
    names = [op_name(model, operator) for operator in graph.operators]
    folded = {**_silus(model, names), **_pads(graph, names)}
    standing = {into: sorted(i for i, j in folded.items() if j == into) for into in folded.values()}
    return [
        _op(model, index, names[index], standing.get(index, []))
        for index, operator in enumerate(graph.operators)
        if index not in folded and not _is_unpacking(model, operator, names[index])
    ]


def _is_unpacking(model: Any, operator: Any, name: str) -> bool:
    return name == "DEQUANTIZE" and _is_constant(model, int(operator.inputs[0]))


def _is_constant(model: Any, tensor: int) -> bool:
    data = model.buffers[model.subgraphs[0].tensors[tensor].buffer].data
    return data is not None and len(data) > 0


def _silus(model: Any, names: Sequence[str]) -> dict[int, int]:
    """Return LOGISTIC -> MUL, the indices of those that are one table."""
    graph = model.subgraphs[0]
    found = {}
    for index, name in enumerate(names):
        operator = graph.operators[index]
        if name != "LOGISTIC" or type_name(graph.tensors[int(operator.inputs[0])]) != "INT8":
            continue
        reader = _only_reader(graph, int(operator.outputs[0]))
        both = {int(operator.inputs[0]), int(operator.outputs[0])}
        if reader is not None and names[reader] == "MUL" and set(map(int, graph.operators[reader].inputs)) == both:
            found[index] = reader
    return found


def _pads(graph: Any, names: Sequence[str]) -> dict[int, int]:
    """Return PAD -> convolution, the indices of those that are one."""
    found = {}
    for index, name in enumerate(names):
        if name != "PAD":
            continue
        padded = int(graph.operators[index].outputs[0])
        reader = _only_reader(graph, padded)
        if reader is not None and names[reader] in _CONVOLUTIONS and _is_unpadded(graph.operators[reader]):
            found[index] = reader
    return found


def _is_unpadded(operator: Any) -> bool:
    """Return whether a convolution's padding is VALID."""
    return int(operator.builtinOptions.padding) == 1


def _only_reader(graph: Any, tensor: int) -> int | None:
    """Return the index of the one operator that reads a tensor; None if there are more, or the caller gets it."""
    readers = [i for i, operator in enumerate(graph.operators) for t in operator.inputs if int(t) == tensor]
    return readers[0] if len(readers) == 1 and tensor not in map(int, graph.outputs) else None


def _op(model: Any, index: int, name: str, stands_for: Sequence[int]) -> Op:
    graph = model.subgraphs[0]
    operator = graph.operators[index]
    first, out = graph.tensors[_first(model, operator, name)], graph.tensors[int(operator.outputs[0])]
    silu = any(op_name(model, graph.operators[i]) == "LOGISTIC" for i in stands_for)
    taken, given = _image(first), _image(out)
    told: dict[str, Any] = {"inputs": taken[2], "outputs": given[2], "height": given[0], "width": given[1]}
    told |= _window(operator.builtinOptions)
    if name in LAYERS:
        told |= _layer(graph.tensors[int(operator.inputs[1])], name, taken[2])
    elif name in ("MEAN", "SUM", "REDUCE_MAX"):
        told["kernel"] = (max(1, taken[0] // given[0]), max(1, taken[1] // given[1]))
    elif len(operator.inputs) == 2 and not silu and name in _BINARY:
        told["broadcast"] = _broadcast(*(_image(graph.tensors[int(i)]) for i in operator.inputs))
    return Op(
        SILU if silu else name,
        _dtype(model, operator, name),
        name=out.name.decode(errors="replace"),
        index=(*stands_for, index),
        **told,
    )


_BINARY = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")


def _first(model: Any, operator: Any, name: str) -> int:
    """Return the tensor that is worked on: the first input, of two the larger, of a TRANSPOSE_CONV the third."""
    if name == "TRANSPOSE_CONV":
        return int(operator.inputs[2])
    inputs = [int(i) for i in operator.inputs if int(i) >= 0]
    if name in _BINARY:
        return max(inputs, key=lambda i: math.prod(model.subgraphs[0].tensors[i].shape))
    return inputs[0]


def _image(tensor: Any) -> tuple[int, int, int]:
    """Return height, width and channels of a shape of any rank: the last two axes, and all before them."""
    shape = [1, 1, 1] if tensor.shape is None else [1, 1, 1, *(max(1, int(n)) for n in tensor.shape)]
    return math.prod(shape[:-2]), shape[-2], shape[-1]


def _window(options: Any) -> dict[str, tuple[int, int]]:
    """Return the stride, and the kernel of a pool, where the options have them."""
    told = {}
    if hasattr(options, "strideH"):
        told["stride"] = (int(options.strideH), int(options.strideW))
    if hasattr(options, "filterHeight"):
        told["kernel"] = (int(options.filterHeight), int(options.filterWidth))
    return told


def _layer(weight: Any, name: str, inputs: int) -> dict[str, Any]:
    if name in ("FULLY_CONNECTED", "BATCH_MATMUL"):
        return {}
    kernel = (int(weight.shape[1]), int(weight.shape[2]))
    groups = inputs if name == "DEPTHWISE_CONV_2D" else max(1, inputs // int(weight.shape[3]))
    return {"kernel": kernel, "groups": groups}


def _broadcast(a: tuple[int, int, int], b: tuple[int, int, int]) -> str:
    if a == b:
        return ""
    small = min(a, b, key=math.prod)
    if math.prod(small) == 1:
        return "all"
    return "pixel" if small[2] == 1 else "channel"


def _dtype(model: Any, operator: Any, name: str) -> str:
    tensors: Mapping[int, Any] = dict(enumerate(model.subgraphs[0].tensors))
    taken = type_name(tensors[int(operator.inputs[0])]).lower()
    given = type_name(tensors[int(operator.outputs[0])]).lower()
    if name in LAYERS and given == "float32" and type_name(tensors[int(operator.inputs[1])]) == "INT8":
        return "dynamic"
    return taken if name in _BY_INPUT else given
