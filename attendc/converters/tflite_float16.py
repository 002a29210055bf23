"""From a float32 TFLite file to float16 weights, by ai-edge-quantizer: a DEQUANTIZE stands in front of each layer's.

What is computed stays float32; XNNPACK unpacks such a weight once, when the file is loaded. Biases and operands stay
float32.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

__all__ = ["halve_weights"]


def halve_weights(path: Path) -> None:
    """Replace the float32 file `path` by one with float16 weights."""
    from ai_edge_quantizer import qtyping, quantizer  # type: ignore[import-untyped]
    from ai_edge_quantizer.algorithm_manager import AlgorithmName  # type: ignore[import-untyped]

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
