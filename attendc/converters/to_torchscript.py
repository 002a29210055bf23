"""TorchScript, frozen: float32, or int8 in torch's quantized kernels.

torch.jit is deprecated; the .pt2 beside it is its successor, and torch.export.load reads it as it is.
"""

from __future__ import annotations

import dataclasses
import io
import json
import re
import warnings
from pathlib import Path

import torch
from torch import fx

from attendc.converters.program import inference_module
from attendc.converters.torchscript_int8 import quantized_module
from attendc.converters.torchscript_sizes import follow_sizes
from attendc.engines import quantized_engine
from attendc.errors import ConversionError
from attendc.files import replace_file
from attendc.types import METADATA_FILE, Stamp

__all__ = ["LAYERS_FILE", "METADATA_FILE", "write_torchscript"]

LAYERS_FILE = "attendc.layers.json"
"""What the packed weights of an int8 file do not tell: name, shape and groups of each layer, in order."""

_MANGLED = re.compile(rb"___torch_mangle_\d+")
_WRITERS_OWN = ("version", ".data/serialization_id")


def write_torchscript(path: Path, graph: fx.GraphModule, stamp: Stamp) -> None:
    """Trace the float graph, or compile the quantized one if the stamp says int8, and write it for any batch size.

    Input is float32 (N, C, H, W), output float32 logits, in both. An int8 file is packed for whatever engine is set
    when it is loaded.

    Raises:
        ConversionError: if it cannot be traced or compiled.
        OutputError: if the file cannot be written.
    """
    sample = torch.zeros(2, *stamp.preprocess.input_shape)
    extra = {METADATA_FILE: json.dumps(stamp.as_json(), sort_keys=True)}
    how = "compile" if stamp.dtype == "int8" else "trace"
    content = io.BytesIO()  # torch's own writer ends the process where the disk is full
    try:
        with warnings.catch_warnings(), torch.no_grad(), quantized_engine():
            warnings.simplefilter("ignore")  # torch.jit warns of its deprecation at every call
            if stamp.dtype == "int8":
                quantized, layers = quantized_module(graph, sample)
                extra[LAYERS_FILE] = json.dumps([dataclasses.asdict(layer) for layer in layers])
                module = torch.jit.script(quantized)  # a trace would keep the number of images of some shapes
            else:
                module = torch.jit.trace(follow_sizes(inference_module(graph)), sample)  # type: ignore[no-untyped-call]
            torch.jit.save(torch.jit.freeze(module), content, _extra_files=extra)
    except RuntimeError as e:
        raise ConversionError(f"torch.jit cannot {how} the graph: {str(e).strip().splitlines()[0]}") from e
    with replace_file(path) as beside:
        beside.write_bytes(_without_traces(content))


def _without_traces(content: io.BytesIO) -> bytes:
    """Return the file without what only tells of the process that wrote it.

    That is the lines of code that called, with their folders, and in the names of classes the number of classes that
    torch.jit had seen before.
    """
    content.seek(0)
    reader, kept = torch._C.PyTorchFileReader(content), io.BytesIO()
    writer = torch._C.PyTorchFileWriter(kept)
    names = [n for n in reader.get_all_records() if n not in _WRITERS_OWN and not n.endswith(".debug_pkl")]
    classes: dict[bytes, bytes] = {}

    def numbered(found: re.Match[bytes]) -> bytes:
        return classes.setdefault(found[0], b"___torch_mangle_%d" % len(classes))

    for name in names:
        record = reader.get_record(name)
        if name.endswith((".py", "data.pkl")):  # in both, names end at a character, not after a length
            record = _MANGLED.sub(numbered, record)
        writer.write_record(_MANGLED.sub(numbered, name.encode()).decode(), record, len(record))
    writer.write_end_of_file()
    return kept.getvalue()
