"""ONNX: QDQ int8 with integer initializers, or float32; dynamic batch; simplified, checked and pinned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, fx

from attendc.converters.onnx_fold import fold_layers
from attendc.converters.onnx_simplify import Limits, simplify_onnx
from attendc.converters.program import inference_module
from attendc.errors import ConversionError, UsageError
from attendc.exported import batch_dim
from attendc.files import replace_file
from attendc.types import Layer, Stamp

if TYPE_CHECKING:
    import onnx

__all__ = ["IR_VERSIONS", "OPSET", "OPSETS", "check_versions", "write_onnx"]

OPSET = 18
OPSETS, IR_VERSIONS = range(17, 26), range(8, 14)
"""What can be asked for. torch's exporter writes opset 18 and later ones, and knows the operators up to 25; onnx's own
converter takes 18 down to 17. Opset 17 was released with IR version 8, opset 25 with 13."""

_INPUT, _OUTPUT = "image", "logits"


def check_versions(opset: int, ir_version: int | None) -> None:
    """Check versions before any work.

    Raises:
        UsageError: if one is outside of `OPSETS` or `IR_VERSIONS`.
    """
    for name, value, allowed in (("opset", opset, OPSETS), ("IR version", ir_version, IR_VERSIONS)):
        if value is not None and value not in allowed:
            raise UsageError(
                f"there is no ONNX {name} {value} here",
                hint=f"Choose one of {allowed[0]} to {allowed[-1]}; opset {OPSET} is what most runtimes take",
            )


def write_onnx(
    path: Path,
    graph: fx.GraphModule,
    stamp: Stamp,
    *,
    layers: dict[str, Layer] | None = None,
    opset: int = OPSET,
    ir_version: int | None = None,
    samples: Tensor | None = None,
    limits: Limits | None = None,
) -> list[str]:
    """Convert a quantized graph (with the integers of its `layers`) or a float graph; return notes.

    The default is opset 18 and IR version 8 (ONNX 1.13, December 2022). onnxruntime 1.20.1 of November 2024 runs the
    int8 file with the same outputs as 1.32; 1.15 of 2023 does not, since its optimizer trips over weights that two
    layers share.

    Args:
        path: where the file goes.
        graph: float32 (N, C, H, W) -> (N, classes).
        stamp: is written into the file.
        layers: of a quantized graph, by the names of its nodes.
        opset: one of `OPSETS`.
        ir_version: one of `IR_VERSIONS`; None: the one that was released with the opset.
        samples: inputs (N, C, H, W) on which the file is compared before and after its simplification.
        limits: of the process that simplifies.

    Raises:
        ConversionError: if the exporter cannot, or what it wrote is no valid ONNX.
        UsageError: if there is no such opset or IR version.
        OutputError: if the file cannot be written.
    """
    import onnx

    check_versions(opset, ir_version)
    model = _export(graph, stamp, max(opset, OPSET))
    if layers:
        fold_layers(model, layers, renamed=_renamed(graph))
    _strip(model)
    _drop_casts(model)
    model = _at_opset(model, opset)
    feeds = [] if samples is None else [{_INPUT: samples.contiguous().numpy()}]
    simplified = simplify_onnx(model, samples=feeds, limits=limits)
    model = simplified.model
    _strip(model)
    model.ir_version = ir_version or onnx.helper.find_min_ir_version_for(model.opset_import)
    _add_metadata(model, stamp)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as e:
        raise ConversionError(f"the ONNX file would be invalid: {e}") from e
    with replace_file(path) as beside:
        beside.write_bytes(model.SerializeToString(deterministic=True))
    return list(simplified.notes)


def _export(graph: fx.GraphModule, stamp: Stamp, opset: int) -> onnx.ModelProto:
    sample = (torch.zeros(2, *stamp.preprocess.input_shape),)
    try:
        program = torch.onnx.export(
            inference_module(graph),
            sample,
            dynamo=True,
            opset_version=opset,
            input_names=[_INPUT],
            output_names=[_OUTPUT],
            dynamic_shapes=({0: batch_dim()},),
            optimize=False,
            verbose=False,
        )
    except Exception as e:
        reason = str(e).strip().splitlines()
        raise ConversionError(
            f"torch.onnx cannot export the graph: {reason[0] if reason else type(e).__name__}",
            hint="Run again with -v to see its log",
        ) from e
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    return model


def _renamed(graph: fx.GraphModule) -> dict[str, str]:
    """Return the name in the file of the node that the graph returns; all others keep their names."""
    (returned,) = graph.graph.output_node().all_input_nodes
    return {returned.name: _OUTPUT}


def _at_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return the model at that opset; the exporter says nothing where it stays at another one."""
    import onnx

    try:
        if opset < OPSET:
            model = onnx.version_converter.convert_version(model, opset)
    except Exception as e:
        reason = str(e).strip().splitlines()[0]
        raise ConversionError(
            f"ONNX cannot bring the model to opset {opset}: {reason}", hint=f"Use opset {OPSET}"
        ) from e
    found = max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if found != opset:
        raise ConversionError(f"torch.onnx cannot bring the model to opset {opset}", hint=f"Use opset {OPSET}")
    return model


def _strip(model: onnx.ModelProto) -> None:
    """Drop what the exporter wrote for its own debugging: module stacks, metadata, comments, shapes of inner tensors.

    The shapes can be inferred again; in a small int8 model they are 4 % of the file.
    """
    graph = model.graph
    del graph.value_info[:]
    del model.functions[:]
    for one in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del one.metadata_props[:]
        one.doc_string = ""


def _drop_casts(model: onnx.ModelProto) -> None:
    """Let the users of CastLike read its input: all is float32 here, and runtimes fuse no Clip behind it."""
    casts = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "CastLike"}
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = casts.get(name, name)
    kept = [n for n in model.graph.node if n.op_type != "CastLike"]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _add_metadata(model: onnx.ModelProto, stamp: Stamp) -> None:
    import onnx

    values = stamp.as_json()
    texts = {f"attendc.{k}": v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}
    onnx.helper.set_model_props(model, texts)
    model.producer_name, model.producer_version = "attendc", stamp.attendc
    model.graph.name = "attendc"
