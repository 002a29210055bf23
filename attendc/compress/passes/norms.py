"""Spell out layer, group, instance and RMS norms before quantization: LiteRT has no int8 kernel for any of them.

A norm is d * rsqrt(v + eps) with d = x - mean(x) and v = mean(d * d). In 8 bits, v has a grid of 256 even steps, on
which the variance of a quiet token beside a loud one is 0 or 1 steps: the result is noise. So it is normalised twice.

Rules:
1. First by w = v + mean(v), where mean(v) is over the tokens (or groups) of the image: r = rsqrt(w + eps), y = d * r.
   No w is less than mean(v), so r has few sizes; y is at most as large as the norm's result.
2. Then y * rsqrt(mean(y * y) + eps * r * r). This is the norm itself, not an approximation: mean(y * y) + eps * r * r
   = (v + eps) * r * r. Its argument lies between 0 and 1 and has a grid of its own.
3. Where there is one token (or group) in an image, mean(v) is v and would change nothing: d * rsqrt(v + eps).
4. A layer norm between permutations to channels last and back is computed on channels first.
5. Means over the groups of a group norm are means over the image and then a 1x1 convolution with 1 / (channels in a
   group) where both channels are of one group, which gives each channel the mean of its group.

Measured on random tokens (100 images, 49 tokens, 96 channels; deviations log-normal over the tokens with sigma 0.5,
over the channels with 0.5): 22 dB where only input and output are int8, 3 dB when normalised once, 20 dB when twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import fx

from attendc.compress.graph import add_constant, call_nodes, insert_call, is_constant
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.exported import constant

__all__ = ["spell_out_norms"]

aten = torch.ops.aten

_TO_CHANNELS_LAST, _TO_CHANNELS_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
_SMALLEST_EPS = torch.finfo(torch.float32).eps
"""What torch adds where an RMS norm is given no eps."""

Mean = Callable[[fx.Node], fx.Node]


@dataclass(frozen=True)
class _Norm:
    """Attributes:
    x: what is normalised.
    mean: makes the mean that the norm takes, of as many dimensions.
    spread: the dimensions over which the results of `mean` differ within an image.
    shape: that of factor and offset, to meet x.
    affine: factor and offset as torch has them; None for what there is not.
    centred: whether the mean is subtracted.
    """

    x: fx.Node
    mean: Mean
    spread: list[int]
    shape: tuple[int, ...]
    affine: tuple[object, object]
    eps: float
    centred: bool = True


def spell_out_norms(gm: fx.GraphModule) -> Outcome:
    """Replace layer norms and RMS norms (4), and the group norms of images (5)."""
    done = 0
    for node in call_nodes(gm.graph, aten.layer_norm.default, aten.rms_norm.default):
        readers = _back_to_channels_first(node)
        new = _normalised(gm, node, _over_channels(gm, node) if readers else _over_last(gm, node))
        for old in readers or [node]:
            old.replace_all_uses_with(new)
        done += 1
    for node in call_nodes(gm.graph, aten.group_norm.default):
        if node.meta["val"].ndim == 4:
            node.replace_all_uses_with(_normalised(gm, node, _over_groups(gm, node)))
            done += 1
    return outcome(gm, f"spelled out {done} norms" if done else None)


def _over_last(gm: fx.GraphModule, node: fx.Node) -> _Norm:
    """Return a layer norm or RMS norm over the last dimensions."""
    x, sizes, affine, eps = _layer_norm(node)
    rank, count = node.meta["val"].ndim, len(sizes)
    shape = (*(1,) * (rank - count), *sizes)
    dims = list(range(rank - count, rank))
    mean = _mean_over(gm, node, dims)
    return _Norm(x, mean, list(range(1, rank - count)), shape, affine, eps, node.target is aten.layer_norm.default)


def _over_channels(gm: fx.GraphModule, node: fx.Node) -> _Norm:
    """Return the same of rule 4: its input is what the first permute reads."""
    permuted, sizes, affine, eps = _layer_norm(node)
    shape = (1, *sizes, 1, 1)
    centred = node.target is aten.layer_norm.default
    return _Norm(permuted.all_input_nodes[0], _mean_over(gm, node, [1]), [2, 3], shape, affine, eps, centred)


def _over_groups(gm: fx.GraphModule, node: fx.Node) -> _Norm:
    """Return a group norm over (N, C, H, W)."""
    x, groups, affine, eps = _group_norm(node)
    channels = int(node.meta["val"].shape[1])
    over_image = _mean_over(gm, node, [2, 3])
    spread, mean = [1], over_image
    if groups == 1:
        spread, mean = [], _mean_over(gm, node, [1, 2, 3])
    elif groups != channels:
        share = _block_matrix(channels, groups)

        def mean(y: fx.Node) -> fx.Node:
            matrix = add_constant(gm, f"{node.name}_groups", share, node)
            zeros = add_constant(gm, f"{node.name}_zeros", torch.zeros(channels), node)
            args = (over_image(y), matrix, zeros, [1, 1], [0, 0], [1, 1], 1)
            return insert_call(gm, node, aten.conv2d.default, args, node)

    return _Norm(x, mean, spread, (1, channels, 1, 1), affine, eps)


def _layer_norm(node: fx.Node) -> tuple[fx.Node, list[int], tuple[object, object], float]:
    """Return (input, sizes, (factor, offset), eps) of a layer norm or RMS norm."""
    given: list[Any] = [*node.args, *[None] * (5 - len(node.args))]
    if node.target is aten.rms_norm.default:
        x, sizes, weight, eps = given[:4]
        return x, sizes, (weight, None), _SMALLEST_EPS if eps is None else float(eps)
    x, sizes, weight, bias, eps = given[:5]
    return x, sizes, (weight, bias), 1e-5 if eps is None else float(eps)


def _group_norm(node: fx.Node) -> tuple[fx.Node, int, tuple[object, object], float]:
    """Return (input, groups, (factor, offset), eps) of a group norm."""
    given: list[Any] = [*node.args, *[None] * (5 - len(node.args))]
    x, groups, weight, bias, eps = given[:5]
    return x, groups, (weight, bias), 1e-5 if eps is None else float(eps)


def _back_to_channels_first(node: fx.Node) -> list[fx.Node]:
    """Return the permutes to channels first that alone read a norm over channels that were permuted to be last."""
    source = node.all_input_nodes[0]
    over_channels = _permutes(source, _TO_CHANNELS_LAST) and len(cast("list[int]", node.args[1])) == 1
    readers = list(node.users)
    return readers if over_channels and all(_permutes(r, _TO_CHANNELS_FIRST) for r in readers) else []


def _permutes(node: fx.Node, order: list[int]) -> bool:
    return node.target is aten.permute.default and list(cast("list[int]", node.args[1])) == order


def _mean_over(gm: fx.GraphModule, node: fx.Node, dims: list[int]) -> Mean:
    return lambda y: insert_call(gm, node, aten.mean.dim, (y, dims, True), node)


def _normalised(gm: fx.GraphModule, node: fx.Node, norm: _Norm) -> fx.Node:
    """Insert a norm before `node` and return its result."""

    def call(target: Any, *args: object) -> fx.Node:
        return insert_call(gm, node, target, args, node)

    rank = norm.x.meta["val"].ndim
    eps = add_constant(gm, f"{node.name}_eps", torch.full((1,) * rank, norm.eps), node)
    d = call(aten.sub.Tensor, norm.x, norm.mean(norm.x)) if norm.centred else norm.x
    w = norm.mean(call(aten.mul.Tensor, d, d))
    if norm.spread:
        w = call(aten.add.Tensor, w, call(aten.mean.dim, w, norm.spread, True))
    r = call(aten.rsqrt.default, call(aten.add.Tensor, w, eps))
    y = call(aten.mul.Tensor, d, r)
    if norm.spread:
        left = call(aten.mul.Tensor, call(aten.mul.Tensor, r, r), eps)
        rest = call(aten.add.Tensor, norm.mean(call(aten.mul.Tensor, y, y)), left)
        y = call(aten.mul.Tensor, y, call(aten.rsqrt.default, rest))
    for target, one in zip((aten.mul.Tensor, aten.add.Tensor), norm.affine, strict=True):
        if is_constant(one):
            y = call(target, y, _constant(gm, node, one, norm.shape))  # type: ignore[arg-type]
    return y


def _constant(gm: fx.GraphModule, node: fx.Node, one: fx.Node, shape: tuple[int, ...]) -> fx.Node:
    value = constant(gm, one).detach().reshape(shape).clone()
    return add_constant(gm, f"{node.name}_constant", value, node, trained=True)


def _block_matrix(channels: int, groups: int) -> torch.Tensor:
    """Return a 1x1 kernel that gives each channel the mean of the channels of its group."""
    size = channels // groups
    return torch.kron(torch.eye(groups), torch.full((size, size), 1 / size)).view(channels, channels, 1, 1)
