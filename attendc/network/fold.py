"""From what a reader found to what is worth showing: three rewrites of a listing, each a function of it.

1. `fold_quantization`: quantize and dequantize become the scale of the tensor that they write or read.
2. `fold_constants`: what is computed from constants alone is a constant.
3. `drop_shapes`: arithmetic on the sizes of tensors is no layer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from attendc.network.shapes import bytes_of
from attendc.network.types import Listing, Operation, Tensor

__all__ = ["drop_shapes", "fold_constants", "fold_quantization"]


def fold_quantization(listing: Listing) -> Listing:
    """Leave out each quantize and dequantize that only says what the integers of one tensor mean.

    A constant that is dequantized by several scales is a tensor for each, under the one name that it has in the file.
    A quantize stays where others read the same tensor in float, or with another scale: there it does work. An input
    of the network keeps its dtype.
    """
    tensors = dict(listing.tensors)
    names: dict[str, str] = {}
    readers = _readers(listing.operations)
    kept = []
    for given in listing.operations:
        operation = replace(given, inputs=tuple(names.get(i, i) for i in given.inputs))
        if operation.role == "quantize" and _is_only_its_own(operation, tensors, readers, listing):
            source, result = operation.inputs[0], operation.outputs[0]
            tensors[source] = _quantized(tensors[source], operation, tensors[result].dtype, listing)
            names[result] = source
        elif operation.role == "dequantize" and _fits(tensors[operation.inputs[0]], operation):
            source, result = operation.inputs[0], operation.outputs[0]
            tensors[source] = replace(tensors[source], quantization=operation.quantization)
            names[result] = source
        elif operation.role == "dequantize" and tensors[operation.inputs[0]].bytes is not None:
            # A constant whose integers mean something else here than elsewhere; it is stored once.
            tensors[operation.outputs[0]] = replace(tensors[operation.inputs[0]], quantization=operation.quantization)
        else:
            if operation.role == "quantize":
                result = operation.outputs[0]
                tensors[result] = replace(tensors[result], quantization=operation.quantization)
            kept.append(operation)
    outputs = {name: names.get(tensor, tensor) for name, tensor in listing.outputs.items()}
    return replace(listing, operations=tuple(kept), tensors=tensors, outputs=outputs)


def _fits(tensor: Tensor, operation: Operation) -> bool:
    return tensor.quantization in (None, operation.quantization)


def _readers(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    readers: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        for name in operation.inputs:
            readers[name].append(operation)
    return readers


def _is_only_its_own(
    operation: Operation, tensors: Mapping[str, Tensor], readers: Mapping[str, list[Operation]], listing: Listing
) -> bool:
    tensor = tensors[operation.inputs[0]]
    if tensor.quantization is not None:
        return tensor.quantization == operation.quantization
    if tensor.name in listing.outputs.values():
        return False
    others = readers[tensor.name]
    return all(o.role == "quantize" and o.quantization == operation.quantization for o in others)


def _quantized(tensor: Tensor, operation: Operation, dtype: str, listing: Listing) -> Tensor:
    dtype = tensor.dtype if tensor.name in listing.inputs else dtype
    size = None if tensor.bytes is None else bytes_of(tensor.shape, dtype)
    return replace(tensor, dtype=dtype, quantization=operation.quantization, bytes=size)


def fold_constants(listing: Listing) -> Listing:
    """Leave out operators that read constants alone, or nothing; what they write takes as many bytes as they read."""
    tensors, kept = dict(listing.tensors), []
    for operation in listing.operations:
        read = [tensors[i] for i in operation.inputs if i in tensors]
        if operation.role == "shape" or any(t.bytes is None for t in read):
            kept.append(operation)
            continue
        stored = sum(t.bytes or 0 for t in read)
        for name in operation.outputs:
            known = read[0].quantization if len(read) == 1 else None
            tensors[name] = replace(tensors[name], bytes=stored, quantization=tensors[name].quantization or known)
    return replace(listing, operations=tuple(kept), tensors=tensors)


def drop_shapes(listing: Listing) -> Listing:
    """Leave out operators that read sizes of tensors, and those that read only what such operators write."""
    sizes: set[str] = set()
    kept = []
    for operation in listing.operations:
        read = [i for i in operation.inputs if i in listing.tensors and listing.tensors[i].bytes is None]
        if operation.role == "shape" or (read and sizes.issuperset(read)):
            sizes.update(operation.outputs)
        else:
            kept.append(replace(operation, inputs=tuple("" if i in sizes else i for i in operation.inputs)))
    return replace(listing, operations=tuple(kept))
