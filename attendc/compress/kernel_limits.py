"""Why an operator cannot run in int8: what LiteRT has no int8 kernel for, and what its kernels do not do.

The passes spell out what can be spelled out; what is named here is what they leave.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

__all__ = ["clips_like_relu", "counts_every_pixel", "limit", "no_kernel"]

aten = torch.ops.aten

_RELU_RANGES = ((0.0, 6.0), (0.0, None))
_DIVISION = "LiteRT divides in float only; a division by a constant or by a square root becomes a product"
_VALUES = "what it reads depends on values, not on positions"
_REDUCTION = "LiteRT has no int8 kernel for it; mean and amax have one"

_CLIP = "LiteRT clips at 0 and 6 only, and its limits must be numbers"
_BATCH = "it mixes the images of a batch"
_NORM = "LiteRT has no int8 kernel for it; norms of images and of tokens are spelled out"

_NO_KERNEL: dict[str, str] = {
    "div": _DIVISION,
    "reciprocal": _DIVISION,
    "sqrt": "LiteRT takes square roots in float only; x / sqrt(y) becomes x * rsqrt(y)",
    "pow": "LiteRT has no int8 power; a square becomes a product",
    "conv_transpose2d": "its weight must be a constant, not computed from the input",
    "scaled_dot_product_attention": "its heads share keys and values (enable_gqa); repeat them in the network",
    "roll": "it rolls over all numbers or over the batch; name other dimensions",
    "upsample_bicubic2d": "LiteRT resizes by nearest and bilinear only",
    "_upsample_nearest_exact2d": "litert-torch gathers its pixels in float; use mode nearest or bilinear",
    "std": _REDUCTION,
    "var": _REDUCTION,
    "sum": _REDUCTION,
    "amin": _REDUCTION,
    "where": _VALUES,
    "index": _VALUES,
    "gather": _VALUES,
    "topk": _VALUES,
    "sort": _VALUES,
    "masked_fill": _VALUES,
    "clamp": _CLIP,
    "mean": _BATCH,
    "layer_norm": _NORM,
    "group_norm": _NORM,
    "rms_norm": _NORM,
}


def no_kernel(node: fx.Node) -> str:
    """Return the reason why an operator has no rule at all."""
    packet = getattr(node.target, "overloadpacket", node.target)
    return _NO_KERNEL.get(getattr(packet, "__name__", ""), "LiteRT has no int8 kernel for it")


def limit(node: fx.Node) -> str | None:
    """Return what LiteRT's int8 kernel for a node's operator cannot do that this node asks for; None where it can."""
    check = _LIMITS.get(node.target)
    return check(node) if check is not None else None


def clips_like_relu(node: fx.Node) -> bool:
    """Return whether a node is ReLU or ReLU6, however it is spelled."""
    if node.target is aten.relu.default:
        return True
    if node.target not in (aten.hardtanh.default, aten.clamp.default):
        return False
    low, high = (*node.args[1:], None, None)[:2]
    return (low, high) in _RELU_RANGES


def counts_every_pixel(node: fx.Node) -> bool:
    """Return whether an average pool divides by the size of its kernel everywhere, padding or not."""
    given: list[Any] = [*node.args, *[None] * (7 - len(node.args))]
    padding, ceil_mode, count_padding, divisor = given[3:]
    padded = padding not in (None, 0) and any(padding)
    return not ceil_mode and divisor is None and (not padded or count_padding is not False)


def _clamp(node: fx.Node) -> str | None:
    return None if clips_like_relu(node) else _CLIP


def _average_pool(node: fx.Node) -> str | None:
    return None if counts_every_pixel(node) else "an average pool that does not divide by the size of its kernel"


def _max_pool(node: fx.Node) -> str | None:
    dilation: Any = node.args[4] if len(node.args) > 4 else 1
    dilated = any(d != 1 for d in ([dilation] if isinstance(dilation, int) else dilation))
    return "a max pool with gaps in its window (dilation)" if dilated else None


def _reduction(node: fx.Node) -> str | None:
    dims: Any = node.args[1] if len(node.args) > 1 else []
    rank = node.all_input_nodes[0].meta["val"].ndim
    if not dims or 0 in {d % rank for d in dims}:
        return _BATCH
    keeps = len(node.args) > 2 and bool(node.args[2])
    return None if keeps or rank != 4 else "an image must keep its four dimensions"


def _softmax(node: fx.Node) -> str | None:
    dim: Any = node.args[1]
    rank = node.all_input_nodes[0].meta["val"].ndim
    within_rows = rank == 4 and dim % rank == 2
    if node.meta["val"].shape[dim] == 1:
        return "a softmax over one number, which is always 1"
    middle = rank != 4 and dim % rank != rank - 1
    return "LiteRT takes softmax over the last dimension only" if within_rows or middle else None


def _expand(node: fx.Node) -> str | None:
    """Return why an expand that the passes left stays float: of an image, LiteRT refuses it."""
    (source,) = node.all_input_nodes[:1]
    computed = source.op != "get_attr" and "quantize" not in str(source.target)
    return "it copies a part of an image more than 64 times" if computed and node.meta["val"].ndim == 4 else None


def _resize(node: fx.Node) -> str | None:
    scales: Any = node.args[-1]
    if not isinstance(scales, (list, tuple)):
        return None
    sizes = node.all_input_nodes[0].meta["val"].shape[-2:]
    whole = all(float(int(s) * f).is_integer() for s, f in zip(sizes, scales, strict=True))
    return None if whole else "a resize by a factor that does not make whole sizes; give the size"


_LIMITS: dict[object, Callable[[fx.Node], str | None]] = {
    aten.hardtanh.default: _clamp,
    aten.clamp.default: _clamp,
    aten.avg_pool2d.default: _average_pool,
    aten.max_pool2d.default: _max_pool,
    aten.expand.default: _expand,
    aten.mean.dim: _reduction,
    aten.amax.default: _reduction,
    aten.softmax.int: _softmax,
    aten._softmax.default: _softmax,
    aten.upsample_nearest2d.vec: _resize,
    aten.upsample_bilinear2d.vec: _resize,
}
