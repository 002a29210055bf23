"""TFLite by litert-torch: NHWC input, true int8 operators from the graph's own scales, no layout operators.

The converter reads the scales that stand in the graph and calibrates nothing. Dynamic-range and int16 files are then
made from the int8 file, float16 files from the float32 file, so that all hold the same numbers.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from attendc.converters.program import inference_module
from attendc.converters.tflite_columns import join_columns
from attendc.converters.tflite_dynamic import float_activations
from attendc.converters.tflite_float16 import halve_weights
from attendc.converters.tflite_int16 import check_kernels, widen_activations
from attendc.converters.tflite_io import Io, set_io
from attendc.converters.tflite_layout import dequantize_for_each_reader, linear_in_two_dimensions, teach_layouts
from attendc.converters.tflite_pads import pad_with_zero_points
from attendc.converters.tflite_pools import means_of_images
from attendc.converters.tflite_resize import read_pixels_as_torch
from attendc.converters.tflite_rows import read_wide_rows
from attendc.converters.tflite_schema import METADATA_NAME, op_name, read_model, write_model
from attendc.converters.tflite_versions import raise_versions
from attendc.errors import ConversionError
from attendc.files import replace_file
from attendc.types import Preprocess, Stamp

__all__ = ["write_tflite"]

_QUANTIZED = ("int8", "dynamic", "int16")
"""The dtypes that are made from the quantized graph."""
_BY_XNNPACK = ("int8", "dynamic")
"""Those of them that XNNPACK runs, and so gain by what is written for its kernels."""


class _Nhwc(nn.Module):
    """The network with its input as (N, H, W, C); the permutation cancels with the converter's own."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        y: Tensor = self.network(image.permute(0, 3, 1, 2))
        return y


def write_tflite(
    path: Path,
    graph: fx.GraphModule,
    stamp: Stamp,
    *,
    io: Io = "int8",
    converted: bytes | None = None,
) -> list[str]:
    """Convert a graph to `path`, for one image at a time, and return notes on what could not be had as asked.

    `stamp.dtype` says what is made. `float32` and `float16` (float16 weights, float32 arithmetic) take the float
    graph; `int8`, `int16` (int16 activations, int8 weights) and `dynamic` (float activations, int8 weights) the
    quantized one. `io` is the type of the input and output of an int8 or int16 file, see `set_io`; the other files
    have float32 there. `converted` is what `convert_graph` made of the same graph, so that one conversion serves
    several dtypes.

    Raises:
        ConversionError: if the converter cannot, LiteRT has no int16 kernel for an operator, or a weight does not fit
            into float16.
        OutputError: if the file cannot be written.
    """
    with replace_file(path) as beside:
        beside.write_bytes(converted or convert_graph(graph, stamp.preprocess, quantized=stamp.dtype in _QUANTIZED))
        model = read_model(beside)
        read_pixels_as_torch(model)
        if stamp.dtype in _BY_XNNPACK:
            pad_with_zero_points(model)
            means_of_images(model)
        notes = _change_types(model, stamp.dtype, io)
        _spare_instructions(model, stamp.dtype)
        if stamp.dtype == "float16":
            _name_tensors(model)  # its quantizer wants to tell them apart
            write_model(beside, model)
            halve_weights(beside)
            model = read_model(beside)
        raise_versions(model)
        _name_tensors(model)
        _add_metadata(model, stamp)
        write_model(beside, model)
        if stamp.dtype == "int16":
            check_kernels(beside)
    return notes


def _change_types(model: Any, dtype: str, io: Io) -> list[str]:
    """Bring an int8 or float file to `dtype`, and its border to `io`; return notes."""
    notes = []
    if dtype == "dynamic":
        notes = float_activations(model)
    elif dtype == "int16":
        widen_activations(model)
    if dtype in ("int8", "int16"):
        notes = set_io(model, io)
    return notes


def _spare_instructions(model: Any, dtype: str) -> None:
    """Write layers as XNNPACK's kernels for ARM want them; LiteRT's own, which run int16, gain nothing by it."""
    if dtype != "int16":
        read_wide_rows(model)
        join_columns(model)


def convert_graph(graph: fx.GraphModule, preprocess: Preprocess, *, quantized: bool) -> bytes:
    """Return the int8 file of a quantized graph, or the float32 file of a float one, as litert-torch writes it.

    Raises:
        ConversionError: if the converter cannot.
        OutputError: if its file does not fit on the disk for temporary files.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        with replace_file(path) as beside:
            _convert(beside, graph, preprocess, quantized=quantized)
        return path.read_bytes()


def _convert(path: Path, graph: fx.GraphModule, preprocess: Preprocess, *, quantized: bool) -> None:
    import litert_torch
    from litert_torch.quantize import pt2e_quantizer
    from litert_torch.quantize.quant_config import QuantConfig

    teach_layouts()
    channels, height, width = preprocess.input_shape
    sample = (torch.zeros(1, height, width, channels),)
    config: Any = None
    if quantized:
        # Only its presence counts: it tells the converter to turn q/dq pairs into int8 operators.
        scheme = pt2e_quantizer.get_symmetric_quantization_config()
        config = QuantConfig(pt2e_quantizer=pt2e_quantizer.PT2EQuantizer().set_global(scheme))
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            prepare = dequantize_for_each_reader if quantized else linear_in_two_dimensions
            network = prepare(inference_module(graph))
            converted = litert_torch.convert(_Nhwc(network), sample, quant_config=config)
            converted.export(str(path))
    except OSError:
        raise  # a full disk: replace_file knows what to say
    except Exception as e:
        reason = str(e).strip().splitlines()
        raise ConversionError(
            f"litert-torch cannot convert the graph: {reason[0] if reason else type(e).__name__}",
            hint="Run again with -v to see its log",
        ) from e


def _name_tensors(model: Any) -> None:
    """Name each tensor after the operator that makes it, constants by number, inputs and outputs by their role.

    The converter's names are long and say nothing: in a small network they are 2 % of the file.
    """
    graph = model.subgraphs[0]
    names = {i: f"c{i}" for i in range(len(graph.tensors))}
    for index, operator in enumerate(graph.operators):
        names |= {int(i): f"{op_name(model, operator).lower()}_{index}" for i in operator.outputs}
    names |= {int(i): "image" for i in graph.inputs} | {int(i): "logits" for i in graph.outputs}
    for index, name in names.items():
        graph.tensors[index].name = name.encode()
    for signature in model.signatureDefs or []:
        for entry in signature.inputs:
            entry.name = b"image"
        for entry in signature.outputs:
            entry.name = b"logits"


def _add_metadata(model: Any, stamp: Stamp) -> None:
    """Store the stamp as JSON under the name `attendc`, and say what the model is in its description.

    There is no TFLITE_METADATA entry (labels and normalisation as the mobile task libraries read them): none of the
    packages that attendc needs has that schema, nor a reader that could check what was written.
    """
    from ai_edge_litert import schema_py_generated as schema

    buffer = schema.BufferT()
    buffer.data = list(json.dumps(stamp.as_json(), sort_keys=True).encode())
    entry = schema.MetadataT()
    entry.name, entry.buffer = METADATA_NAME, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    caveat = f"; {stamp.caveat}" if stamp.caveat else ""
    model.description = f"attendc {stamp.attendc}, {stamp.dtype}, NHWC{caveat}"
