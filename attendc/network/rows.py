"""Layers as plain values for JSON, and what they sum up to."""

from __future__ import annotations

from typing import Any

from attendc.network.types import Network, Node, Quantization, Tensor

__all__ = ["layer_rows", "scale_text", "totals"]


def layer_rows(network: Network) -> list[dict[str, Any]]:
    """Return an entry for each node, inputs and outputs too: what it writes, reads, costs, and from where it reads."""
    sources: dict[str, list[str]] = {}
    for edge in network.edges:
        sources.setdefault(edge.target, []).append(edge.source)
    return [
        {
            "name": node.name,
            "op": node.op,
            "detail": node.detail,
            "module": node.module,
            "outputs": [_tensor(t) for t in node.outputs],
            "weights": [_tensor(t) for t in node.weights],
            "macs": node.macs,
            "bytes": _bytes(node),
            "inputs": sources.get(node.name, []),
        }
        for node in network.nodes
    ]


def totals(network: Network) -> dict[str, int | None]:
    """Return `layers`, `macs` of one image (None where one layer's cannot be known), `constant_bytes`.

    A constant that several layers read counts once.
    """
    macs = [node.macs for node in network.nodes]
    constants = {t.name: t.bytes or 0 for node in network.nodes for t in node.weights}
    known = sum(m for m in macs if m is not None)
    return {
        "layers": len(network.layers),
        "macs": None if None in macs else known,
        "constant_bytes": sum(constants.values()),
    }


def scale_text(found: Quantization | None) -> str:
    """Return `0.01125 z -56`, or how many scales there are."""
    if found is None:
        return ""
    if len(found.scale) > 1:
        return f"{len(found.scale)} scales"
    return f"{found.scale[0]:.4g} z {found.zero_point[0]}"


def _tensor(tensor: Tensor) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": tensor.name,
        "shape": None if tensor.shape is None else list(tensor.shape),
        "dtype": tensor.dtype,
    }
    if tensor.quantization is not None:
        several = len(tensor.quantization.scale) > 1
        entry["scale"] = list(tensor.quantization.scale) if several else tensor.quantization.scale[0]
        entry["zero_point"] = list(tensor.quantization.zero_point) if several else tensor.quantization.zero_point[0]
    return entry


def _bytes(node: Node) -> int:
    return sum(t.bytes or 0 for t in node.weights)
