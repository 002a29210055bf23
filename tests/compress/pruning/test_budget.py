"""A budget as typed becomes a limit in numbers."""

from __future__ import annotations

import pytest

from attendc.compress.pruning.budget import budget_of, core_budget_of
from attendc.compress.pruning.cost import BYTES_CHANNEL, BYTES_LAYER, COSTS, Cost, int8_bytes, macs, params
from attendc.compress.pruning.shapes import LayerShape, Shapes
from attendc.errors import UsageError

SHAPES: Shapes = {"a": LayerShape("conv", 100, 100, kernel=9, positions=10)}  # 90 000 weights, 900 000 MACs


@pytest.mark.parametrize(
    ("unit", "text", "limit"),
    [
        ("macs", "0.5", 450_000),
        ("macs", ".25", 225_000),
        ("macs", " 0.999 ", 899_100),
        ("macs", "450k", 450_000),
        ("macs", "0.5M", 500_000),
        ("macs", "0.0001G", 100_000),
        ("macs", "899999", 899_999),
        ("macs", "0.0005k", 0.5),
        ("params", "0.1", 9_000),
        ("params", "9k", 9_000),
        ("params", "1", 1),  # an amount: the whole would be no budget
    ],
)
def test_a_part_of_the_whole_or_an_amount(unit: str, text: str, limit: float) -> None:
    budget = budget_of(unit, text, SHAPES)
    assert budget.limit == pytest.approx(limit)
    assert (budget.unit, budget.cost, budget.whole) == (unit, COSTS[unit], COSTS[unit](SHAPES))


def test_a_part_of_the_bytes_is_of_the_whole_file() -> None:
    whole = 90_000 + 100 * BYTES_CHANNEL + BYTES_LAYER
    assert int8_bytes(SHAPES) == whole
    assert budget_of("bytes", "0.5", SHAPES).limit == whole / 2


@pytest.mark.parametrize("text", ["half", "", "50%", "-0.5", "5e5", "0.5m", "1.2.3", "1 M", "nan", "."])
def test_what_is_no_number_is_named_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="is no budget") as e:
        budget_of("macs", text, SHAPES)
    assert "macs=0.5" in (e.value.hint or "")


@pytest.mark.parametrize("text", ["0", "0.0", "900000", "1M", "90G"])
def test_nothing_and_the_whole_are_no_budgets(text: str) -> None:
    with pytest.raises(UsageError, match=f"macs={text} is not below the 900,000"):
        budget_of("macs", text, SHAPES)


def test_an_unknown_unit_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'latency'") as e:
        budget_of("latency", "0.5", SHAPES)
    assert "macs, params, bytes, budget (of a core)" in (e.value.hint or "")


def test_a_budget_counts_what_it_limits() -> None:
    assert budget_of("params", "0.5", SHAPES).cost(SHAPES) == params(SHAPES) == 90_000


# Of a core: here its instructions are as many as the MACs, 900 000


def as_many_as_macs(core: str) -> Cost:
    assert core == "cortex-a76"
    return macs


@pytest.mark.parametrize(("text", "limit"), [("cortex-a76:0.6", 540_000), ("cortex-a76:0.54M", 540_000)])
def test_a_core_s_budget_falls_in_steps(text: str, limit: float) -> None:
    budget = core_budget_of(text, SHAPES, as_many_as_macs)
    assert (budget.limit, budget.whole, budget.in_steps) == (pytest.approx(limit), 900_000, True)
    assert budget.unit == "instructions on cortex-a76"
    assert not budget_of("macs", "0.6", SHAPES).in_steps


def test_a_core_s_budget_is_below_the_whole() -> None:
    with pytest.raises(UsageError, match="budget=cortex-a76:1M is not below the 900,000 of this network") as e:
        core_budget_of("cortex-a76:1M", SHAPES, as_many_as_macs)
    assert e.value.hint == "For example budget=cortex-a76:0.6"


def test_without_a_core_nobody_knows_what_is_counted() -> None:
    with pytest.raises(UsageError, match=r"budget=0.6 names no core") as e:
        core_budget_of("0.6", SHAPES, as_many_as_macs)
    assert "cortex-a76:0.6" in (e.value.hint or "")
