"""Pruning to a part of a core's instructions: what is chosen, what is told, and how near the estimate is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from nets import NANO, PREPROCESS, settle, tiny
from torch import nn

from attendc.arm.cores import core_of
from attendc.arm.emulation.emulator import Task, emulate
from attendc.compress.pruning.plan import plan_from_json, plan_to_json
from attendc.compress.pruning.prune import Pruned, PruneOptions, PruneTask, plan_pruning, prune_network
from attendc.context import Context
from attendc.errors import UsageError
from attendc.jobs.prune import PruneRequest, prune_checkpoint
from attendc.jobs.quantize import QuantizeRequest, quantize_checkpoint
from attendc.models.surgery import operate
from attendc.opening import CheckpointRequest

TASK = PruneTask(torch.zeros(1, 1, 16, 16), PREPROCESS)
OPTIONS = PruneOptions("budget", "cortex-a76:0.6", importance="l2")
CHANGED: dict[str, object] = {"widths": [16, 16, 32, 32], "columns": 4, "stem_width": 16, "depths": [1, 2, 1, 1]}
"""Columns of 4 in the first two stages, a quarter of a tile each, and of 8 in the others."""


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return settle(tiny(**CHANGED))


@pytest.fixture(scope="module")
def pruned(net: nn.Module) -> Pruned:
    return prune_network(net, TASK, OPTIONS, Context())


def test_the_budget_is_met_and_nearly_used_up(pruned: Pruned) -> None:
    budget, cost = pruned.rounds[0]["budget"], pruned.rounds[0]["cost"]
    assert budget["unit"] == "instructions on cortex-a76"
    assert budget["limit"] == pytest.approx(0.6 * budget["whole"])
    assert 0.98 * budget["limit"] <= cost <= budget["limit"]


def test_columns_become_wider_before_anything_goes(net: nn.Module, pruned: Pruned) -> None:
    names = [row["step"] for row in pruned.steps]
    assert names == ["as it was", "columns made wider", "pruned"]
    whole, wider, left = (row["instructions"] for row in pruned.steps)
    assert left <= 0.6 * whole < wider < whole
    assert pruned.steps[0]["params"] == sum(p.numel() for p in net.parameters()) < pruned.steps[1]["params"]
    assert pruned.plan.columns["stem.1.0"] == 1  # 4 columns of 4 are one tile of 16
    assert all(name not in pruned.plan.columns for name in ("stem.0.0", "head"))


def test_nothing_is_guarded_unless_it_is_named(net: nn.Module) -> None:
    options = dataclasses.replace(OPTIONS, amount="cortex-a76:0.75", guard=("stem",))
    choice, _ = plan_pruning(net, TASK, options, Context())
    assert not any(name.startswith("stem") for name in choice.plan.kept)
    free, _ = plan_pruning(net, TASK, dataclasses.replace(OPTIONS, amount="cortex-a76:0.5"), Context())
    assert any(name.startswith("stem") for name in free.plan.kept)


def test_the_plan_gives_the_same_network_again(net: nn.Module, pruned: Pruned) -> None:
    given = plan_from_json(plan_to_json(pruned.plan))
    assert given == pruned.plan
    again = prune_network(net, TASK, OPTIONS, Context(), given=given)
    assert repr(again.model) == repr(pruned.model)
    assert all(torch.equal(a, b) for a, b in zip(again.model.parameters(), pruned.model.parameters(), strict=True))


def test_the_surgery_builds_the_same_network(pruned: Pruned) -> None:
    fresh = tiny(seed=9, **CHANGED)
    operate(fresh, pruned.surgery)
    fresh.load_state_dict(pruned.model.state_dict())
    image = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(fresh.eval()(image), pruned.model(image))


def test_several_rounds_go_to_the_same_limit(net: nn.Module) -> None:
    rounds = prune_network(net, TASK, dataclasses.replace(OPTIONS, steps=2), Context()).rounds
    whole = rounds[0]["budget"]["whole"]
    assert [r["budget"]["limit"] for r in rounds] == pytest.approx([0.6**0.5 * whole, 0.6 * whole])
    assert rounds[1]["cost"] <= 0.6 * whole


def test_what_cannot_be_met_is_said_with_the_budget_as_typed(net: nn.Module) -> None:
    with pytest.raises(
        UsageError, match=r"the budget cortex-a76:0.01 cannot be met: nothing more can go: [\d,]+ instr"
    ):
        plan_pruning(net, TASK, dataclasses.replace(OPTIONS, amount="cortex-a76:0.01"), Context())


@pytest.mark.slow
@pytest.mark.usefixtures("arm_machine")
def test_the_estimate_of_nano_is_within_3_percent_of_what_is_counted(tmp_path: Path) -> None:
    smaller = tmp_path / "smaller.safetensors"
    request = PruneRequest(CheckpointRequest(NANO), smaller, dataclasses.replace(OPTIONS, recover=None), cached=False)
    told = prune_checkpoint(request, Context())["steps"]
    files = []
    for name, path in (("whole", NANO), ("pruned", smaller)):
        quantize = QuantizeRequest(
            CheckpointRequest(path),
            tmp_path / name,
            calib=8,
            images=1,
            formats=("tflite",),
            dtypes=("int8",),
            gate=False,
        )
        quantize_checkpoint(quantize, Context())
        files.append(tmp_path / name / "model.int8.tflite")
    whole, left = (a.instructions or 0 for a in emulate(core_of("cortex-a76"), [Task("count", f) for f in files]))
    assert told[0]["instructions"] == pytest.approx(whole, rel=0.03)
    assert told[-1]["instructions"] == pytest.approx(left, rel=0.03)
    assert left / whole == pytest.approx(0.6, abs=0.02)
