"""The layers of a network as a table of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["LAYER_COLUMNS", "layer_texts", "totals_line"]

LAYER_COLUMNS = ("layer", "operator", "output", "scale", "weight", "MACs", "bytes")


def layer_texts(layers: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return the texts of LAYER_COLUMNS for each entry of `layers` of `attendc.inspect_file`."""
    return [_row(layer) for layer in layers]


def totals_line(totals: Mapping[str, Any]) -> str:
    """Return the sums in words."""
    macs = "an unknown number of" if totals["macs"] is None else f"{totals['macs']:,}"
    return f"{totals['layers']} layers, {macs} MACs for one image, {totals['constant_bytes']:,} bytes of constants"


def _row(layer: Mapping[str, Any]) -> tuple[str, ...]:
    first = layer["outputs"][0] if layer["outputs"] else {}
    weight = layer["weights"][0] if layer["weights"] else None
    return (
        layer["module"] or layer["name"],
        f"{layer['op']} ({layer['detail']})" if layer["detail"] else layer["op"],
        ", ".join(_tensor(t) for t in layer["outputs"]),
        _scale(first),
        _tensor(weight) if weight else "",
        "?" if layer["macs"] is None else f"{layer['macs']:,}" if layer["macs"] else "",
        f"{layer['bytes']:,}" if layer["weights"] else "",
    )


def _tensor(tensor: Mapping[str, Any]) -> str:
    sizes = "?" if tensor["shape"] is None else "x".join(str(size) for size in tensor["shape"]) or "()"
    return f"{sizes} {tensor['dtype']}".rstrip()


def _scale(tensor: Mapping[str, Any]) -> str:
    scale = tensor.get("scale")
    if scale is None:
        return ""
    return f"{len(scale)} scales" if isinstance(scale, list) else f"{scale:.4g} z {tensor['zero_point']}"
