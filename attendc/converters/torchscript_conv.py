"""Layers as torch's packed weights, and convolutions in shapes for which its engines have right and fast kernels.

Each change only adds zeros to the weight, so that the integers of every output stay what they are. Measured with torch
2.13 on one thread of a Zen 5 core (AVX512-VNNI), batch 1:

1. Average pools come as convolutions channel by channel. For 2x2 with stride 2, FBGEMM runs a GEMM a channel: 1310 us
   for 176 channels of 28x28. Its depthwise 3x3 is fast and wrong, since it adds in 16 bits that saturate. As 3x3 over
   groups of 8 or 16 channels it takes 40 us, with the right result. Over the whole image, 744 channels of 7x7 take
   352 us, and 99 us in groups of 4.
2. Groups of fewer than 16 channels make small GEMMs: 4 groups of 10 channels of 56x56 take FBGEMM 974 us, and joined
   in pairs 537 us; 4 groups from 4 to 8 channels of 16x16 take 84 us, and joined in one 23 us. FBGEMM has kernels of
   its own for groups of 2, 4, 8 and 16 channels. Joining costs oneDNN a third more here, QNNPACK two fifths.
3. FBGEMM's kernels for groups of 2 or 4 channels compute 8 or 4 groups at a time. Where that leaves a rest, outputs are
   wrong or the process ends (10 groups of 4; torch 2.13): such groups are joined.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from attendc.converters.torchscript_site import Site

__all__ = ["conv2d", "linear", "unjoined"]

aten, quantized = torch.ops.aten, torch.ops.quantized

_ENOUGH, _MOST_JOINED = 16, 8
_OWN_KERNELS = (2, 4, 8, 16)
_TOGETHER = {2: 8, 4: 4}
"""Channels of a group -> groups that FBGEMM computes at a time."""


@dataclass(frozen=True)
class _Conv:
    """A convolution: weight int8 (O, I / groups, H, W), scale float64 (O,), bias float32 (O,)."""

    weight: Tensor
    scale: Tensor
    bias: Tensor
    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int

    @property
    def inputs(self) -> int:
        """Return the number of input channels."""
        return self.weight.shape[1] * self.groups

    @property
    def kernel(self) -> tuple[int, ...]:
        """Return (H, W) of the weight."""
        return tuple(self.weight.shape[2:])


def conv2d(site: Site) -> fx.Node | None:
    """Return the convolution; None if its weight is not quantized."""
    if site.layer is None:
        return None
    stride, padding, dilation = (_pair(site.arg(i, d)) for i, d in ((3, 1), (4, 0), (5, 1)))
    written = _Conv(*_integers(site), stride, padding, dilation, site.arg(6, 1))
    conv = _for_the_engines(written, site.shapes[0])
    x, missing = site.inputs[0], conv.inputs - written.inputs
    if missing:
        x = site.call(aten.constant_pad_nd.default, x, [0, 0, 0, 0, 0, missing], 0.0)
    weight = _packable(conv.weight, conv.scale)
    packed = quantized.conv2d_prepack(weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups)
    kernel = quantized.conv2d_relu.new if site.relu else quantized.conv2d.new
    made = site.call(kernel, x, site.pack(packed), *site.out)
    if missing:
        made = site.call(aten.slice.Tensor, made, 1, 0, len(written.weight))
        made = site.call(aten.contiguous.default, made, memory_format=torch.channels_last)
    return made


def linear(site: Site) -> fx.Node | None:
    """Return the linear layer; None if its weight is not quantized."""
    if site.layer is None:
        return None
    weight, scale, bias = _integers(site)
    kernel = quantized.linear_relu.default if site.relu else quantized.linear.default
    packed = site.pack(quantized.linear_prepack(_packable(weight, scale), bias))
    return site.call(kernel, site.inputs[0], packed, *site.out)


def unjoined(weight: Tensor, groups: int, shape: tuple[int, ...], own_groups: int) -> Tensor:
    """Return the weight of `shape` and `own_groups` that was packed as `weight` of `groups`.

    What is not the same but for zeros is returned as it is.
    """
    if tuple(weight.shape) == shape:
        return weight
    outputs, inputs, height, width = shape
    per_group, per_packed = outputs // own_groups, len(weight) // groups
    rows = []
    for i, row in enumerate(weight[:outputs, :, -height:, -width:]):
        start = i // per_group * inputs - i // per_packed * weight.shape[1]
        rows.append(row[start : start + inputs])
    whole = all(tuple(row.shape) == shape[1:] for row in rows)
    own = torch.stack(rows) if whole else weight
    return own if own.count_nonzero() == weight.count_nonzero() else weight


def _integers(site: Site) -> tuple[Tensor, Tensor, Tensor]:
    """Return the weight, its scales, and the bias as torch wants it: float32, integer x scale."""
    layer = site.layer
    assert layer is not None
    weight = torch.frombuffer(bytearray(layer.weight), dtype=torch.int8).reshape(layer.shape)
    scale = torch.tensor(layer.scale, dtype=torch.float64)
    bias = torch.tensor(layer.bias, dtype=torch.float64) * scale * site.given[0][0]
    return weight, scale, bias.float()


def _packable(weight: Tensor, scale: Tensor) -> Tensor:
    return torch._make_per_channel_quantized_tensor(weight, scale, torch.zeros(len(scale), dtype=torch.int64), 0)


def _for_the_engines(conv: _Conv, shape: tuple[int, ...]) -> _Conv:
    """Apply the three changes to a convolution whose input has `shape`."""
    halves, averages = _halves(conv, shape), _averages(conv)
    if halves:  # 1
        conv = replace(conv, weight=F.pad(conv.weight, (1, 0, 1, 0)), padding=[1, 1])
    if halves or averages:  # 1
        conv = _in_eights(conv)
        conv = _joined(conv, 8 if conv.groups % 16 else 16)
    elif _sees_all(conv, shape) and conv.groups % 4 == 0:  # 1
        conv = _joined(conv, 4)
    else:
        conv = _joined(conv, _groups_to_join(conv))  # 2, 3
    return conv


def _groups_to_join(conv: _Conv) -> int:
    """Return how many groups are better one, 1 if none."""
    outputs, inputs = len(conv.weight) // conv.groups, conv.weight.shape[1]
    fits = [f for f in range(1, conv.groups + 1) if conv.groups % f == 0]
    if inputs == outputs and inputs in _OWN_KERNELS:  # 3
        return next(f for f in fits if not _leaves_a_rest(inputs * f, conv.groups // f))
    if inputs == 1 or conv.groups == 1 or conv.kernel == (1, 1):
        return 1
    return next((f for f in fits if inputs * f >= _ENOUGH and f <= _MOST_JOINED), 1)  # 2


def _halves(conv: _Conv, shape: tuple[int, ...]) -> bool:
    """Tell 2x2 with stride 2 over even sides, channel by channel: the same as 3x3 with zeros in front."""
    plain = (conv.stride, conv.padding, conv.dilation) == ([2, 2], [0, 0], [1, 1])
    return _is_depthwise(conv) and plain and conv.kernel == (2, 2) and shape[2] % 2 == shape[3] % 2 == 0


def _averages(conv: _Conv) -> bool:
    """Tell an average pool of 3x3 for which FBGEMM would take its depthwise kernel."""
    fits = (conv.kernel, conv.padding, conv.dilation) == ((3, 3), [1, 1], [1, 1]) and conv.stride in ([1, 1], [2, 2])
    return _is_depthwise(conv) and fits and bool((conv.weight == conv.weight.flatten()[0]).all())


def _sees_all(conv: _Conv, shape: tuple[int, ...]) -> bool:
    """Tell a global pool."""
    return _is_depthwise(conv) and conv.kernel == shape[2:] and conv.padding == [0, 0]


def _is_depthwise(conv: _Conv) -> bool:
    return conv.groups == len(conv.weight) == conv.inputs


def _leaves_a_rest(channels: int, groups: int) -> bool:
    return groups > (together := _TOGETHER.get(channels, groups)) and groups % together != 0


def _in_eights(conv: _Conv) -> _Conv:
    """Add channels of zeros up to a multiple of 8 to a depthwise convolution."""
    missing = -conv.groups % 8
    return replace(
        conv,
        weight=F.pad(conv.weight, (0, 0, 0, 0, 0, 0, 0, missing)),
        scale=F.pad(conv.scale, (0, missing), value=1.0),
        bias=F.pad(conv.bias, (0, missing)),
        groups=conv.groups + missing,
    )


def _joined(conv: _Conv, count: int) -> _Conv:
    """Make one group of each `count`, with zeros where an output does not read an input."""
    outputs, inputs, *kernel = conv.weight.shape
    weight = torch.zeros(outputs, inputs * count, *kernel, dtype=conv.weight.dtype)
    per_group = outputs // conv.groups
    for i, row in enumerate(conv.weight):
        start = i // per_group % count * inputs
        weight[i, start : start + inputs] = row
    return replace(conv, weight=weight, groups=conv.groups // count)


def _pair(value: Any) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * 2 if len(values) == 1 else values
