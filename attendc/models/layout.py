"""The layers of a member of the family by arithmetic alone: shapes, parameters, multiply-accumulates, no network.

What `AttendNeXt` builds, in the order in which it runs; a test holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from attendc.models.attendnext import BOTTLENECK, CHOICES, AttendNeXtConfig, check_choice

__all__ = ["Layer", "layout", "macs_of", "params_of"]


@dataclass(frozen=True)
class Layer:
    """One layer, for one image. Batch norms count to the convolution before them.

    Attributes:
        kind: `conv`, `linear`, `avg_pool`, `global_pool`, `gate`, `mul`, `add` or `activation`.
        part: where it stands: `stem`, `stage1.0.attention`, `stage1.0.features`, `stage1.0` (where both meet),
            `stage1.1` (a residual block), `head`.
        inputs: channels.
        outputs: channels.
        groups: of a convolution, its columns.
        kernel: height and width of what one output looks at.
        stride: vertical and horizontal.
        height: of the output.
        width: of the output.
        name: of a gate (`sigmoid`) or an activation (`silu`).
        padding: zeros on each side.
    """

    kind: str
    part: str
    inputs: int
    outputs: int
    groups: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    height: int
    width: int
    name: str = ""
    padding: int = 0

    @property
    def pixels(self) -> int:
        """Return height times width of the output."""
        return self.height * self.width

    @property
    def weights(self) -> int:
        """Return how many numbers the kernel has; 0 of what has none."""
        if self.kind not in ("conv", "linear"):
            return 0
        return self.inputs // self.groups * self.outputs * math.prod(self.kernel)


def params_of(layers: Iterable[Layer]) -> int:
    """Return the trained numbers: kernels, gain and bias of each convolution's norm, bias of a linear layer."""
    extra = {"conv": 2, "linear": 1}
    return sum(layer.weights + extra.get(layer.kind, 0) * layer.outputs for layer in layers)


def macs_of(layers: Iterable[Layer]) -> int:
    """Return the multiply-accumulates of convolutions and the linear layer for one image."""
    return sum(layer.weights * layer.pixels for layer in layers)


def layout(config: AttendNeXtConfig, height: int, width: int) -> tuple[Layer, ...]:
    """Return the layers for an image of `height` x `width` pixels, in the order in which they run.

    Raises:
        ValueError: if the network cannot be built, or strides leave nothing of such an image.
    """
    _check(config)
    trace = _Trace(config, config.in_channels, height, width)
    trace.stem()
    for index, depth in enumerate(config.depths):
        for block in range(depth):
            if block == 0 or config.attention == "every":
                trace.condenser(index, block, config.stage_strides[index] if block == 0 else 1)
            else:
                trace.residual(index, block)
    trace.pool_image()
    trace.linear(config.classes)
    return tuple(trace.layers)


def _check(config: AttendNeXtConfig) -> None:
    """Refuse what no network can be built of."""
    for name in CHOICES:
        check_choice(name, getattr(config, name))
    for name in ("widths", "depths", "stage_strides"):
        values = getattr(config, name)
        if len(values) != len(BOTTLENECK) or min(values) < 1:
            raise ValueError(f"{name} is {values}, but each of {len(BOTTLENECK)} stages has a number of 1 or more")
    for name in ("columns", "stem_width", "stem_stride", "expansion", "classes", "in_channels"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name} is {getattr(config, name)}, but must be 1 or more")
    for name, channels in (("stem_width", config.stem_width), *(("widths", width) for width in config.widths)):
        if channels % config.columns:
            raise ValueError(f"{channels} channels of {name} do not divide into {config.columns} columns")


class _Trace:
    """Builds the layers one after the other; what it knows of the tensor between them is its shape."""

    def __init__(self, config: AttendNeXtConfig, channels: int, height: int, width: int) -> None:
        self.config = config
        self.channels, self.height, self.width = channels, height, width
        self.layers: list[Layer] = []

    def stem(self) -> None:
        config, width = self.config, self.config.stem_width
        if config.stem == "patch":
            self.conv("stem", width, config.stem_stride, stride=config.stem_stride, padding=0)
            self.activation("stem")
            return
        self.conv("stem", width, 3, stride=config.stem_stride)
        self.activation("stem")
        self.conv("stem", width, 3, columns=config.columns)
        self.activation("stem")
        if config.stem_pool:
            self.pool("stem", 3, 2, padding=1)

    def condenser(self, index: int, block: int, stride: int) -> None:
        """Add both branches, and what joins them: see `DCAC`."""
        config, part = self.config, f"stage{index + 1}.{block}"
        entry = (self.channels, self.height, self.width)
        pool, step = (1, stride) if config.downsample == "strided" else (stride, 1)
        self.attention(index, f"{part}.attention", pool, step)
        if config.attention != "none":
            self.plain("gate", f"{part}.attention", config.gate)
        outputs = self.channels
        self.channels, self.height, self.width = entry
        self.pool(f"{part}.features", pool, pool)
        self.conv(f"{part}.features", outputs, 1, stride=step)
        self.plain("add" if config.attention == "none" else "mul", part)
        self.activation(part)

    def attention(self, index: int, part: str, pool: int, step: int) -> None:
        config, width = self.config, self.config.widths[index]
        if BOTTLENECK[index]:
            self.conv(part, width, 1)
            self.activation(part)
            self.pool(part, pool, pool)
            self.conv(part, width, 3, stride=step, columns=config.columns)
            self.activation(part)
            self.conv(part, width * config.expansion, 1)
            return
        self.pool(part, pool, pool)
        self.conv(part, width, 3, stride=step, columns=config.columns)
        self.activation(part)
        self.conv(part, width, 3, columns=1 if config.mix == "block" else config.columns)

    def residual(self, index: int, block: int) -> None:
        """Add a block of the same shape in and out: see `BasicBlock` and `BottleneckBlock`."""
        config, part, width = self.config, f"stage{index + 1}.{block}", self.config.widths[index]
        if BOTTLENECK[index]:
            self.conv(part, width, 1)
            self.activation(part)
            self.conv(part, width, 3, columns=config.columns)
            self.activation(part)
            self.conv(part, width * config.expansion, 1)
        else:
            columns = 1 if config.mix == "block" else config.columns
            self.conv(part, width, 3, columns=columns)
            self.activation(part)
            self.conv(part, width, 3, columns=columns)
        self.plain("add", part)
        self.activation(part)

    def conv(
        self, part: str, outputs: int, kernel: int, *, stride: int = 1, columns: int = 1, padding: int | None = None
    ) -> None:
        self.window("conv", part, outputs, columns, kernel, stride, kernel // 2 if padding is None else padding)

    def pool(self, part: str, kernel: int, stride: int, *, padding: int = 0) -> None:
        if kernel > 1:
            self.window("avg_pool", part, self.channels, 1, kernel, stride, padding)

    def window(self, kind: str, part: str, outputs: int, groups: int, kernel: int, stride: int, padding: int) -> None:
        """Append a layer whose outputs look at `kernel` x `kernel` pixels each."""
        height, width = ((size + 2 * padding - kernel) // stride + 1 for size in (self.height, self.width))
        if min(height, width) < 1:
            raise ValueError(f"nothing is left of {self.height}x{self.width} pixels behind stride {stride} of {part}")
        inputs, square, steps = self.channels, (kernel, kernel), (stride, stride)
        self.append(Layer(kind, part, inputs, outputs, groups, square, steps, height, width, padding=padding))

    def pool_image(self) -> None:
        kernel = (self.height, self.width)
        self.append(Layer("global_pool", "head", self.channels, self.channels, 1, kernel, kernel, 1, 1))

    def linear(self, outputs: int) -> None:
        self.append(Layer("linear", "head", self.channels, outputs, 1, (1, 1), (1, 1), 1, 1))

    def activation(self, part: str) -> None:
        self.plain("activation", part, self.config.activation)

    def plain(self, kind: str, part: str, name: str = "") -> None:
        """Append a layer that works on each number alone."""
        same = self.channels
        self.append(Layer(kind, part, same, same, 1, (1, 1), (1, 1), self.height, self.width, name))

    def append(self, layer: Layer) -> None:
        """Append a layer; the next one reads what it puts out."""
        self.layers.append(layer)
        self.channels, self.height, self.width = layer.outputs, layer.height, layer.width
