"""Running passes in a row: every network keeps its function, and a pass that fails is named."""

from __future__ import annotations

import pytest
import torch
from nets import FLOAT_MIDDLES, MIDDLES, SMALL, Mixed, distance, mixed, ops, raw, small
from torch import Tensor, fx, nn

from attendc.compress.capture import capture
from attendc.compress.graph import call_nodes
from attendc.compress.passes import FLOAT_PASSES, INT8_PASSES, run_passes
from attendc.compress.passes.give_biases import give_biases
from attendc.compress.passes.outcome import Outcome
from attendc.errors import ConversionError

conv2d = torch.ops.aten.conv2d.default


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MIDDLES, *FLOAT_MIDDLES])
def test_all_passes_together_keep_the_function(name: str, seen: Tensor) -> None:
    net = small(name)
    graph = run_passes(capture(net, SMALL), INT8_PASSES)
    assert distance(graph, net, seen) < 1e-5


def test_what_was_done_is_noted_in_order() -> None:
    graph = run_passes(raw(mixed()), FLOAT_PASSES)
    assert graph.meta["notes"] == [
        "folded 1 batch norms into convolutions",
        "spelled out 1 SiLU",
        "spelled out 1 global averages as pools",
    ]


def test_running_the_passes_again_changes_nothing() -> None:
    graph = run_passes(raw(mixed()), FLOAT_PASSES)
    again = run_passes(graph, FLOAT_PASSES)
    assert again.meta["notes"] == graph.meta["notes"]
    assert ops(again) == ops(graph)


def test_what_nothing_reads_any_more_is_dropped() -> None:
    graph = run_passes(raw(mixed()), FLOAT_PASSES)
    assert isinstance(mixed(), Mixed)
    assert not [name for name, _ in graph.named_buffers() if "running" in name]


def test_int8_gives_the_biases_that_a_choice_of_passes_left_out() -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.Flatten(1)).eval()
    floating = capture(net, SMALL, passes=[one for one in FLOAT_PASSES if one is not give_biases])
    assert len(call_nodes(floating.graph, conv2d)[0].args) == 2
    (conv,) = call_nodes(run_passes(floating, INT8_PASSES).graph, conv2d)
    assert conv.args[2] is not None


def refuses(gm: fx.GraphModule) -> Outcome:
    raise ConversionError("no such operator")


def test_a_pass_that_refuses_speaks_for_itself() -> None:
    with pytest.raises(ConversionError, match=r"^no such operator$"):
        run_passes(raw(small("silu")), (refuses,))


def test_the_float_network_takes_any_batch(seen: Tensor) -> None:
    graph, net = capture(mixed(), SMALL), mixed()
    for count in (1, 3, 60):
        assert torch.allclose(graph(seen[:count]), net(seen[:count]), atol=1e-5)
