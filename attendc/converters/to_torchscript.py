"""TorchScript, float32: traced and frozen. torch.jit is deprecated; the .pt2 beside it is its successor."""

from __future__ import annotations

import dataclasses
import io
import json
import warnings
from pathlib import Path

import torch
from torch import fx

from attendc.converters.program import inference_module
from attendc.errors import ConversionError
from attendc.files import replace_file
from attendc.types import Stamp

__all__ = ["METADATA_FILE", "write_torchscript"]

METADATA_FILE = "attendc.json"


def write_torchscript(path: Path, graph: fx.GraphModule, stamp: Stamp) -> None:
    """Trace the float graph and write it, for any batch size.

    Raises:
        ConversionError: if it cannot be traced.
        OutputError: if the file cannot be written.
    """
    sample = torch.zeros(2, *stamp.preprocess.input_shape)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch.jit warns of its deprecation at every call
            traced = torch.jit.freeze(torch.jit.trace(inference_module(graph), sample))  # type: ignore[no-untyped-call]
    except RuntimeError as e:
        raise ConversionError(f"torch.jit cannot trace the graph: {str(e).splitlines()[0]}") from e
    extra = {METADATA_FILE: json.dumps(dataclasses.asdict(stamp), sort_keys=True)}
    content = io.BytesIO()  # torch's own writer ends the process where the disk is full
    torch.jit.save(traced, content, _extra_files=extra)
    with replace_file(path) as beside:
        beside.write_bytes(content.getvalue())
