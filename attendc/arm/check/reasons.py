"""Why XNNPACK leaves an operator to LiteRT's own kernels, and what can be done about it.

That it does is known from the runtime, see `partitions`; here the reason is looked for. Sources: the delegate's README
and its checks (google-ai-edge/LiteRT, tflite/delegates/xnnpack), each tried on LiteRT 2.3 with a file of one operator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from attendc.converters.tflite_schema import constant, op_name, type_name

__all__ = ["UNKNOWN", "why"]

UNKNOWN = "XNNPACK of LiteRT 2.3 does not take it; no reason is known"

Reason = tuple[str, str]
"""The reason, and what to do; the second may be empty."""

_FLOAT_ONLY: Mapping[str, str] = {
    "HARD_SWISH": "Use SiLU: XNNPACK makes one table look-up of it",
    "SOFTMAX": "A sigmoid gate (gate=sigmoid) keeps one partition, and loses no small values to a step of 1/256",
    "AVERAGE_POOL_2D": "A depthwise convolution with equal weights computes the same and is taken",
    "RELU": "Put it right behind a convolution, ADD, SUB or MUL: it becomes part of that and costs nothing",
    "RELU6": "Put it right behind a convolution, ADD, SUB or MUL: it becomes part of that and costs nothing",
    "RELU_N1_TO_1": "Put it right behind a convolution, ADD, SUB or MUL: it becomes part of that and costs nothing",
    "PRELU": "LEAKY_RELU, with one slope for all channels, is taken",
    "GELU": "Use SiLU: XNNPACK makes one table look-up of it",
    "DIV": "Where the divisor is a constant, multiply by its inverse: MUL is taken",
    "MAXIMUM": "Where one side is 0, RELU behind a layer does the same and costs nothing",
    "MINIMUM": "Where it clamps at 6, RELU6 behind a layer does the same and costs nothing",
    **dict.fromkeys(
        ("ABS", "CEIL", "COS", "EXP", "FLOOR", "LOG", "NEG", "ROUND", "RSQRT", "SIN", "SQRT", "SQUARE"), ""
    ),
    "SQUARED_DIFFERENCE": "SUB and then MUL of the difference with itself are taken",
}
"""Operators with float kernels alone, and what to use instead in an int8 file."""

_BOTH = frozenset(
    (
        *("ADD", "BATCH_MATMUL", "CONCATENATION", "CONV_2D", "DEPTH_TO_SPACE", "DEPTHWISE_CONV_2D", "DEQUANTIZE"),
        *("ELU", "FULLY_CONNECTED", "LEAKY_RELU", "LOGISTIC", "MAX_POOL_2D", "MEAN", "MUL", "PAD", "QUANTIZE"),
        *("REDUCE_MAX", "REDUCE_MIN", "RESHAPE", "RESIZE_BILINEAR", "SLICE", "SPACE_TO_DEPTH", "SPLIT"),
        *("STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE", "TRANSPOSE_CONV"),
    )
)
"""Operators with kernels for float32 and for int8."""

_INSTEAD: Mapping[str, str] = {
    "SQUEEZE": "RESHAPE does the same and is taken",
    "EXPAND_DIMS": "RESHAPE does the same and is taken",
    "PACK": "RESHAPE and CONCATENATION do the same and are taken",
    "PADV2": "PAD is taken; it fills with the real number 0",
    "MIRROR_PAD": "PAD, which fills with 0, is taken",
    "RESIZE_NEAREST_NEIGHBOR": "RESIZE_BILINEAR is taken",
    "GATHER": "SLICE and CONCATENATION are taken",
    "ARG_MAX": "Leave it out of the file: the largest of the logits is found outside",
    "STABLEHLO_REDUCE_WINDOW": "Pool without padding: then it is AVERAGE_POOL_2D or a depthwise convolution",
    "TILE": "ADD and MUL repeat an axis of size 1 by themselves",
    "BROADCAST_TO": "ADD and MUL repeat an axis of size 1 by themselves",
}
"""What to use for operators that the delegate has no case for."""

_LAST = "Leave it out of the file: the order of the logits is the same without it"
"""Of what stands at the end."""

_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_FUSED = {4: "TANH", 5: "SIGN_BIT"}
"""Of ActivationFunctionType, those that XNNPACK cannot do at the end of a layer."""
_RATIOS = {
    "ADD": (2.0**-10, 2.0**8),
    "SUB": (2.0**-10, 2.0**8),
    "MUL": (2.0**-16, 2.0**8),
    "LEAKY_RELU": (2.0**-8, 2.0**7),
    "QUANTIZE": (2.0**-8, 2.0**7),
}
"""Input scale (of MUL the product of both) to output scale: the least, and what it must stay below."""
_MOST_JOINED, _MOST_SPLIT, _MOST_AXES = 5, 4, 6
_CONSTANTS: Mapping[str, tuple[int, str]] = {
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"), (1, "axes")),
    "PAD": (1, "padding"),
    "RESHAPE": (1, "shape"),
    "RESIZE_BILINEAR": (1, "size"),
    "TRANSPOSE": (1, "order of axes"),
    "SLICE": (1, "place"),
    "SPLIT": (0, "axis"),
    "STRIDED_SLICE": (1, "place"),
    "PRELU": (1, "slope"),
}
"""Inputs that must be constants, by number and by what they are."""


@dataclass(frozen=True)
class _Site:
    """An operator with what it reads and writes; a tensor that is left out is None."""

    model: Any
    op: str
    options: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]

    def option(self, name: str, default: float = 0) -> Any:
        return getattr(self.options, name, default)

    def is_constant(self, number: int) -> bool:
        """Return whether that input is in the file; so is one that is left out."""
        if number >= len(self.inputs) or self.inputs[number] is None:
            return True
        data = self.model.buffers[self.inputs[number].buffer].data
        return data is not None and len(data) > 0

    @property
    def data(self) -> list[Any]:
        """Return the tensors that it computes with: those that are not constants, and the outputs."""
        read = [t for i, t in enumerate(self.inputs) if t is not None and not self.is_constant(i)]
        return [*read, *self.outputs]

    @property
    def is_last(self) -> bool:
        """Return whether the file gives out what it writes."""
        graph = self.model.subgraphs[0]
        return any(graph.tensors[i] is self.outputs[0] for i in graph.outputs)

    @property
    def pads_with_zero(self) -> bool:
        """Return whether the third input, an int8 constant, is the zero point of the first."""
        value = constant(self.model, self.inputs[2], np.int8) if type_name(self.inputs[2]) == "INT8" else None
        return value is not None and _zeros(self.inputs[0]) == [int(value.reshape(-1)[0])]

    @property
    def types(self) -> set[str]:
        return {type_name(t).lower() for t in self.data}


def why(model: Any, operator: Any) -> Reason:
    """Return the reason why XNNPACK leaves an operator that it is known to leave, and what to do about it."""
    tensors = model.subgraphs[0].tensors
    inputs = tuple(tensors[i] if i >= 0 else None for i in operator.inputs)
    outputs = tuple(tensors[i] for i in operator.outputs)
    site = _Site(model, op_name(model, operator), operator.builtinOptions, inputs, outputs)
    return next((found for rule in _RULES if (found := rule(site))), (UNKNOWN, ""))


def _int16(site: _Site) -> Reason | None:
    if "int16" not in site.types:
        return None
    return "XNNPACK has no kernels of int16", "int8 and float32 run in it"


def _no_case(site: _Site) -> Reason | None:
    if site.op in _BOTH or site.op in _FLOAT_ONLY:
        return None
    if site.op == "PADV2" and site.pads_with_zero:
        return "XNNPACK's delegate has no PADV2", "PAD is taken, and fills with the same: the real number 0"
    return f"XNNPACK's delegate has no {site.op}", _INSTEAD.get(site.op, "")


def _float_only(site: _Site) -> Reason | None:
    if site.op not in _FLOAT_ONLY or not site.types & {"int8", "uint8"}:
        return None
    kind = "int8" if "int8" in site.types else "uint8"
    advice = _LAST if site.op == "SOFTMAX" and site.is_last else _FLOAT_ONLY[site.op]
    return f"{site.op} {kind} has no XNNPACK kernel, only the float one", advice


def _other_type(site: _Site) -> Reason | None:
    others = site.types - {"int8", "uint8", "float32", "float16"}
    if not others:
        return None
    return f"XNNPACK computes in float32 and int8; this is {', '.join(sorted(others))}", ""


def _layer(site: _Site) -> Reason | None:
    if site.op not in _LAYERS:
        return None
    weight = site.inputs[1]
    if not site.is_constant(1):
        return "its weight is computed, and XNNPACK wants a constant", "BATCH_MATMUL multiplies two computed tensors"
    if site.op != "FULLY_CONNECTED" and (len(site.inputs) < 3 or site.inputs[2] is None):
        return "it has no bias, and XNNPACK wants one", "Give it a bias of zeros: it costs nothing"
    if zeros := sorted({int(z) for z in _zeros(weight)} - {0}) if type_name(weight) == "INT8" else []:
        reason = f"its weight has the zero point {zeros[0]}, and XNNPACK takes 0 alone"
        return reason, "Quantize weights symmetrically, about 0"
    if "float32" in site.types and type_name(weight) == "INT8":
        reason = "float32 activations with int8 weights are computed in CONV_2D and FULLY_CONNECTED alone"
        return reason, "Quantize it to int8 throughout, or keep these weights in float32"
    return None


def _fused(site: _Site) -> Reason | None:
    name = _FUSED.get(site.option("fusedActivationFunction"))
    if name is None:
        return None
    return f"{name} is part of it, which XNNPACK cannot do there", "Make it an operator of its own"


def _pool(site: _Site) -> Reason | None:
    if site.op not in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
        return None
    window = site.option("filterHeight"), site.option("filterWidth")
    stride = site.option("strideH"), site.option("strideW")
    if all(s <= w for s, w in zip(stride, window, strict=True)):
        return None
    texts = "x".join(map(str, stride)), "x".join(map(str, window))
    reason = f"it strides by {texts[0]}, farther than its window of {texts[1]}"
    return reason, "Take a window as large as the stride, or a strided convolution"


def _scales(site: _Site) -> Reason | None:
    if site.op not in _RATIOS or not site.types <= {"int8", "uint8"}:
        return None
    if len(site.types) > 1:
        return f"{' and '.join(sorted(site.types))} meet in it", "Keep to int8"
    low, high = _RATIOS[site.op]
    given = [_scale(t) for t in site.inputs[: 1 if site.op in ("LEAKY_RELU", "QUANTIZE") else 2]]
    given = [math.prod(given)] if site.op == "MUL" else given
    wrong = [r for r in (g / _scale(site.outputs[0]) for g in given) if not low <= r < high]
    if not wrong:
        return None
    reason = f"a scale of its input is {wrong[0]:.3g} of its output's; XNNPACK takes {low:.3g} to {high:g}"
    return reason, "Calibrate on images that fill the range; a part that is nearly constant can be pruned"


def _count(site: _Site) -> Reason | None:
    if site.op == "CONCATENATION" and not 1 < len(site.inputs) <= _MOST_JOINED:
        return f"it joins {len(site.inputs)} tensors; XNNPACK 2 to {_MOST_JOINED}", "Join them in steps of at most 5"
    if site.op == "SPLIT" and not 1 < len(site.outputs) <= _MOST_SPLIT:
        return f"it makes {len(site.outputs)} parts; XNNPACK 2 to {_MOST_SPLIT}", "Split in steps, or by SLICE"
    return None


def _computed(site: _Site) -> Reason | None:
    number, what = _CONSTANTS.get(site.op, (0, ""))
    if not what or site.is_constant(number):
        return None
    return f"its {what} is computed, and XNNPACK wants a constant", "Fix the input's size when converting"


def _reshape(site: _Site) -> Reason | None:
    if site.op != "RESHAPE" or site.types - {"int8", "uint8"}:
        return None
    one, other = ((_scale(t), *_zeros(t)) for t in (site.inputs[0], site.outputs[0]))
    if one == other:
        return None
    return "its input and output have different scales", "Give both the same scale and zero point"


def _slice(site: _Site) -> Reason | None:
    if site.op != "STRIDED_SLICE":
        return None
    if any(site.option(mask) for mask in ("ellipsisMask", "newAxisMask", "shrinkAxisMask")):
        return "it drops or adds an axis, which XNNPACK's slices cannot", "Slice, and then RESHAPE"
    reason = "XNNPACK's slices take neighbours alone, this one strides, or reaches over the edge"
    return reason, "A convolution or a pool with a stride does the same and is taken"


def _softmax(site: _Site) -> Reason | None:
    if site.op != "SOFTMAX" or site.option("beta", 1.0) == 1.0:
        return None
    return f"its beta is {site.option('beta'):g}; XNNPACK takes 1 alone", "Scale its input instead"


def _leaky(site: _Site) -> Reason | None:
    slope = site.option("alpha")
    if site.op != "LEAKY_RELU" or 2.0**-8 <= abs(slope) <= 2.0**7:
        return None
    return f"its slope {slope:g} is no factor that XNNPACK takes", "With a slope of 0 it is RELU, part of a layer"


def _axes(site: _Site) -> Reason | None:
    most = max((len(t.shape) for t in site.data if t.shape is not None), default=0)
    if most <= _MOST_AXES:
        return None
    return f"a tensor of it has {most} axes; XNNPACK takes {_MOST_AXES}", "RESHAPE axes that stand together into one"


def _elu(site: _Site) -> Reason | None:
    if "uint8" not in site.types or site.op != "ELU":
        return None
    return "ELU uint8 has no XNNPACK kernel, only float32 and int8", "Keep to int8"


def _zeros(tensor: Any) -> list[int]:
    found = tensor.quantization
    return [] if found is None or found.zeroPoint is None else [int(z) for z in found.zeroPoint]


def _scale(tensor: Any) -> float:
    found = tensor.quantization
    return 1.0 if found is None or found.scale is None or not len(found.scale) else float(found.scale[0])


_RULES: tuple[Callable[[_Site], Reason | None], ...] = (
    *(_int16, _no_case, _float_only, _other_type, _axes, _layer, _fused, _pool, _scales, _count, _computed),
    *(_reshape, _slice, _softmax, _leaky, _elu),
)
"""In order: the first that finds a reason is believed."""
