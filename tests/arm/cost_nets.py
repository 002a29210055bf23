"""Small networks of shapes that the cost table was not fitted to, made with the builder that its grid is made with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "scripts"))

from ai_edge_litert import schema_py_generated as schema
from arm_costs.build import Net
from arm_costs.plain import PLAIN, silu

__all__ = ["NETS", "Net", "add", "gate", "silu"]


def add(net: Net, a: int, b: int) -> int:
    """Add two tensors."""
    return net.op("ADD", [a, b], net.tensor(net.shape(a)), schema.AddOptionsT())


def gate(net: Net) -> None:
    """Multiply by a number a channel: mean, two convolutions, sigmoid."""
    x = net.last
    PLAIN["MEAN"][1](net)
    net.conv(8)
    silu(net) if net.dtype == "int8" else PLAIN["HARD_SWISH"][1](net)
    net.conv(net.shape(x)[3])
    PLAIN["LOGISTIC"][1](net)
    net.op("MUL", [x, net.last], net.tensor(net.shape(x)), schema.MulOptionsT())


def _columns() -> Net:
    """A residual block of 4 columns of 22 and 26 channels on 18x18, and a linear layer."""
    net = Net("int8", (1, 36, 36, 3))
    x = net.conv(88, (3, 3), stride=(2, 2))
    silu(net)
    net.conv(104, (3, 3), groups=4)
    silu(net)
    add(net, x, net.conv(88, (1, 1)))
    PLAIN["MEAN"][1](net)
    net.conv(37)
    return net


def _inverted(dtype: str) -> Net:
    """An inverted residual: 1x1, 5x5 depthwise with stride, a gate, 1x1."""
    net = Net(dtype, (1, 26, 22, 20))
    net.conv(76)
    net.depthwise((5, 5), (2, 2))
    gate(net)
    net.conv(34)
    net.depthwise((3, 3))
    PLAIN["HARD_SWISH"][1](net)
    return net


def _patches() -> Net:
    """Patches of 4x4, a column of 48, a softmax over channels that breaks the partition, an average pool."""
    net = Net("int8", (1, 44, 60, 3))
    x = net.conv(48, (4, 4), stride=(4, 4))
    PLAIN["SOFTMAX"][1](net)
    net.op("MUL", [x, net.last], net.tensor(net.shape(x)), schema.MulOptionsT())
    net.conv(68, (5, 5), groups=2)
    net.pool("AVERAGE_POOL_2D", 2, 2)
    net.conv(100, (3, 1))
    return net


def _floats() -> Net:
    """Convolutions of float32, dense and of columns, with a max pool between them."""
    net = Net("float32", (1, 30, 26, 6))
    net.conv(36, (3, 3))
    net.pool("MAX_POOL_2D", 3, 2)
    net.conv(60, (3, 3), groups=2)
    add(net, net.last, net.conv(60))
    return net


NETS: Mapping[str, Callable[[], Net]] = {
    "columns": _columns,
    "inverted": lambda: _inverted("int8"),
    "patches": _patches,
    "inverted float": lambda: _inverted("float32"),
    "floats": _floats,
}
"""Name -> what makes it."""
