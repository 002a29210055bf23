"""Budgets as they are typed, and against a baseline."""

from __future__ import annotations

import pytest

from attendc.amounts import Amount
from attendc.errors import UsageError
from attendc.explore.budget import cost_in, parse_budgets
from attendc.explore.cost import Cost

BASELINE = Cost(60_000, 5_000_000, 80_000, 32_768, {"cortex-a76": 4e6, "cortex-a72": 9e6})


def test_every_limit_by_its_name() -> None:
    budget = parse_budgets(
        ("cortex-a76:2.7M", "params:0.5M", "macs:20M", "bytes:300k", "memory:200k", "cortex-a72:8M", "accuracy:0.90")
    )
    limits = {
        "cortex-a76": 2.7e6,
        "params": 5e5,
        "macs": 2e7,
        "bytes": 3e5,
        "memory": 2e5,
        "cortex-a72": 8e6,
    }
    assert {name: limit.value for name, limit in budget.limits.items()} == limits
    assert budget.accuracy == 0.9
    assert budget.cores == ("cortex-a76", "cortex-a72")
    assert not budget.needs_baseline
    assert budget.as_dict() == {**limits, "accuracy": 0.9}


def test_a_part_is_of_what_the_baseline_costs() -> None:
    budget = parse_budgets(("cortex-a76:0.7", "bytes:0.5", "params:50k"))
    assert budget.needs_baseline
    assert budget.against(BASELINE).limits == {
        "cortex-a76": Amount(0.7 * 4e6, is_part=False),
        "bytes": Amount(0.5 * 80_000, is_part=False),
        "params": Amount(50_000, is_part=False),
    }


def test_an_accuracy_is_no_part_of_the_baselines() -> None:
    budget = parse_budgets(("accuracy:0.9",))
    assert (budget.accuracy, budget.needs_baseline, budget.cores) == (0.9, False, ())
    assert parse_budgets(("accuracy:1",)).accuracy == 1
    assert parse_budgets(()).accuracy is None


@pytest.mark.parametrize(
    ("name", "cost"),
    [("params", 60e3), ("macs", 5e6), ("bytes", 80e3), ("memory", 32768), ("cortex-a76", 4e6), ("cortex-a72", 9e6)],
)
def test_a_cost_is_found_by_the_name_of_its_limit(name: str, cost: float) -> None:
    assert cost_in(BASELINE, name) == cost


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            ("cortex-a67:2M",),
            "cortex-a67:2M is no budget: nothing is counted in 'cortex-a67'. Did you mean cortex-a76?",
        ),
        (("flops:2M",), "Known: params, macs, bytes, memory, accuracy, cortex-a35"),
        (("2.7M",), "2.7M is no budget: it names no limit. For example cortex-a76:2.7M"),
        (("macs:",), "macs: is no budget: nothing is no amount above 0"),
        (("macs:2.7MB",), "macs:2.7MB is no budget: 2.7MB is no amount above 0"),
        (("macs:0",), "macs:0 is no budget: 0 is no amount above 0"),
        (("macs:1.5",), "macs:1.5 is no budget: 1.5 is no amount"),
        (("macs:-2M",), "-2M is no amount"),
        (("accuracy:90",), "accuracy:90 is no budget: an accuracy is from 0 to 1. For example accuracy:0.90"),
        (("macs:2M", "macs:3M"), "macs has two budgets. Give macs once"),
        (("accuracy:0.9", "accuracy:0.8"), "accuracy has two budgets"),
    ],
)
def test_what_is_no_budget_is_refused_with_what_to_type(texts: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_budgets(texts)
    assert message in str(caught.value)


def test_a_part_without_a_baseline_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"cortex-a76:0\.7 is a part of a baseline's, but there is no baseline\. Add --b"
    ):
        parse_budgets(("cortex-a76:0.7",)).against(None)
