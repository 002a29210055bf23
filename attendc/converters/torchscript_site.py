"""What a kernel is chosen by: an operator of the quantized graph, its tensors as quint8, where to write the call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import fx

from attendc.types import Layer

__all__ = ["Params", "Site"]

Params = tuple[float, int]
"""Scale and zero point of a quint8 tensor, which is the graph's plus 128."""


@dataclass(frozen=True)
class Site:
    """An operator on its way to become a kernel.

    Attributes:
        node: the operator in the quantized graph.
        inputs: its quint8 tensors in the new graph, in the order of the arguments.
        given: their scales and zero points.
        shapes: their shapes in a batch of 2.
        shape: that of the output.
        out: scale and zero point of the output.
        relu: whether a ReLU, or a ReLU6, follows that the kernel may do itself.
        layer: the integers of a convolution or linear layer whose weight is quantized.
        call: adds a call to the new graph.
        pack: keeps the packed weight of the layer.
    """

    node: fx.Node
    inputs: tuple[fx.Node, ...]
    given: tuple[Params, ...]
    shapes: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]
    out: Params
    relu: bool
    layer: Layer | None
    call: Callable[..., fx.Node]
    pack: Callable[[Any], fx.Node]

    def arg(self, position: int, default: Any, *, name: str = "") -> Any:
        """Return an argument of the operator, or its default."""
        if position < len(self.node.args):
            return self.node.args[position]
        return self.node.kwargs.get(name, default)
