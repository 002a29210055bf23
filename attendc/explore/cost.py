"""What a design costs, told from its shapes: parameters, MACs, bytes, memory, instructions. Nothing is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attendc.arm.cost.cost import predict
from attendc.arm.ops import LAYERS, Op
from attendc.compress.pruning.cost import int8_bytes
from attendc.compress.pruning.shapes import LayerShape
from attendc.explore.candidate import Candidate
from attendc.explore.int8_file import peak_memory, steps_of
from attendc.models.layout import layout, macs_of, params_of

__all__ = ["Cost", "cost_of"]


@dataclass(frozen=True)
class Cost:
    """What one design costs.

    Attributes:
        params: trained numbers.
        macs: multiply-accumulates of one image.
        bytes: of the int8 TFLite file, estimated.
        memory: most bytes of int8 activations that are alive at once.
        instructions: core -> instructions of one inference of the int8 TFLite file, by the table.
    """

    params: int
    macs: int
    bytes: int
    memory: int
    instructions: Mapping[str, float]


def cost_of(candidate: Candidate, cores: Sequence[str]) -> Cost:
    """Return the cost of a design, with its instructions on `cores`.

    Raises:
        ValueError: if it cannot be built.
        UsageError: if no core is called so.
    """
    height, width = candidate.height, candidate.width
    layers = layout(candidate.config, height, width)
    steps = steps_of(layers, height, width)
    ops = [step.op for step in steps]
    return Cost(
        params_of(layers),
        macs_of(layers),
        round(_bytes(ops)),
        peak_memory(steps, candidate.config.in_channels * height * width),
        {core: predict(ops, core) for core in cores},
    )


def _bytes(ops: Sequence[Op]) -> float:
    """Return the bytes of the file by the estimate that pruning goes by, of the kernels as they are written."""
    kernels = (op for op in ops if op.kind in LAYERS)
    return int8_bytes({str(place): _shape(op) for place, op in enumerate(kernels)})


def _shape(op: Op) -> LayerShape:
    return LayerShape("conv", op.outputs, op.inputs, op.groups, op.kernel[0] * op.kernel[1])
