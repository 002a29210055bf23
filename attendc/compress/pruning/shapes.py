"""The layers of a network as numbers, and how they shrink with the channels that stay, without touching a tensor."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from attendc.compress.pruning.groups import ChannelGroup
from attendc.models.surgery import RESHAPABLE, layer_shape

__all__ = ["LayerShape", "Shapes", "measure_shapes", "shrunk"]


@dataclass(frozen=True)
class LayerShape:
    """What a cost function may know of one layer.

    Attributes:
        kind: `conv`, `linear`, `pool` (an average pool, which is a depthwise convolution in int8) or `norm`.
        outputs: channels.
        inputs: channels.
        groups: of a convolution; as many as outputs where it is depthwise.
        kernel: area of the kernel.
        positions: pixels of the output, of all calls together where a layer is used more than once.
        params: trained numbers per output channel beside the kernel: a bias, or gain and bias of a norm.
    """

    kind: str
    outputs: int
    inputs: int
    groups: int = 1
    kernel: int = 1
    positions: int = 1
    params: int = 0

    @property
    def weights(self) -> int:
        """Return how many numbers the kernel has."""
        return 0 if self.kind == "norm" else self.outputs * self.inputs // self.groups * self.kernel


Shapes = Mapping[str, LayerShape]


@torch.no_grad()
def measure_shapes(model: nn.Module, groups: Iterable[ChannelGroup], sample: Tensor) -> dict[str, LayerShape]:
    """Return the shape of each layer that has channels, and of the average pools that the groups know."""
    positions: Counter[str] = Counter()

    def note(name: str, layer: nn.Module, out: object) -> None:
        if isinstance(out, Tensor):
            positions[name] += math.prod(out.shape[1:-1] if isinstance(layer, nn.Linear) else out.shape[2:])

    layers = {name: m for name, m in model.named_modules() if isinstance(m, RESHAPABLE)}
    hooks = [m.register_forward_hook(lambda m, _, out, name=name: note(name, m, out)) for name, m in layers.items()]
    model(sample)
    for hook in hooks:
        hook.remove()
    shapes = {name: _shape(m, positions[name]) for name, m in layers.items() if name in positions}
    for group in groups:
        by_area = {area: name for name, area in reversed(group.pools)}  # equal ones are mostly of one tensor, kept once
        shapes |= {name: LayerShape("pool", group.size, group.size, group.size, area) for area, name in by_area.items()}
    return shapes


def _shape(layer: nn.Module, positions: int) -> LayerShape:
    outputs, inputs, groups = layer_shape(layer)
    extra = sum(p.shape[0] for name, p in layer.named_parameters(recurse=False) if p.ndim == 1) // outputs
    if isinstance(layer, nn.Conv2d):
        return LayerShape("conv", outputs, inputs, groups, math.prod(layer.kernel_size), positions, extra)
    kind = "linear" if isinstance(layer, nn.Linear) else "norm"
    return LayerShape(kind, outputs, inputs, groups, 1, positions, extra)


def shrunk(
    shapes: Shapes, groups: Iterable[ChannelGroup], counts: Mapping[str, int], removed: Collection[str] = ()
) -> dict[str, LayerShape]:
    """Return the shapes when of each group as many channels stay as `counts` says, and some blocks are gone."""
    left = {n: s for n, s in shapes.items() if not any(n.startswith(f"{block}.") for block in removed)}
    for group in groups:
        gone = group.size - counts.get(group.name, group.size)
        if gone == 0:
            continue
        for member in group.members:
            if member.layer in left:
                channels = len(member.channels) * gone // group.size
                left[member.layer] = _less(left[member.layer], member.side, channels)
        for name in (n for n, _ in group.pools if n in left):
            left[name] = _less(left[name], "both", gone)
    return left


def _less(shape: LayerShape, side: str, channels: int) -> LayerShape:
    outputs = shape.outputs - (channels if side != "in" else 0)
    inputs = shape.inputs - (channels if side != "out" else 0)
    own = shape.kind != "norm" and shape.groups == shape.outputs == shape.inputs > 1
    return replace(shape, outputs=outputs, inputs=inputs, groups=outputs if own else shape.groups)
