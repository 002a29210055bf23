"""Where quantizers stand."""

from __future__ import annotations

import pytest
import torch
from nets import SMALL, mixed, small
from torch import fx
from torchao.quantization.pt2e.quantizer import SharedQuantizationSpec

from attendc.compress.annotate import LiteRTQuantizer
from attendc.compress.capture import capture
from attendc.compress.passes import INT8_PASSES, run_passes
from attendc.compress.tensors import is_quantized
from attendc.errors import InternalError

KEY = "quantization_annotation"


def ready(middle: str) -> fx.GraphModule:
    return run_passes(capture(small(middle), SMALL), INT8_PASSES)


def annotated(middle: str) -> dict[str, fx.Node]:
    graph = LiteRTQuantizer().annotate(ready(middle)).graph
    return {n.name: n for n in graph.nodes}


def test_activations_are_int8_per_tensor_and_weights_symmetric_per_channel() -> None:
    conv = annotated("silu")["conv2d"]
    specs = {n.op: s for n, s in conv.meta[KEY].input_qspec_map.items()}
    activation, weight = specs["placeholder"], specs["get_attr"]
    assert (activation.qscheme, activation.quant_min, activation.quant_max) == (torch.per_tensor_affine, -128, 127)
    assert (weight.qscheme, weight.quant_min, weight.quant_max) == (torch.per_channel_symmetric, -127, 127)
    assert (activation.dtype, weight.dtype, weight.ch_axis) == (torch.int8, torch.int8, 0)


def test_a_bias_is_not_quantized_by_an_observer() -> None:
    conv = annotated("silu")["conv2d"]
    assert conv.args[2] not in conv.meta[KEY].input_qspec_map


def test_a_layer_that_a_relu_joins_has_no_quantizer_of_its_own() -> None:
    nodes = annotated("conv_bn_relu")
    assert nodes["conv2d_1"].meta[KEY].output_qspec is None
    assert nodes["relu"].meta[KEY].output_qspec is not None


def test_pools_and_reshapes_share_with_their_input() -> None:
    nodes = annotated("max_pool")
    shared = nodes["max_pool2d"].meta[KEY].output_qspec
    assert shared == SharedQuantizationSpec((nodes["conv2d"], nodes["max_pool2d"]))


def test_a_concatenation_shares_with_all_its_inputs() -> None:
    cat = annotated("concat")["cat"]
    first, second = cat.meta[KEY].input_qspec_map.values()
    assert not isinstance(first, SharedQuantizationSpec)
    assert isinstance(second, SharedQuantizationSpec)
    assert isinstance(cat.meta[KEY].output_qspec, SharedQuantizationSpec)


def test_every_tensor_of_the_mixed_net_has_a_quantizer() -> None:
    graph = LiteRTQuantizer().annotate(run_passes(capture(mixed(), SMALL), INT8_PASSES)).graph
    calls = [n for n in graph.nodes if n.op == "call_function" and is_quantized(n)]
    assert len(calls) > 10
    assert all(n.meta[KEY].output_qspec is not None for n in calls)


def test_what_was_forgotten_is_found() -> None:
    with pytest.raises(InternalError, match="conv2d was not annotated"):
        LiteRTQuantizer().validate(ready("silu"))
