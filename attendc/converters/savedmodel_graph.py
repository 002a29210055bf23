"""From a torch graph to a graph of TensorFlow operators: each node by its emitter, in the graph's order.

What depends on no input is worked out by torch while writing. A quantized constant is kept as its integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import torch
from torch import Tensor, fx

from attendc.converters.savedmodel_ops_elementwise import ELEMENTWISE
from attendc.converters.savedmodel_ops_layers import LAYERS
from attendc.converters.savedmodel_ops_layout import LAYOUT
from attendc.converters.savedmodel_ops_norms import NORMS
from attendc.converters.savedmodel_ops_pools import POOLS
from attendc.converters.savedmodel_values import NHWC, Activation, Constant, Value, activation, dims, plain
from attendc.errors import ConversionError
from attendc.exported import constant
from attendc.qdq import quant_table
from attendc.types import Layer, Preprocess

__all__ = ["EMITTERS", "build_graph"]

aten = torch.ops.aten
_Q = torch.ops.quantized_decomposed


def quantize(x: Activation, scale: float, zero_point: int, qmin: int, qmax: int, dtype: torch.dtype) -> Activation:
    """Write round(x * (1 / scale)) + zero_point, clipped: torch's own arithmetic, halves to even."""
    steps = tf.round(tf.multiply(x.tensor, tf.constant(1.0 / scale, tf.float32, name="inverse_scale")))
    shifted = tf.add(steps, tf.constant(float(zero_point), name="zero_point"))
    clipped = tf.maximum(tf.minimum(shifted, float(qmax)), float(qmin))
    return Activation(tf.cast(clipped, tf.as_dtype(str(dtype).removeprefix("torch."))), x.order)


def dequantize(x: Activation, scale: float, zero_point: int, *_: Any) -> Activation:
    """Write (x - zero_point) * scale."""
    centred = tf.subtract(tf.cast(x.tensor, tf.float32), tf.constant(float(zero_point), name="zero_point"))
    return Activation(tf.multiply(centred, tf.constant(scale, tf.float32, name="scale")), x.order)


EMITTERS: dict[Any, Callable[..., Any]] = {
    **LAYERS,
    **ELEMENTWISE,
    **POOLS,
    **NORMS,
    **LAYOUT,
    _Q.quantize_per_tensor.default: quantize,
    _Q.dequantize_per_tensor.default: dequantize,
}
"""Operator -> what writes it: the one place to look whether the target has it."""


def build_graph(gm: fx.GraphModule, preprocess: Preprocess) -> tf.Graph:
    """Return a graph of TensorFlow that takes `image`, float32 (N, H, W, C), and gives `logits`, float32 (N, classes).

    Raises:
        ConversionError: if it has an operator that no emitter writes, by name and module.
    """
    layers = quant_table(gm).layers
    values: dict[fx.Node, Any] = {}
    graph = tf.Graph()
    with graph.as_default(), torch.no_grad():
        for node in gm.graph.nodes:
            if node.op == "placeholder":
                values[node] = _image(preprocess)
            elif node.op == "get_attr":
                values[node] = Constant(constant(gm, node).detach())
            elif node.op == "output":
                _name_output(values[node.args[0][0]])
            elif node.users:  # assertions about shapes have none, nor have results that nobody wants
                with tf.name_scope(node.name.lstrip("_")):
                    values[node] = _emit(node, values, layers)
    return graph


def _image(preprocess: Preprocess) -> Activation:
    channels, height, width = preprocess.input_shape
    return Activation(tf.compat.v1.placeholder(tf.float32, [None, height, width, channels], "image"), NHWC)


def _name_output(value: Value) -> None:
    logits = activation(value)
    tf.identity(activation(logits, plain(len(logits.order))).tensor, name="logits")


def _emit(node: fx.Node, values: dict[fx.Node, Any], layers: dict[str, Layer]) -> Any:
    arguments = _arguments(node, values)
    target: Any = node.target
    if not any(_is_free(a) for a in arguments):
        return _worked_out(target, arguments)
    if not isinstance(target, torch._ops.OpOverload):  # operator.getitem, and arithmetic on sizes
        return target(*arguments)
    if target is aten.sym_size.int:
        return _size(arguments[0], arguments[1])
    if node.name in layers:
        arguments[2] = _integer_bias(node, arguments, layers[node.name])
    emit = EMITTERS.get(target)
    if emit is None:
        raise ConversionError(f"the SavedModel target has no operator for {target} in {_module(node)}")
    try:
        return emit(*arguments)
    except ConversionError as e:
        raise ConversionError(f"{target} in {_module(node)}: {e.message}", hint=e.hint) from e
    except Exception as e:
        reason = str(e).strip().splitlines()
        text = reason[0] if reason else type(e).__name__
        raise ConversionError(f"{target} in {_module(node)} cannot be written: {text}") from e


def _arguments(node: fx.Node, values: dict[fx.Node, Any]) -> list[Any]:
    """Return all arguments of the operator's schema in order, its defaults for what the node leaves out."""
    args = fx.map_arg(node.args, lambda n: values[n])
    kwargs = fx.map_arg(node.kwargs, lambda n: values[n])
    if not isinstance(node.target, torch._ops.OpOverload):
        return list(args)
    rest = node.target._schema.arguments[len(args) :]
    return [*args, *(kwargs.get(a.name, a.default_value) for a in rest)]


def _is_free(argument: Any) -> bool:
    """Return whether a value is known only when the model runs."""
    if isinstance(argument, Sequence) and not isinstance(argument, str):
        return any(_is_free(a) for a in argument)
    return isinstance(argument, Activation) or tf.is_tensor(argument)


def _worked_out(target: Any, arguments: list[Any]) -> Any:
    """Return what torch says of constants."""
    if target in (_Q.quantize_per_tensor.default, _Q.quantize_per_channel.default):
        return _quantized(target, arguments)
    if target in (_Q.dequantize_per_tensor.default, _Q.dequantize_per_channel.default):
        held: Constant = arguments[0]
        return held
    given = [_torch_value(a) for a in arguments]
    if isinstance(target, torch._ops.OpOverload):
        positional = [a for a in target._schema.arguments if not a.kwarg_only]
        named = {a.name: v for a, v in zip(target._schema.arguments, given, strict=True) if a.kwarg_only}
        return _wrapped(target(*given[: len(positional)], **named))
    return _wrapped(target(*given))


def _quantized(target: Any, arguments: list[Any]) -> Constant:
    """Return a constant with its integers, whose dequantized value is the constant itself."""
    values = [_torch_value(a) for a in arguments]
    integers: Tensor = target(*values)
    if target is _Q.quantize_per_tensor.default:
        scale = torch.full([1] * integers.ndim, values[1], dtype=torch.float32)
        zero_point = int(values[2])
    else:
        axis = values[3]
        scale = values[1].float().view([-1 if a == axis else 1 for a in range(integers.ndim)])
        zero_point = 0
        assert not values[2].any(), "weights are symmetric"
    return Constant((integers.float() - zero_point) * scale, integers, scale, zero_point)


def _torch_value(argument: Any) -> Any:
    if isinstance(argument, Constant):
        return argument.value
    if isinstance(argument, list | tuple):
        return [_torch_value(a) for a in argument]
    return argument


def _wrapped(result: Any) -> Any:
    if isinstance(result, Tensor):
        return Constant(result)
    return [_wrapped(r) for r in result] if isinstance(result, list | tuple) else result


def _size(value: Value, dim: int) -> Any:
    x = activation(value)
    known = dims(x)[dim]
    return tf.shape(x.tensor)[x.order.index(dim)] if known is None else known


def _integer_bias(node: fx.Node, arguments: list[Any], layer: Layer) -> Constant:
    """Return the bias of a quantized layer as its int32, in steps of input scale x weight scale."""
    source: Any = node.args[0]
    step = torch.tensor(layer.scale, dtype=torch.float64) * float(source.args[1])
    integers = torch.tensor(layer.bias, dtype=torch.int32)
    return Constant(arguments[2].value, integers, step.float())


def _module(node: fx.Node) -> str:
    """Return where in the user's network a node comes from."""
    stack = node.meta.get("nn_module_stack") or {}
    path, kind = list(stack.values())[-1] if stack else ("", "")
    name = kind if isinstance(kind, str) else kind.__qualname__
    return f"{path} ({name.rsplit('.', 1)[-1]})" if path else node.name
