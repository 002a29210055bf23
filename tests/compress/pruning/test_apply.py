"""From a plan to a smaller network, and what its Spec must know to build it again."""

from __future__ import annotations

import copy

import pytest
import torch
from nets import settle, tiny
from torch import Tensor, nn

from attendc.compress.pruning.apply import apply_prune_plan
from attendc.compress.pruning.dependencies import Dependencies, find_dependencies
from attendc.compress.pruning.plan import PrunePlan
from attendc.errors import UsageError
from attendc.models.surgery import layer_shape, operate

SAMPLE = torch.zeros(1, 1, 16, 16)
INNER, STREAM = "stages.1.1.stack.0.0", "stages.1.0.features.1.0"


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return settle(tiny())


@pytest.fixture(scope="module")
def found(net: nn.Module) -> Dependencies:
    return find_dependencies(net, SAMPLE)


def image() -> Tensor:
    return torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def test_surgery_of_a_fresh_network_and_the_weights_give_the_pruned_network(
    net: nn.Module, found: Dependencies
) -> None:
    plan = PrunePlan({INNER: (0, 3, 4, 5), STREAM: (1, 2, 6, 7)}, ("stages.2.1",))
    pruned, surgery = apply_prune_plan(net, plan, found, SAMPLE)
    fresh = tiny(seed=9)
    operate(fresh, surgery)
    fresh.load_state_dict(pruned.state_dict())
    with torch.no_grad():
        assert torch.equal(fresh.eval()(image()), pruned(image()))
        assert not torch.allclose(pruned(image()), net(image()))


def test_the_surgery_names_what_changed_in_its_last_shape(net: nn.Module, found: Dependencies) -> None:
    pruned, surgery = apply_prune_plan(net, PrunePlan({INNER: (0, 7), STREAM: (1, 2, 6, 7)}), found, SAMPLE)
    assert surgery.removed == ()
    assert surgery.layers["stages.1.1.stack.0.0"] == (2, 4, 2)  # its inputs are the stream
    assert surgery.layers["stages.1.1.stack.1.0"] == (4, 2, 2)
    assert surgery.layers == {n: layer_shape(pruned.get_submodule(n)) for n in surgery.layers}
    shapes = {n: layer_shape(m) for n, m in net.named_modules() if n in surgery.layers}
    assert all(shapes[n] != surgery.layers[n] for n in shapes)


def test_the_network_itself_stays(net: nn.Module, found: Dependencies) -> None:
    before = copy.deepcopy(net.state_dict())
    apply_prune_plan(net, PrunePlan({INNER: (0, 7)}, ("stages.2.1",)), found, SAMPLE)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_a_stream_can_shrink_around_a_block_that_goes(net: nn.Module, found: Dependencies) -> None:
    pruned, surgery = apply_prune_plan(net, PrunePlan({STREAM: (0, 4)}, ("stages.1.1",)), found, SAMPLE)
    assert isinstance(pruned.stages[1][1], nn.Identity)
    assert not any(name.startswith("stages.1.1.") for name in surgery.layers)
    assert pruned(image()).shape == (2, 10)


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (PrunePlan({"stages.9": (0,)}), "prunes stages.9, which cannot be pruned"),
        (PrunePlan({"head": (0,)}), "prunes head, which cannot be pruned"),
        (PrunePlan(removed=("stages.1.0",)), "removes stages.1.0, which is no block"),
        (PrunePlan({INNER: (0, 1, 4)}), f"keeps 3 of 8 channels of {INNER}, not as many in each column"),
        (PrunePlan({INNER: (0, 1)}), "not as many in each column"),  # all of the first column
        (PrunePlan({INNER: ()}), "keeps 0 of 8"),
        (PrunePlan({INNER: (0, 8)}), f"keeps channel 8 of {INNER}, which has 8"),
        (PrunePlan({INNER: (-1, 0, 4)}), "keeps channel -1"),
        (PrunePlan({INNER: (0, 4)}, sizes={INNER: 16}), f"is of 16 channels of {INNER}, which has 8"),
    ],
)
def test_a_plan_for_another_network_is_refused(net: nn.Module, found: Dependencies, plan: PrunePlan, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        apply_prune_plan(net, plan, found, SAMPLE)


def test_a_refused_layer_is_told_with_its_reason(net: nn.Module, found: Dependencies) -> None:
    with pytest.raises(UsageError) as e:
        apply_prune_plan(net, PrunePlan({"head": (0,)}), found, SAMPLE)
    assert "outputs are the network's" in (e.value.hint or "")
