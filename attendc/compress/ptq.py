"""Post-training quantization: NNCF watches real images, corrects the biases, and gives the range of every tensor.

Where quantizers stand is not NNCF's choice (it places them for OpenVINO) but the LiteRT table's.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, fx

from attendc.compress.annotate import LiteRTQuantizer
from attendc.compress.graph import call_nodes, set_constant
from attendc.compress.plan import QuantPlan, plan_from_ranges
from attendc.compress.tensors import weighted_layers
from attendc.context import Context
from attendc.exported import constant
from attendc.types import QuantParams

__all__ = ["RANGES", "Ranges", "calibrate"]

Ranges = Literal["minmax", "percentile", "mse"]
RANGES: tuple[Ranges, ...] = ("minmax", "percentile", "mse")

_Q = torch.ops.quantized_decomposed


def calibrate(
    graph: fx.GraphModule, samples: Sequence[Tensor], *, ranges: Ranges, context: Context
) -> tuple[fx.GraphModule, QuantPlan]:
    """Return a copy of the float graph with corrected biases, and the parameters of every tensor in it.

    `samples` are inputs (1, C, H, W). `ranges`: `minmax` takes the extremes, `percentile` the mean over images of
    the 1e-4 and 1 - 1e-4 quantiles, `mse` the range with the least squared error on a histogram.
    """
    nncf = import_nncf()
    graph = copy.deepcopy(graph)
    # NNCF shows bars of its own; stdout is for results.
    with context.progress("calibrate", len(samples)) as advance, contextlib.redirect_stdout(sys.stderr):
        quantized = nncf.experimental.torch.fx.quantize_pt2e(
            copy.deepcopy(graph),
            LiteRTQuantizer(),
            nncf.Dataset(_Counted(samples, advance)),
            subset_size=len(samples),
            fast_bias_correction=True,
            activations_range_estimator_params=_estimator(nncf, ranges),
            fold_quantize=False,
        )
    _take_biases(graph, quantized)
    return graph, plan_from_ranges(graph, _read_ranges(quantized))


class _Counted:
    """The samples, and a step of the progress bar the first time each is read."""

    def __init__(self, samples: Sequence[Tensor], advance: Any) -> None:
        self.samples, self.advance, self.furthest = samples, advance, 0

    def __iter__(self) -> Iterable[Tensor]:
        for index, sample in enumerate(self.samples):
            if index >= self.furthest:
                self.furthest = index + 1
                self.advance(1, "")
            yield sample

    def __len__(self) -> int:
        return len(self.samples)


def import_nncf() -> Any:
    """Import NNCF with its usage reports switched off (attendc sends nothing to anybody) and its remarks too."""
    os.environ["NNCF_CI"] = "1"
    import nncf
    import nncf.experimental.torch.fx

    nncf.set_log_level(logging.ERROR)
    return nncf


def _estimator(nncf: Any, ranges: Ranges) -> Any:
    known = nncf.quantization.range_estimator.RangeEstimatorParametersSet
    return {
        "minmax": known.MINMAX,
        "percentile": known.MEAN_QUANTILE,
        "mse": known.HISTOGRAM,
    }[ranges]


def _take_biases(graph: fx.GraphModule, quantized: fx.GraphModule) -> None:
    """Copy the corrected biases of `quantized` to the layers of the same names in `graph`.

    Not of layers with one weight per channel, which batch norms become behind pools and concatenations: NNCF 3.4 gives
    those the mean of their output for a bias (measured; a DenseNet went from 31 dB to 0.6).
    """
    corrected = {n.name: n for n in call_nodes(quantized.graph)}
    for node in weighted_layers(graph.graph):
        weight, own, other = node.args[1], node.args[2], corrected[node.name].args[2]
        assert isinstance(weight, fx.Node)
        if constant(graph, weight)[0].numel() == 1:
            continue
        assert isinstance(own, fx.Node)
        assert isinstance(other, fx.Node)
        set_constant(graph, own, constant(quantized, other).detach().clone())


def _read_ranges(quantized: fx.GraphModule) -> dict[str, QuantParams]:
    """Return the parameters that NNCF gave each activation, by the name of the node that makes it."""
    found: dict[str, QuantParams] = {}
    for node in call_nodes(quantized.graph):
        if node.target not in (_Q.quantize_per_tensor.default, _Q.quantize_per_tensor.tensor):
            continue
        source, scale, zero_point = node.args[:3]
        assert isinstance(source, fx.Node)
        found[source.name] = QuantParams((_number(quantized, scale),), (round(_number(quantized, zero_point)),))
    return found


def _number(gm: fx.GraphModule, value: object) -> float:
    return float(constant(gm, value)) if isinstance(value, fx.Node) else float(value)  # type: ignore[arg-type]
