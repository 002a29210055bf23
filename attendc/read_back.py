"""Every scale and integer of an artefact, read back from the file and compared with the graph that it was made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import fx

from attendc.converters.read_onnx import onnx_quant_table
from attendc.converters.read_savedmodel import savedmodel_quant_table
from attendc.converters.read_tflite import tflite_quant_table
from attendc.converters.read_torchscript import torchscript_quant_table
from attendc.derived import dynamic_graph, int16_graph
from attendc.qdq import quant_table
from attendc.same_layer import is_same_mean, is_widened, takes_mean
from attendc.targets import Candidate, family_of
from attendc.types import Layer, QuantTable

__all__ = ["read_back", "reference_graph", "unequal_layers", "unequal_scales"]

_READERS: Mapping[str, Callable[[Path], QuantTable]] = {
    "tflite": tflite_quant_table,
    "onnx": onnx_quant_table,
    "torchscript": torchscript_quant_table,
    "savedmodel": savedmodel_quant_table,
}


def read_back(
    candidates: Sequence[Candidate], graph: fx.GraphModule | None
) -> tuple[bool | None, bool | None, list[str]]:
    """Return (scales equal, integers equal, failures) of all quantized files; None where there is none.

    `graph` is the quantized graph; what a file of another type must hold is derived from it.
    """
    quantized = [one for one in candidates if family_of(one.name) != "float"]
    if graph is None or not quantized:
        return None, None, []
    families = {family_of(one.name) for one in quantized}
    expected = {family: quant_table(reference_graph(graph, family)) for family in families}
    failures: list[str] = []
    scales_equal = weights_equal = True
    for one in quantized:
        table = expected[family_of(one.name)]
        found = _READERS[one.format](one.path)
        scales, weights = unequal_scales(table, found), unequal_layers(table, found)
        scales_equal, weights_equal = scales_equal and not scales, weights_equal and not weights
        failures += [f"{one.name}: {text}" for text in (scales, weights) if text]
    return scales_equal, weights_equal, failures


def reference_graph(graph: fx.GraphModule, family: str) -> fx.GraphModule:
    """Return what the files of a quantized family compute: the quantized graph, or what is derived from it."""
    derive = {"dynamic": dynamic_graph, "int16": int16_graph}.get(family)
    return graph if derive is None else derive(graph)


def unequal_scales(expected: QuantTable, found: QuantTable) -> str:
    """Return a sentence on scales that only one side has, empty if there are none."""
    ours, theirs = set(expected.activations.values()), set(found.activations.values())
    lost = [n for n, p in expected.activations.items() if p not in theirs]
    strange = [n for n, p in found.activations.items() if p not in ours]
    if not lost and not strange:
        return ""
    return (
        f"{len(lost)} scales of the graph are missing ({', '.join(lost[:3]) or 'none'}), "
        f"{len(strange)} are not the graph's ({', '.join(strange[:3]) or 'none'})"
    )


def unequal_layers(expected: QuantTable, found: QuantTable) -> str:
    """Return a sentence on layers whose weights, scales or biases differ, empty if there are none.

    A layer may have zeros between its weights that the graph's has not: see `tflite_rows` and `tflite_columns`. A mean
    of an image is a layer of the graph where it was a pool, see `tflite_pools`, and none where it was a mean there too.
    """
    theirs = list(found.layers.values())
    lost = []
    for name, layer in expected.layers.items():
        same = next((other for other in theirs if _is_same(layer, other)), None)
        if same is None:
            lost.append(name)
        else:
            theirs.remove(same)
    new = [other for other in theirs if not takes_mean(other)]
    if not lost and not new:
        return ""
    return f"the integers of {len(lost)} layers differ: {', '.join(lost[:3]) or f'{len(new)} are new'}"


def _is_same(layer: Layer, other: Layer) -> bool:
    return other == layer or is_widened(layer, other) or is_same_mean(layer, other)
