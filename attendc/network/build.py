"""From what a reader found to nodes and edges, the same way for every format."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from attendc.network.fold import drop_shapes, fold_constants, fold_quantization
from attendc.network.macs import macs_of
from attendc.network.types import INPUT, OUTPUT, Edge, Listing, Network, Node, Operation, Tensor

__all__ = ["network_of"]


def network_of(listing: Listing) -> Network:
    """Return the network without constants, shape arithmetic, and quantize nodes that do no work.

    MACs are those of one image, also where the file takes a fixed number of them.

    Raises:
        ValueError: if a tensor is written twice, or read before it is written.
        KeyError: if an operator names a tensor that the listing does not have.
    """
    _check_order(listing)
    listing = fold_constants(drop_shapes(fold_quantization(listing)))
    images = _images(listing)
    layers = [_node(operation, listing, images) for operation in listing.operations]
    inputs = [Node(_free(name, layers), INPUT, (listing.tensors[name],)) for name in listing.inputs]
    outputs = [Node(_free(f"{n} (output)", layers), OUTPUT, (_seen(listing, n),)) for n in listing.outputs]
    return Network((*inputs, *layers, *outputs), tuple(_edges(listing, inputs, outputs)))


def _check_order(listing: Listing) -> None:
    later = Counter(name for o in listing.operations for name in o.outputs)
    twice = {name for name, count in later.items() if count > 1} | {n for n in listing.inputs if n in later}
    if twice:
        raise ValueError(f"the tensor {min(twice)} is written twice")
    for operation in listing.operations:
        early = next((name for name in operation.inputs if name in later), None)
        if early is not None:
            raise ValueError(f"{operation.op} reads {early} before it is written")
        for name in operation.outputs:
            del later[name]


def _images(listing: Listing) -> int:
    """Return how many images a file of a fixed batch size takes, else 1."""
    shape = listing.tensors[listing.inputs[0]].shape if listing.inputs else None
    first = shape[0] if shape else 1
    return max(first, 1) if isinstance(first, int) else 1


def _node(operation: Operation, listing: Listing, images: int) -> Node:
    read = [listing.tensors[i] for i in dict.fromkeys(operation.inputs) if i in listing.tensors]
    macs = macs_of(operation, listing.tensors)
    return Node(
        operation.name,
        operation.op,
        tuple(listing.tensors[o] for o in operation.outputs),
        tuple(t for t in read if t.bytes is not None),
        None if macs is None else macs // images,
        operation.detail,
        operation.module,
    )


def _free(name: str, layers: list[Node]) -> str:
    """Return a name that no layer has."""
    taken = {n.name for n in layers}
    while name in taken:
        name += "'"
    return name


def _seen(listing: Listing, name: str) -> Tensor:
    """Return an output as the one who runs the network sees it: after the last dequantize."""
    return replace(listing.tensors[listing.outputs[name]], name=name, dtype=listing.tensors[name].dtype)


def _edges(listing: Listing, inputs: list[Node], outputs: list[Node]) -> list[Edge]:
    writers = {name: node.name for name, node in zip(listing.inputs, inputs, strict=True)}
    writers |= {tensor: o.name for o in listing.operations for tensor in o.outputs}
    edges = [
        Edge(writers[tensor], operation.name, tensor)
        for operation in listing.operations
        for tensor in dict.fromkeys(operation.inputs)
        if tensor in writers
    ]
    ends = zip(listing.outputs.values(), outputs, strict=True)
    return [*edges, *(Edge(writers[tensor], node.name, tensor) for tensor, node in ends if tensor in writers)]
