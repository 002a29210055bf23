"""The frozen data of a network as its file describes it: first the list that a reader finds, then nodes and edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["INPUT", "OUTPUT", "Edge", "Listing", "Network", "Node", "Operation", "Product", "Quantization", "Tensor"]

Shape = tuple[int | str, ...]
"""Sizes; of those that grow with the number of images a text: `N`, `64*N`, or `?` where the file does not tell."""

INPUT, OUTPUT = "input", "output"
"""`op` of the nodes where a network begins and ends."""


@dataclass(frozen=True)
class Quantization:
    """real = scale * (integer - zero_point).

    Attributes:
        scale: one entry, or one per channel.
        zero_point: as long as `scale`.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse what a damaged file may say.

        Raises:
            ValueError: if there are not as many zero points as scales.
        """
        if len(self.scale) != len(self.zero_point):
            raise ValueError(f"{len(self.scale)} scales have {len(self.zero_point)} zero points")


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file.

    Attributes:
        name: as the file names it.
        shape: in the layout of the file; None where it does not tell.
        dtype: `int8`, `float32` and the like; empty where it does not tell.
        quantization: what its integers mean.
        bytes: that a constant takes in this dtype; None of what is computed.
    """

    name: str
    shape: Shape | None
    dtype: str
    quantization: Quantization | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class Product:
    """How the MACs of an operator come from the shapes of what it reads and writes: see attendc/network/macs.py.

    Attributes:
        kind: which rule.
        data: position of the activation among the inputs.
        weight: position of the weight among the inputs.
        axis: of the channels: of the output (`conv`), of the activation (`transposed`), or the axis that is summed
            over (`matmul`).
        own: shape of the weight where the file holds it with zeros that an engine wants.
    """

    kind: Literal["conv", "transposed", "matmul", "attention"]
    data: int = 0
    weight: int = 1
    axis: int = -1
    own: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Operation:
    """One operator as a reader finds it.

    Attributes:
        name: unique in its file.
        op: as the format calls it: `CONV_2D`, `Conv`, `conv2d`.
        inputs: names of tensors; empty texts are operands that are left out.
        outputs: names of tensors.
        role: `quantize` and `dequantize` change how numbers are written, not the numbers; `shape` reads the sizes of
            a tensor.
        quantization: of a quantize or dequantize.
        product: None where no MACs are counted.
        detail: of its attributes, in a few words: `stride 2, groups 16`.
        module: where in the network of PyTorch it comes from, if known.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    role: Literal["compute", "quantize", "dequantize", "shape"] = "compute"
    quantization: Quantization | None = None
    product: Product | None = None
    detail: str = ""
    module: str = ""


@dataclass(frozen=True)
class Listing:
    """What a reader found.

    Attributes:
        operations: in an order in which they can run.
        tensors: every one that operators name.
        inputs: names of the tensors that the network is given.
        outputs: name of what the network returns -> the tensor that holds it.
    """

    operations: tuple[Operation, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Node:
    """One layer: an operator with what it writes and the constants that it reads.

    Attributes:
        name: unique in its network.
        op: as the format calls it, or `input`, `output`.
        outputs: what it writes; of an output what the network returns.
        weights: the constants that it reads, the weight before the bias.
        macs: multiply-accumulates for one image; None where they cannot be known from the file.
        detail: of its attributes, in a few words.
        module: where in the network of PyTorch it comes from, if known.
    """

    name: str
    op: str
    outputs: tuple[Tensor, ...]
    weights: tuple[Tensor, ...] = ()
    macs: int | None = 0
    detail: str = ""
    module: str = ""


@dataclass(frozen=True)
class Edge:
    """A tensor from the node that writes it to one that reads it, by their names."""

    source: str
    target: str
    tensor: str


@dataclass(frozen=True)
class Network:
    """Nodes in an order in which they can run, inputs first and outputs last; no constants, no quantize nodes that
    only say what the integers of a tensor mean.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    @property
    def layers(self) -> tuple[Node, ...]:
        """Return the nodes without inputs and outputs."""
        return tuple(n for n in self.nodes if n.op not in (INPUT, OUTPUT))
