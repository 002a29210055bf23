"""A torchao quantizer that reads the table of LiteRT rules; PTQ and QAT place their quantizers by it alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    QuantizationSpecBase,
    Quantizer,
    SharedQuantizationSpec,
)

from attendc.compress.rules import ACT_QMAX, ACT_QMIN, WEIGHT_QMAX, OpRule, rule_of
from attendc.compress.tensors import is_quantized, quantized_nodes, sources
from attendc.errors import InternalError

__all__ = ["LiteRTQuantizer"]

_KEY = "quantization_annotation"


class LiteRTQuantizer(Quantizer):  # type: ignore[misc]
    """Annotates every tensor of a float graph by `attendc.compress.rules.RULES`.

    `activation` and `weight` make the observers or fake quantizers; the defaults observe minimum and maximum.
    """

    def __init__(self, activation: Callable[..., Any] | None = None, weight: Callable[..., Any] | None = None) -> None:
        """Build the two specs."""
        super().__init__()
        self.activation = QuantizationSpec(
            dtype=torch.int8,
            observer_or_fake_quant_ctr=activation or MinMaxObserver,
            quant_min=ACT_QMIN,
            quant_max=ACT_QMAX,
            qscheme=torch.per_tensor_affine,
        )
        self.weight = QuantizationSpec(
            dtype=torch.int8,
            observer_or_fake_quant_ctr=weight or PerChannelMinMaxObserver,
            quant_min=-WEIGHT_QMAX,
            quant_max=WEIGHT_QMAX,
            qscheme=torch.per_channel_symmetric,
            ch_axis=0,
        )

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Annotate every operator that has a rule: its inputs, its weight, and its output unless a ReLU joins it."""
        quantized = set(quantized_nodes(model.graph))
        for node in model.graph.nodes:
            rule = rule_of(node)
            if rule is not None:
                node.meta[_KEY] = QuantizationAnnotation(
                    input_qspec_map=self._inputs(node, rule, quantized),
                    output_qspec=self._output(node, rule) if is_quantized(node) else None,
                    _annotated=True,
                )
            elif node.op == "call_function" and node in quantized:
                node.meta[_KEY] = QuantizationAnnotation(output_qspec=self.activation, _annotated=True)
        return model

    def validate(self, model: fx.GraphModule) -> None:
        """Check that every operator with a rule was annotated."""
        for node in model.graph.nodes:
            if rule_of(node) is not None and _KEY not in node.meta:
                raise InternalError(f"{node.name} was not annotated")

    def _inputs(self, node: fx.Node, rule: OpRule, quantized: set[fx.Node]) -> dict[fx.Node, QuantizationSpecBase]:
        specs: dict[fx.Node, QuantizationSpecBase] = {}
        shared: tuple[fx.Node, fx.Node] | None = None
        for source in node.all_input_nodes:
            if rule.has_weight and source is node.args[1]:
                specs[source] = self.weight
            elif source in quantized:
                joins = rule.output == "same" and shared is not None and source in sources(node, rule)
                specs[source] = SharedQuantizationSpec(shared) if joins else self.activation
                shared = shared or (source, node)
        return specs

    def _output(self, node: fx.Node, rule: OpRule) -> QuantizationSpecBase:
        if rule.output != "same":
            return self.activation
        return SharedQuantizationSpec((next(iter(sources(node, rule))), node))
