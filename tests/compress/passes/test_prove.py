"""Passes that break something are named and left out, and the run goes on with what was proven."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from nets import SMALL, distance, ops, raw, small
from torch import Tensor, fx, nn

from attendc.compress.capture import capture
from attendc.compress.graph import add_constant, call_nodes, set_constant
from attendc.compress.passes import FLOAT_PASSES, run_passes
from attendc.compress.passes.fold_bn import fold_bn
from attendc.compress.passes.free_batch import free_batch
from attendc.compress.passes.give_biases import give_biases
from attendc.compress.passes.merge_branches import merge_branches
from attendc.compress.passes.outcome import Outcome, outcome
from attendc.compress.passes.pools import spell_out_pools
from attendc.compress.passes.pools_as_convs import pools_as_convs
from attendc.compress.passes.prove import TOLERANCE, known_outputs, proof_samples, random_samples
from attendc.context import Context
from attendc.exported import constant

aten = torch.ops.aten
BN = "_native_batch_norm_legit_no_training"


@pytest.fixture(scope="module")
def exported() -> fx.GraphModule:
    """Return the graph of conv, conv, batch norm, ReLU, pool and linear before any pass; no test changes it."""
    return raw(small("conv_bn_relu"))


def first_conv(gm: fx.GraphModule) -> fx.Node:
    return call_nodes(gm.graph, aten.conv2d.default)[0]


def fold_without_the_mean(gm: fx.GraphModule) -> Outcome:
    """Fold batch norms as if their mean were 0: b' = beta instead of beta - mean * gamma / sqrt(var + eps)."""
    for node in call_nodes(gm.graph, aten._native_batch_norm_legit_no_training.default):
        mean = node.args[3]
        assert isinstance(mean, fx.Node)
        set_constant(gm, mean, torch.zeros_like(constant(gm, mean)))
    return fold_bn(gm)


def swap_two_channels(gm: fx.GraphModule) -> Outcome:
    """Exchange the first two outputs of the first convolution, and of nothing else."""
    weight = first_conv(gm).args[1]
    assert isinstance(weight, fx.Node)
    value = constant(gm, weight).detach()
    set_constant(gm, weight, value[[1, 0, *range(2, len(value))]])
    return outcome(gm, "exchanged two channels")


def swap_in_place(gm: fx.GraphModule) -> Outcome:
    """Do the same to the tensor itself, which a graph may share with others."""
    weight = first_conv(gm).args[1]
    assert isinstance(weight, fx.Node)
    tensor = constant(gm, weight).detach()
    tensor[:2] = tensor[[1, 0]].clone()
    return outcome(gm, "exchanged two channels")


def swap_in_silence(gm: fx.GraphModule) -> Outcome:
    swap_in_place(gm)
    return outcome(gm)


def drop_the_last_class(gm: fx.GraphModule) -> Outcome:
    head = call_nodes(gm.graph, aten.linear.default)[-1]
    with gm.graph.inserting_after(head):
        cut = gm.graph.call_function(aten.slice.Tensor, (head, 1, 0, 9))
    head.replace_all_uses_with(cut, delete_user_cb=lambda user: user is not cut)
    cut.meta["val"] = head.meta["val"][:, :9]
    return outcome(gm, "dropped a class")


def read_what_is_not_there(gm: fx.GraphModule) -> Outcome:
    conv = first_conv(gm)
    node = add_constant(gm, "lost", torch.zeros(len(constant(gm, conv.args[1]))), conv)
    conv.args = (*conv.args[:2], node, *conv.args[3:])
    del gm.lost
    return outcome(gm, "gave a bias")


def lie_about_a_shape(gm: fx.GraphModule) -> Outcome:
    conv = first_conv(gm)
    conv.meta["val"] = conv.meta["val"][:, :1]
    return outcome(gm, "said that it has one channel")


def fix_the_batch(gm: fx.GraphModule) -> Outcome:
    """Write the batch that the graph was traced with into its reshape."""
    view = call_nodes(gm.graph, aten.view.default)[0]
    view.args = (view.args[0], [2, 4])
    return outcome(gm, "wrote down the batch")


def raises(gm: fx.GraphModule) -> Outcome:
    gm.graph.erase_node(call_nodes(gm.graph, aten.linear.default)[0].args[1])  # which is read: torch refuses
    raise AssertionError


GOOD = (free_batch, fold_bn, give_biases, spell_out_pools, pools_as_convs)
"""Those that have something to do in this network."""

BROKEN: list[tuple[Callable[[fx.GraphModule], Outcome], str]] = [
    (fold_without_the_mean, "the outputs differ by"),
    (swap_two_channels, "the outputs differ by"),
    (swap_in_place, "the outputs differ by"),
    (swap_in_silence, "it changed the graph and did not say so"),
    (drop_the_last_class, r"the outputs are (16, 9) and were (16, 10)"),
    (read_what_is_not_there, "nonexistent attribute lost"),
    (lie_about_a_shape, "is float32 (7, 4, 8, 8) where the graph says float32 ("),
    (fix_the_batch, "the graph no longer runs: "),
    (raises, "it raised RuntimeError: "),
]


@pytest.mark.parametrize(("broken", "reason"), BROKEN, ids=[one.__name__ for one, _ in BROKEN])
def test_a_broken_pass_is_named_and_left_out_and_the_others_go_on(
    broken: Callable[[fx.GraphModule], Outcome], reason: str, exported: fx.GraphModule, seen: Tensor
) -> None:
    context = Context()
    graph = run_passes(exported, (broken, *GOOD), seen[:16], context=context)
    (warning,) = context.warnings
    assert warning.startswith(f"the pass {broken.__name__} is left out: ")
    assert reason in warning
    assert [n for n in graph.meta["notes"] if "left out" in n] == [warning]
    assert [row["pass"] for row in graph.meta["passes"] if row["left_out"]] == [broken.__name__]
    assert distance(graph, exported, seen) < 1e-6
    assert ops(graph) == ["conv2d", "conv2d", "relu", "conv2d", "reshape", "linear"]  # as without it


def test_in_the_place_of_the_good_one_the_network_keeps_its_batch_norms(seen: Tensor) -> None:
    net = small("conv_bn_relu")
    passes = [fold_without_the_mean if one is fold_bn else one for one in FLOAT_PASSES]
    graph = capture(net, SMALL, seen, passes=passes)
    assert ops(graph).count(BN) == 1
    assert distance(graph, net, seen) < 1e-6


def test_the_network_that_came_in_is_left_as_it_is(exported: fx.GraphModule, seen: Tensor) -> None:
    before, state = ops(exported), {k: v.clone() for k, v in exported.state_dict().items()}
    run_passes(exported, (swap_in_place, *GOOD), seen)
    assert ops(exported) == before
    assert all(torch.equal(v, state[k]) for k, v in exported.state_dict().items())


def test_what_changes_nothing_gives_a_copy(exported: fx.GraphModule, seen: Tensor) -> None:
    done = run_passes(exported, (merge_branches,), seen)
    assert done is not exported
    assert done.meta["passes"] == [{"pass": "merge_branches", "changed": False, "notes": [], "left_out": ""}]


def nudge(gm: fx.GraphModule) -> Outcome:
    """Add 60 % of what is allowed to the first output."""
    head = call_nodes(gm.graph, aten.linear.default)[-1]
    bias = head.args[2]
    assert isinstance(bias, fx.Node)
    step = torch.zeros(10)
    step[0] = 0.6 * TOLERANCE * gm.meta["largest"]
    set_constant(gm, bias, constant(gm, bias).detach() + step)
    return outcome(gm, "nudged")


def test_small_errors_do_not_add_up(exported: fx.GraphModule, seen: Tensor) -> None:
    graph = copy.deepcopy(exported)
    graph.meta["largest"] = known_outputs(graph, seen).largest
    done = run_passes(graph, (nudge, nudge), seen)  # 0.6 twice is more than 1 of what is allowed
    assert [row["left_out"] == "" for row in done.meta["passes"]] == [True, False]
    assert "those of the network that came in" in done.meta["passes"][1]["left_out"]


class Magnifying(nn.Module):
    """sin(10,000 * norm(conv(x))): a change of 1e-7 before the sine is one of 1e-3 behind it, ten times TOLERANCE."""

    def __init__(self) -> None:
        super().__init__()
        self.body = small("conv_bn_relu")[:2]

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.body(x) * 1e4).mean((2, 3))


def test_a_network_that_magnifies_rounding_keeps_what_only_rounds_otherwise(seen: Tensor) -> None:
    graph = raw(Magnifying().eval())
    done = run_passes(graph, FLOAT_PASSES, seen)
    assert BN not in ops(done)
    broken = run_passes(graph, [free_batch, fold_without_the_mean], seen)
    assert BN in ops(broken)


def test_without_images_random_ones_are_taken(exported: fx.GraphModule) -> None:
    assert tuple(random_samples(exported).shape) == (16, 1, 8, 8)
    done = run_passes(exported, (swap_two_channels,))
    assert done.meta["passes"][0]["left_out"]


def test_large_images_are_few_and_from_the_whole_set() -> None:
    images = [torch.full((1, 1, 256, 256), float(i)) for i in range(8)]
    chosen = proof_samples(images)
    assert chosen is not None
    assert chosen[:, 0, 0, 0].tolist() == [0, 2, 5]  # the least: 8 / 3 apart
    assert proof_samples([]) is None


def test_outputs_that_are_infinite_before_may_stay_so(seen: Tensor) -> None:
    net = nn.Sequential(small("conv_bn_relu"), nn.Threshold(0.0, float("-inf"))).eval()
    graph = run_passes(raw(net), GOOD, seen)
    assert not [row for row in graph.meta["passes"] if row["left_out"]]
