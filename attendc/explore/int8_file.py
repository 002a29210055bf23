"""The operators of the int8 TFLite file that layers become, and the tensors between them, by arithmetic alone.

The same rules as `attendc.compress.pruning.operators` reads from a graph, and those that the writer of the file adds:

1. An average pool is a depthwise convolution. A condenser pools once where both of its branches pool the same image.
2. The mean of an image of more than 25 pixels is a MEAN.
3. Narrow columns are joined, and strided convolutions over few channels read wide rows (`attendc.arm.kernels`).
4. x * sigmoid(x) is one look-up; ReLU and ReLU6 join the operator before them. So does the gate relu6(x + 3) / 6: what
   is added joins the bias of the convolution before it, and the factor the weights of the other branch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from attendc.arm.kernels import DEPTHWISE_TAPS, WideRows, columns_together
from attendc.arm.ops import SILU, Op
from attendc.models.layout import Layer

__all__ = ["Step", "peak_memory", "steps_of"]

_INT8 = "int8"
_ALONE = {"silu": SILU, "hardswish": "HARD_SWISH", "softmax": "SOFTMAX", "sigmoid": "LOGISTIC"}
"""Gates and activations that are one operator (4)."""


@dataclass(frozen=True)
class Step:
    """An operator, and the tensors that it reads and writes, by number; the image is number 0."""

    op: Op
    reads: tuple[int, ...]
    writes: int


def steps_of(layers: Iterable[Layer], height: int, width: int) -> tuple[Step, ...]:
    """Return the operators in the order of the file, for an image of `height` x `width` pixels."""
    writer = _Writer(height, width)
    for layer in layers:
        writer.write(layer)
    return tuple(writer.steps)


def peak_memory(steps: Iterable[Step], image: int) -> int:
    """Return the most bytes of activations that are alive at once; `image` is how many numbers the image has.

    A tensor lives from the operator that writes it to the last one that reads it. No operator works in place.
    """
    steps = tuple(steps)
    sizes = {0: image, **{step.writes: step.op.elements for step in steps}}
    last = {tensor: place for place, step in enumerate(steps) for tensor in (step.writes, *step.reads)}
    first = {0: 0, **{step.writes: place for place, step in reversed(tuple(enumerate(steps)))}}
    return max(
        sum(size for tensor, size in sizes.items() if first[tensor] <= place <= last[tensor])
        for place in range(len(steps))
    )


class _Writer:
    """Keeps which tensor the next layer reads, and which ones the branches of a block come back to."""

    def __init__(self, height: int, width: int) -> None:
        self.steps: list[Step] = []
        self.sizes = [(height, width)]
        self.now = self.entry = self.other = 0
        self.part = ""
        self.pooled: tuple[Op, int] | None = None

    def write(self, layer: Layer) -> None:
        if layer.part != self.part:
            self._enter(layer.part)
        if layer.kind == "avg_pool":
            self._pool(layer)
        elif layer.kind == "conv":
            self._conv(layer)
        elif layer.kind in ("mul", "add"):
            self._put(_plain(layer.kind.upper(), layer), self.other)
        else:
            for op in _ops(layer):
                self._put(op)

    def _enter(self, part: str) -> None:
        """Go on to another part: a second branch reads what the first one read, and where they meet, both are read."""
        if part.endswith(".features"):
            self.other, self.now = self.now, self.entry
        elif not self.part.endswith(".features"):
            self._begin()
        self.part = part

    def _begin(self) -> None:
        self.entry = self.other = self.now
        self.pooled = None

    def _pool(self, layer: Layer) -> None:
        """Write a pool, or go to what the other branch made by the same pool of the same image (1)."""
        op, of_entry = _pool(layer), self.now == self.entry
        if of_entry and self.pooled is not None and self.pooled[0] == op:
            self.now = self.pooled[1]
            return
        self._put(op)
        if of_entry:
            self.pooled = op, self.now

    def _conv(self, layer: Layer) -> None:
        """Write a convolution, and before it the RESHAPE to wide rows where that pays (3)."""
        op = _convolution(layer)
        (rows, columns), stride, (height, width) = layer.kernel, layer.stride[1], self.sizes[self.now]
        wide = WideRows(width, layer.inputs, columns, stride, (layer.padding, layer.padding))
        if layer.groups == 1 and wide.pays:
            channels = layer.inputs * stride
            image = Op("RESHAPE", _INT8, layer.inputs, channels, height=height, width=width // stride)
            self.steps.append(Step(image, (self.now,), self.now))  # it moves nothing
            steps = (layer.stride[0], 1)
            op = replace(op, kind="CONV_2D", inputs=channels, kernel=(rows, wide.blocks), stride=steps)
        self._put(op)

    def _put(self, op: Op, *others: int) -> None:
        made = len(self.sizes)
        self.steps.append(Step(op, (self.now, *others), made))
        self.sizes.append((op.height, op.width))
        self.now = made


def _plain(kind: str, layer: Layer) -> Op:
    return Op(kind, _INT8, layer.inputs, layer.outputs, height=layer.height, width=layer.width)


def _ops(layer: Layer) -> list[Op]:
    """Return the operators of a layer that has no branches to meet."""
    if layer.kind == "linear":
        return [_plain("FULLY_CONNECTED", layer)]
    if layer.kind == "global_pool":
        return [_pool(layer)]
    return [_plain(_ALONE[layer.name], layer)] if layer.name in _ALONE else []


def _pool(layer: Layer) -> Op:
    op = replace(_plain("DEPTHWISE_CONV_2D", layer), kernel=layer.kernel, stride=layer.stride, groups=layer.outputs)
    if op.pixels == 1 and math.prod(op.kernel) > DEPTHWISE_TAPS:
        return replace(op, kind="MEAN", groups=1, stride=(1, 1))
    return op


def _convolution(layer: Layer) -> Op:
    depthwise = layer.groups == layer.inputs
    together = 1 if depthwise else columns_together(layer.groups, layer.outputs // layer.groups)
    return replace(
        _plain("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", layer),
        groups=layer.groups // together,
        kernel=layer.kernel,
        stride=layer.stride,
    )
