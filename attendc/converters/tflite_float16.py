"""From a float32 TFLite file to float16 weights, by ai-edge-quantizer: a DEQUANTIZE stands in front of each layer's.

What is computed stays float32; XNNPACK unpacks such a weight once, when the file is loaded. Biases and operands stay
float32.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from attendc.converters.tflite_schema import LAYERS, constant, op_name, read_model, type_name
from attendc.errors import ConversionError

__all__ = ["halve_weights"]


_HINT = "Leave float16 out of --dtype"
_LARGEST = 65504.0
"""The largest float16 number."""


def halve_weights(path: Path) -> None:
    """Replace the float32 file `path` by one with float16 weights.

    Raises:
        ConversionError: if a weight is too large for float16.
    """
    largest = _largest_weight(read_model(path))
    if largest > _LARGEST:
        raise ConversionError(f"a weight of {largest:.6g} is more than float16 holds ({_LARGEST:.0f})", hint=_HINT)
    _run_quantizer(path)


def _largest_weight(model: Any) -> float:
    """Return the largest absolute value of the float weights of all layers."""
    tensors = model.subgraphs[0].tensors
    found = [tensors[o.inputs[1]] for o in model.subgraphs[0].operators if op_name(model, o) in LAYERS]
    values = [constant(model, t, np.float32) for t in found if type_name(t) == "FLOAT32"]
    return max((float(np.abs(v).max()) for v in values if v is not None), default=0.0)


def _run_quantizer(path: Path) -> None:
    from ai_edge_quantizer import qtyping, quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    job = quantizer.Quantizer(str(path))
    job.update_quantization_recipe(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        algorithm_key=AlgorithmName.FLOAT_CASTING,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=half, compute_precision=qtyping.ComputePrecision.FLOAT
        ),
    )
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
        content = job.quantize().quantized_model
    assert content is not None
    path.write_bytes(content)
