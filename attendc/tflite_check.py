"""What must hold of a .tflite before an interpreter may have it: LiteRT ends the process over some damaged files.

Found by setting each number of an int8 file to 0, -1, a large one, and so on (LiteRT 2.3 with XNNPACK): it checks
indices and options itself, and aborts or crashes over what is checked here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attendc.errors import CheckpointError
from attendc.reason import reason_of

__all__ = ["check_tflite"]

_SAME_TYPE = frozenset(
    (
        *("ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "HARD_SWISH"),
        *("LEAKY_RELU", "LOGISTIC", "MAX_POOL_2D", "MEAN", "MUL", "PAD", "RESHAPE", "SOFTMAX", "SUB", "TANH"),
        "TRANSPOSE",
    )
)
"""Operators whose output is of the type of their first input."""
_RESCALED = ("ADD", "SUB", "MUL", "SQUARED_DIFFERENCE")
"""Operators that bring both inputs to the output's scale, and so want one of each."""
_COUNTS = ("filterHeight", "filterWidth", "strideH", "strideW", "dilationHFactor", "dilationWFactor")
_NEEDED_INPUTS = 2
"""Only a bias may be left out, and that is the third input or a later one."""
_LARGEST_RATIO = 2.0**30
"""Of input scales to the output's; the runtime aborts where their fixed-point form needs a shift by more than 30."""


def check_tflite(path: Path) -> None:
    """Check that the tables fit together.

    Raises:
        CheckpointError: naming the first that does not.
    """
    content = _content(path)
    try:
        from ai_edge_litert.tools.flatbuffer_utils import read_model_from_bytearray

        model = read_model_from_bytearray(bytearray(content))
        fault = next((f for graph in model.subgraphs for f in _faults(model, graph)), "")
    except Exception as e:
        raise CheckpointError(f"{path} is damaged: {reason_of(e)}", hint="Convert it again") from e
    if fault:
        raise CheckpointError(f"{path} is damaged: {fault}", hint="Convert it again")


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as e:
        raise CheckpointError(f"{path} cannot be read: {e.strerror}") from e
    if content[4:8] != b"TFL3":
        raise CheckpointError(f"{path} is no TFLite file (bytes 4..8 are {content[4:8]!r}, not TFL3)")
    return content


def _faults(model: Any, graph: Any) -> Iterator[str]:
    held = {i for i, t in enumerate(graph.tensors) if _has_data(model, t)}
    known = held | set(map(int, graph.inputs))
    if held & set(map(int, graph.inputs)):
        yield "an input is a constant"
    for operator in graph.operators:
        name = _name(model, operator)
        inputs, outputs = [int(i) for i in operator.inputs], [int(o) for o in operator.outputs]
        if min((*inputs[:_NEEDED_INPUTS], *outputs), default=0) < 0:
            yield f"{name} lacks an input"
            return
        if unknown := [i for i in inputs if i >= 0 and i not in known]:
            yield f"{name} reads tensor {unknown[0]}, which nothing has written"
            return
        if written := [o for o in outputs if o in known]:
            yield f"{name} writes tensor {written[0]}, which has a value already"
            return
        known |= set(outputs)
        if any(getattr(operator.builtinOptions, option, 1) < 1 for option in _COUNTS):
            yield f"{name} has a window of no size"
            return
        sources, targets = [graph.tensors[i] for i in inputs if i >= 0], [graph.tensors[o] for o in outputs]
        if name in _SAME_TYPE and sources[0].type != targets[0].type:
            yield f"{name} has an output of another type than its input"
        yield from _scale_faults(name, sources[:_NEEDED_INPUTS], targets)


def _scale_faults(name: str, sources: list[Any], targets: list[Any]) -> Iterator[str]:
    given, made = [_scales(t) for t in sources], [_scales(t) for t in targets]
    if name in _RESCALED and any(_is_int8(t) and not _scales(t) for t in (*sources, *targets)):
        yield f"{name} has an int8 tensor without a scale"
    if any(not (math.isfinite(s) and s > 0) for scales in (*given, *made) for s in scales):
        yield f"{name} has a scale that is no positive number"
        return
    largest = [max(scales, default=1.0) for scales in given]
    smallest = min((s for scales in made for s in scales), default=1.0)
    if max((*largest, math.prod(largest)), default=1.0) / smallest > _LARGEST_RATIO:
        yield f"{name} has scales that no fixed-point number can join"


def _scales(tensor: Any) -> list[float]:
    found = tensor.quantization
    return [] if found is None or found.scale is None else [float(s) for s in found.scale]


def _is_int8(tensor: Any) -> bool:
    from ai_edge_litert import schema_py_generated as schema

    return tensor.type in (schema.TensorType.INT8, schema.TensorType.UINT8)


def _has_data(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def _name(model: Any, operator: Any) -> str:
    from ai_edge_litert import schema_py_generated as schema

    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return next((n for n, v in vars(schema.BuiltinOperator).items() if v == number), str(number))
