"""ONNX: QDQ int8 with integer initializers, or float32; dynamic batch; simplified, checked and pinned.

Opset 18 and IR version 8 (ONNX 1.13, December 2022). onnxruntime 1.20.1 of November 2024 runs the int8 file with the
same outputs as 1.32; 1.15 of 2023 does not, since its optimizer trips over weights that two layers share.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from attendc.converters.onnx_fold import fold_layers
from attendc.converters.onnx_simplify import simplify_onnx
from attendc.converters.program import inference_module
from attendc.errors import ConversionError
from attendc.exported import batch_dim
from attendc.files import replace_file
from attendc.types import Layer, Stamp

if TYPE_CHECKING:
    import onnx

__all__ = ["IR_VERSION", "OPSET", "write_onnx"]

OPSET = 18
IR_VERSION = 8


def write_onnx(path: Path, graph: fx.GraphModule, stamp: Stamp, *, layers: dict[str, Layer] | None = None) -> list[str]:
    """Convert a quantized graph (with the integers of its `layers`) or a float graph; return notes.

    Raises:
        ConversionError: if the exporter cannot, or what it wrote is no valid ONNX.
        OutputError: if the file cannot be written.
    """
    import onnx

    model = _export(graph, stamp)
    if layers:
        fold_layers(model, layers)
    _strip(model)
    _drop_casts(model)
    simplified = simplify_onnx(model)
    model = simplified.model
    model.ir_version = IR_VERSION
    _add_metadata(model, stamp)
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as e:
        raise ConversionError(f"the ONNX file would be invalid: {e}") from e
    with replace_file(path) as beside:
        beside.write_bytes(model.SerializeToString(deterministic=True))
    return list(simplified.notes)


def _export(graph: fx.GraphModule, stamp: Stamp) -> onnx.ModelProto:
    sample = (torch.zeros(2, *stamp.preprocess.input_shape),)
    try:
        program = torch.onnx.export(
            inference_module(graph),
            sample,
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["logits"],
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


def _strip(model: onnx.ModelProto) -> None:
    """Drop what the exporter wrote for its own debugging: module stacks and node metadata."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    del model.functions[:]


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

    values: dict[str, Any] = dataclasses.asdict(stamp)
    texts = {f"attendc.{k}": v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}
    onnx.helper.set_model_props(model, texts)
    model.producer_name, model.producer_version = "attendc", stamp.attendc
    model.doc_string = ""
    model.graph.name = "attendc"
    # Shapes of inner tensors can be inferred again; in a small int8 model they are 4 % of the file.
    del model.graph.value_info[:]
